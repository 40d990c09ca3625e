"""The data module: which windows each loader gives, and that a Trainer sees each one once."""

from __future__ import annotations

from pathlib import Path

import lightning.pytorch as lightning
import pytest
import torch
from torch import Tensor
from traffic import random_graphs

from graphids.core.batch import GraphBatch
from graphids.core.budget import Budget
from graphids.data.datamodule import GraphDataModule
from graphids.data.loader import BudgetLoader
from graphids.data.splits import Part, split
from graphids.data.vocabulary import Vocabulary

TRAIN = random_graphs(0, 200)
PART = split(TRAIN, 0)
VOCABULARY = Vocabulary.from_ids(TRAIN.arbitration_id)
TESTS = {
    name: random_graphs(seed, 30).with_vocabulary(VOCABULARY)
    for name, seed in (("test_02", 1), ("test_01", 2))
}


def module(*, benign_only: bool = False, seed: int = 3) -> GraphDataModule:
    return GraphDataModule(TRAIN, PART, TESTS, Budget(nodes=30, edges=400), seed, benign_only)


def seen(loader: BudgetLoader) -> list[int]:
    return [i for batch in loader for i in batch.graph_index.tolist()]


def where(mask: Tensor) -> list[int]:
    return mask.nonzero().flatten().tolist()


def test_each_loader_gives_its_part() -> None:
    data = module()
    assert sorted(seen(data.train_dataloader())) == where(PART == Part.TRAIN)
    assert seen(data.val_dataloader()) == where(PART == Part.STOP)
    assert seen(data.calibration_dataloader()) == where(PART == Part.CALIBRATION)
    assert seen(data.train_eval_dataloader()) == where((PART == Part.TRAIN) & (TRAIN.y == 0))
    assert data.test_names == ("test_02", "test_01")
    for loader, graphs in zip(data.test_dataloader(), TESTS.values(), strict=True):
        assert loader.graphs is graphs
        assert seen(loader) == list(range(30))


def test_benign_only_filters_training_alone() -> None:
    data = module(benign_only=True)
    assert sorted(seen(data.train_dataloader())) == where((PART == Part.TRAIN) & (TRAIN.y == 0))
    assert seen(data.val_dataloader()) == where(PART == Part.STOP)


def test_an_index_restricts_training_alone() -> None:
    chosen = torch.tensor(where((PART == Part.TRAIN) & (TRAIN.y == 0))[::3])
    for benign_only in (False, True):
        data = GraphDataModule(TRAIN, PART, TESTS, Budget(), 0, benign_only, index=chosen)
        assert sorted(seen(data.train_dataloader())) == chosen.tolist()
        whole = module(benign_only=benign_only)
        for name in ("val_dataloader", "calibration_dataloader", "train_eval_dataloader"):
            assert seen(getattr(data, name)()) == seen(getattr(whole, name)())


def test_an_index_outside_training_is_refused() -> None:
    stop, attack = where(PART == Part.STOP)[0], where((PART == Part.TRAIN) & (TRAIN.y == 1))[0]
    for index, benign_only, word in (
        ([stop, attack], False, f"1 positions that are no training window, the first {stop}"),
        ([attack], True, "no benign training window"),
        ([-1], False, "the first -1"),
        ([attack, attack], False, "a window twice"),
        ([True], False, "index must be int64"),
        ([], False, "no training window"),
    ):
        given = torch.tensor(index, dtype=None if index else torch.int64)
        with pytest.raises(ValueError, match=word):
            GraphDataModule(TRAIN, PART, TESTS, Budget(), 0, benign_only, index=given)


def test_d34_a_test_window_beyond_the_budget_is_an_error() -> None:
    """D-34: evaluation leaves no window out, and says so before it scores any."""
    limit = max(int(graphs.num_nodes.max()) for graphs in TESTS.values())
    small = TRAIN.num_nodes < limit
    train, part = TRAIN.select(small.nonzero().flatten()), PART[small]
    data = GraphDataModule(train, part, TESTS, Budget(nodes=limit - 1, edges=400), 0)
    with pytest.raises(ValueError, match=f"has {limit} nodes.*none is skipped"):
        data.test_dataloader()


def test_sizes_and_names_that_models_rely_on() -> None:
    data = module()
    assert (data.num_ids, data.in_channels, data.num_classes) == (VOCABULARY.num_ids, 35, 2)
    assert data.attack_names[0] == "benign"
    assert data.attack_names[1] == "dos"


def test_what_does_not_fit_together_is_refused() -> None:
    budget = Budget()
    with pytest.raises(ValueError, match="test set 'odd' has"):
        GraphDataModule(TRAIN, PART, {"odd": random_graphs(9, 3, ids=5)}, budget, 0)
    with pytest.raises(ValueError, match="200 windows"):
        GraphDataModule(TRAIN, PART[:-1], {}, budget, 0)
    attacks = TRAIN.select((TRAIN.y == 1).nonzero().flatten())
    with pytest.raises(ValueError, match="no benign training window"):
        GraphDataModule(attacks, torch.zeros_like(attacks.y), {}, budget, 0, benign_only=True)


class Recorder(lightning.LightningModule):
    """Notes which graphs each training epoch saw."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(35))
        self.epochs: list[list[list[int]]] = []
        self.validated: list[int] = []

    def on_train_epoch_start(self) -> None:
        self.epochs.append([])

    def training_step(self, batch: GraphBatch, _: int) -> Tensor:
        self.epochs[-1].append(batch.graph_index.tolist())
        return (batch.x @ self.weight).mean()

    def validation_step(self, batch: GraphBatch, _: int) -> None:
        self.validated += batch.graph_index.tolist()
        self.log("val_loss", (batch.x @ self.weight).mean(), batch_size=batch.num_graphs)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-6)


def test_a_trainer_sees_every_training_graph_once_each_epoch(tmp_path: Path) -> None:
    """Although the number of batches differs from epoch to epoch."""
    model = Recorder()
    trainer = lightning.Trainer(
        max_epochs=12,
        reload_dataloaders_every_n_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=tmp_path,
    )
    trainer.fit(model, datamodule=module())
    assert len(model.epochs) == 12
    for batches in model.epochs:
        assert sorted(i for batch in batches for i in batch) == where(PART == Part.TRAIN)
    assert len({len(batches) for batches in model.epochs}) > 1
    assert trainer.global_step == sum(len(batches) for batches in model.epochs)
    assert set(model.validated) == set(where(PART == Part.STOP))
