"""Fitting a model: a chunk changes memory alone, and what an epoch logs is logged once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import lightning
import polars as pl
import pytest
import torch
from stage_runs import TINY_GAT, TINY_VGAE
from torch import nn

from graphids.core.budget import Budget
from graphids.core.models.autoencoder import DGIConfig
from graphids.core.models.splitting import SplitStep
from graphids.data.datamodule import GraphDataModule
from graphids.data.splits import Part
from graphids.stages.dataset import Prepared
from graphids.stages.epoch_means import EpochMeans
from graphids.stages.handoff import Handoff
from graphids.stages.training import FitConfig, Trained, fit, seed_everything

BATCH = Budget(nodes=900, edges=4000)
CHUNK = Budget(nodes=300, edges=1400)
MODELS = {"gat": TINY_GAT, "vgae": TINY_VGAE, "dgi": DGIConfig(hidden_dims=(8,), latent_dim=4)}


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Batches are too small for two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def windows(prepared: Handoff) -> Prepared:
    return Prepared.of(prepared)


def few(windows: Prepared, *, benign_only: bool) -> GraphDataModule:
    """Every sixth training window."""
    index = windows.index(Part.TRAIN)
    if benign_only:
        index = index[windows.train.y[index] == 0]
    return windows.data_module(BATCH, 0, benign_only=benign_only, index=index[::6])


def fitted(
    name: str, windows: Prepared, chunk: Budget | None = None
) -> tuple[Trained, lightning.LightningModule]:
    """Two epochs, and the model that came out of them."""
    seed_everything(0)
    data = few(windows, benign_only=name != "gat")
    model: lightning.LightningModule = MODELS[name].build(
        num_ids=data.num_ids, in_channels=data.in_channels, num_classes=data.num_classes
    )
    config = FitConfig(max_epochs=2)
    return fit(model, data, config, lambda metrics: None, chunk=chunk), model


@pytest.mark.parametrize("name", MODELS)
def test_a_chunk_changes_no_training(name: str, windows: Prepared) -> None:
    whole, _ = fitted(name, windows)
    sizes: list[int] = []
    hook = nn.modules.module.register_module_forward_pre_hook(
        lambda module, args: (
            sizes.append(args[0].num_nodes)
            if type(module).__name__.endswith("Network") and module.training
            else None
        )
    )
    split, again = fitted(name, windows, CHUNK)
    hook.remove()
    assert 0 < max(sizes) <= CHUNK.nodes
    both = whole.history.join(split.history, on=["epoch", "metric"], how="full", suffix="_split")
    assert both.null_count().sum_horizontal().item() == 0
    difference = (pl.col("value") - pl.col("value_split")).abs()
    assert both.select((difference <= 1e-4 + 1e-3 * pl.col("value").abs()).all()).item()
    assert isinstance(again, SplitStep)
    assert again.chunk is None


@pytest.mark.parametrize("name", MODELS)
def test_means_are_lightnings_own_to_the_last_bit(
    name: str, windows: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, model = fitted(name, windows)
    monkeypatch.setattr(EpochMeans, "collecting", lambda self, model: nullcontext())
    theirs, reference = fitted(name, windows)
    assert {"train_loss", "val_loss"} <= set(ours.history["metric"])
    assert ours.history.equals(theirs.history)
    assert ours.facts == theirs.facts
    state = reference.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())


class Plain(lightning.LightningModule):
    """A model that logs by itself and cannot split a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(35, 1)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        loss = self.layer(batch.x).square().mean()
        self.log("train_loss", loss, on_epoch=True, on_step=False, batch_size=batch.num_graphs)
        return loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        loss = self.layer(batch.x).square().mean()
        self.log("val_loss", loss, batch_size=batch.num_graphs)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def test_a_model_of_another_kind_logs_as_it_does_and_is_not_split(windows: Prepared) -> None:
    data, config = few(windows, benign_only=False), FitConfig(max_epochs=1)
    trained = fit(Plain(), data, config, lambda metrics: None)
    assert set(trained.history["metric"]) == {"train_loss", "val_loss"}
    with pytest.raises(TypeError, match="Plain cannot split a batch"):
        fit(Plain(), data, config, lambda metrics: None, chunk=CHUNK)


def test_after_a_failure_the_model_logs_as_before(windows: Prepared) -> None:
    model = TINY_GAT.build(num_ids=1, in_channels=35)
    with pytest.raises(ValueError, match="was built for"):
        fit(model, few(windows, benign_only=False), FitConfig(), lambda metrics: None, chunk=CHUNK)
    assert "log_epoch" not in vars(model)
    assert model.chunk is None
