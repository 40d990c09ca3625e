"""An epoch of training against the same network written with PyG, its loader and Lightning."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, ClassVar

import lightning
import pytest
import torch
from bus_traffic import assert_close, one_thread
from lightning.pytorch.callbacks import Callback
from plain_gat import PlainGAT
from report import cold_and_warm, record
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from graphids.core.budget import Budget
from graphids.core.models import GAT, GATConfig
from graphids.data.loader import BudgetLoader, cut
from graphids.data.packed import PackedGraphs, build_graphs, concatenate
from graphids.data.scaling import fit_scaler
from graphids.data.simulate import simulate_capture
from graphids.data.simulate_settings import SIMULATED
from graphids.stages.training import LAST, FitConfig, fit

BUDGET = Budget(nodes=4096, edges=16384)
FIELDS = ("x", "node_id", "edge_index", "edge_attr", "y")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def graphs() -> PackedGraphs:
    """Scaled windows of the training captures of the small simulated dataset."""
    captures = [c for c in SIMULATED["sim_small"] if c.subset.startswith("train")]
    found = concatenate([build_graphs(simulate_capture(capture)) for capture in captures])
    return fit_scaler(found, torch.ones(len(found), dtype=torch.bool)).apply(found)


class Windows(lightning.LightningDataModule):
    """Training batches by our loader, and what our models ask of a data module."""

    num_classes = 2
    test_names: ClassVar[tuple[str, ...]] = ()
    attack_names: ClassVar[Mapping[int, str]] = {}

    def __init__(self, graphs: PackedGraphs) -> None:
        super().__init__()
        self.num_ids, self.in_channels = graphs.num_ids, graphs.num_features
        self.loader = BudgetLoader(graphs, BUDGET, generator=torch.Generator().manual_seed(0))

    def train_dataloader(self) -> BudgetLoader:
        return self.loader


class Plans:
    """The batches of our loader, epoch by epoch, as PyG's loader takes them."""

    def __init__(self, graphs: PackedGraphs) -> None:
        self.nodes, self.edges = graphs.num_nodes.numpy(), graphs.num_edges.numpy()
        self.generator = torch.Generator().manual_seed(0)
        self.plan: list[list[int]] = self.planned()

    def planned(self) -> list[list[int]]:
        order = torch.randperm(len(self.nodes), generator=self.generator)
        borders = cut(self.nodes[order], self.edges[order], BUDGET)
        return [order[a:b].tolist() for a, b in pairwise(borders)]

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[list[int]]:
        plan, self.plan = self.plan, self.planned()
        return iter(plan)


class Losses(Callback):
    """Loss of each step."""

    def __init__(self) -> None:
        self.found: list[Tensor] = []

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.found.append(outputs["loss"].detach())


def epoch_of_ours(model: GAT, data: Windows) -> Tensor:
    """An epoch as a trial trains it; the losses of its steps."""
    losses = Losses()
    model.train()
    torch.manual_seed(1)
    fit(model, data, FitConfig(max_epochs=1, monitor=LAST), lambda metrics: None, [losses])
    return torch.stack(losses.found)


def epoch_of_pyg(model: PlainGAT, loader: DataLoader) -> Tensor:
    """An epoch by a Trainer with the same settings; the losses of its steps."""
    losses = Losses()
    model.train()
    torch.manual_seed(1)
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=1,
        gradient_clip_val=1.0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[losses],
    )
    trainer.fit(model, loader)
    return torch.stack(losses.found)


@pytest.mark.parametrize("scale", ["small", "student"])
def test_training_epoch(graphs: PackedGraphs, scale: str) -> None:
    torch.manual_seed(0)
    # Draws of a layer's own would part the two; those of dropout come in the same order.
    model = GATConfig(scale=scale, p_unk_drop=0.0).build(
        num_ids=graphs.num_ids, in_channels=graphs.num_features
    )
    plain, data = PlainGAT(model), Windows(graphs)
    listed = [
        Data(**{name: graph[name].clone() for name in FIELDS})
        for graph in (graphs[i] for i in range(len(graphs)))
    ]
    # Its own draws come from a generator of its own, so that dropout is the same on both sides.
    loader = DataLoader(listed, batch_sampler=Plans(graphs), generator=torch.Generator())

    def same(ours: Tensor, theirs: Tensor) -> None:
        assert len(ours) == len(loader) > 5
        assert_close({"losses": ours}, {"losses": theirs}, ["losses"])

    ours, theirs = cold_and_warm(
        lambda: epoch_of_ours(model, data),
        lambda: epoch_of_pyg(plain, loader),
        same=same,
        repeats=7 if scale == "small" else 9,
    )
    record(
        case=f"training epoch GAT {scale}, same losses",
        peer="PyG DataLoader, plain PyG network, Lightning",
        ours=ours.warm,
        theirs=theirs.warm,
        unit="s",
        reach=1.5,
        larger_is_better=False,
        cold=(ours.cold, theirs.cold),
        why=f"one thread; {len(graphs):,} graphs of simulated traffic, up to {BUDGET.nodes:,} "
        "nodes a step; the LSTM over the layers and the attention over the edges are two thirds of "
        "ours and run in pieces that stay in the cache; the smaller the network, the more of a "
        "step is what both sides share: dropout, sums over edges, calls",
    )
