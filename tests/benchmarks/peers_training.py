"""The chain of the benchmark grid as a researcher writes it: PyG loaders and a Lightning Trainer.

Models, losses, epochs and seeds are those of the grid, and so are the graphs. Batches hold the same
mean number of nodes, and an epoch as many of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from peers_grid import AUTOENCODER, BASELINE, BATCH, DATA, FIT, GRID, STATES
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

from graphids.core.batch import as_graph_batch
from graphids.core.metrics import binary_metrics
from graphids.core.models.base import GraphModuleBase
from graphids.data.datasets import open_dataset
from graphids.data.loader import BudgetLoader
from graphids.data.packed import PackedGraphs
from graphids.data.splits import Part
from graphids.grid import Trial
from graphids.grid.trial import StageLike
from graphids.stages import Fuse
from graphids.stages.classify import window_loss
from graphids.stages.dataset import Prepared
from graphids.stages.evaluation import Windows
from graphids.stages.extract import FUSION_TRAIN, FUSION_VALIDATION
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.prepare import TRAIN_FILE
from graphids.stages.training import fit, seed_everything

FIELDS = ("x", "node_id", "arbitration_id", "edge_index", "edge_attr", "y", "attack_type")
(DATASET,) = GRID.datasets


class Steps(Callback):
    """Counts optimiser steps."""

    def on_train_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        self.count = trainer.global_step


@dataclass(frozen=True, kw_only=True)
class Detector:
    """A trained model, and what a comparison needs to know of its training."""

    model: GraphModuleBase
    epochs: int
    steps: int


class Graphs(lightning.LightningDataModule):
    """PyG loaders over ``list[Data]``, and the sizes that our models ask a data module for."""

    def __init__(self, prepared: Prepared, seed: int, *, benign_only: bool = False) -> None:
        super().__init__()
        train, part = prepared.train, prepared.part
        self.num_ids, self.in_channels, self.num_classes = train.num_ids, train.num_features, 2
        usable = part == Part.TRAIN
        self.benign = listed(train, usable & (train.y == 0))
        self.training = self.benign if benign_only else listed(train, usable)
        self.stop = listed(train, part == Part.STOP)
        self.calibration = listed(train, part == Part.CALIBRATION)
        self.tests = {name: listed(graphs) for name, graphs in prepared.tests.items()}
        self.test_names, self.attack_names = tuple(self.tests), prepared.attack_names
        self.generator = torch.Generator().manual_seed(seed)

    def train_dataloader(self) -> DataLoader:
        return loader(self.training, generator=self.generator)

    def val_dataloader(self) -> DataLoader:
        return loader(self.stop)

    def calibration_dataloader(self) -> DataLoader:
        return loader(self.calibration)

    def train_eval_dataloader(self) -> DataLoader:
        return loader(self.benign)


def listed(graphs: PackedGraphs, chosen: Tensor | None = None) -> list[Data]:
    """Graphs as objects with tensors of their own, as ``torch.load`` gives them."""
    index = range(len(graphs)) if chosen is None else chosen.nonzero().flatten().tolist()
    return [
        Data(**{name: graph[name].clone() for name in FIELDS})
        for graph in (graphs[i] for i in index)
    ]


def loader(graphs: list[Data], generator: torch.Generator | None = None) -> DataLoader:
    """Batches of equally many graphs: as many batches as the grid's budget gives."""
    nodes = sum(graph.num_nodes for graph in graphs)
    edges = sum(graph.num_edges for graph in graphs)
    batches = max(1, -(-nodes // BATCH.nodes), -(-edges // BATCH.edges))
    size = max(1, -(-len(graphs) // batches))
    return DataLoader(graphs, size, shuffle=generator is not None, generator=generator)


def prepare() -> Prepared:
    """Graphs by our own builder: what a peer loses here it would lose to another benchmark."""
    return Prepared.of(DATA.run(trial(DATA, None), {}, unheard))


def classifier(prepared: Prepared, loss: str, seed: int) -> Detector:
    """Trains a graph attention network."""
    data = Graphs(prepared, seed)
    seed_everything(seed)
    model = BASELINE.model.build(
        num_ids=data.num_ids,
        in_channels=data.in_channels,
        num_classes=data.num_classes,
        loss_fn=window_loss(loss, reduction="mean"),
    )
    return trained(model, data)


def autoencoder(prepared: Prepared, seed: int) -> Detector:
    """Trains an autoencoder on benign windows and calibrates it."""
    data = Graphs(prepared, seed, benign_only=True)
    seed_everything(seed)
    model = AUTOENCODER.model.build(
        num_ids=data.num_ids,
        in_channels=data.in_channels,
        num_classes=data.num_classes,
        loss_fn=None,
    )
    detector = trained(model, data)
    model.on_test_setup(data, torch.device("cpu"))
    return detector


def trained(model: GraphModuleBase, data: Graphs) -> Detector:
    """A model after its training with the best weights."""
    steps = Steps()
    facts = fit(model, data, FIT, unheard, [steps]).facts
    return Detector(model=model, epochs=facts["epochs"], steps=steps.count)


@torch.no_grad()
def scores(detector: Detector, graphs: Sequence[Data]) -> Tensor:
    """Scores of graphs ``[G]``, higher = more anomalous."""
    return torch.cat([detector.model.predict_scores(b) for b in batches(graphs)])


def batches(graphs: Sequence[Data]) -> list[object]:
    """Batches in the order of the graphs, in the form that models take."""
    return [as_graph_batch(batch) for batch in loader(list(graphs))]


def evaluated(detector: Detector, prepared: Prepared) -> dict[str, float]:
    """AUROC of every test subset."""
    return {
        name: auroc(scores(detector, listed(graphs)), graphs.y)
        for name, graphs in prepared.tests.items()
    }


def auroc(found: Tensor, label: Tensor) -> float:
    """Area under the ROC curve, NaN where there is one class alone."""
    value = binary_metrics(found.double(), label, 0.5)["auroc"]
    return float("nan") if value is None else value


@torch.no_grad()
def states(vgae: Detector, gat: Detector, prepared: Prepared) -> Handoff:
    """Features of both detectors on the halves of validation and on the tests."""
    splits = {
        FUSION_TRAIN: (TRAIN_FILE, prepared.index(Part.STOP)),
        FUSION_VALIDATION: (TRAIN_FILE, prepared.index(Part.CALIBRATION)),
        **{name: (name, torch.arange(len(g))) for name, g in prepared.tests.items()},
    }
    files = {}
    for name, (split, index) in splits.items():
        graphs = prepared.train if split == TRAIN_FILE else prepared.tests[split]
        windows: Windows = prepared.windows(split).select(index)
        chosen = torch.zeros(len(graphs), dtype=torch.bool).index_fill_(0, index, True)
        rows: dict[str, list[Tensor]] = {}
        for batch in batches(listed(graphs, chosen)):
            for model, detector in (("vgae", vgae), ("gat", gat)):
                for key, value in detector.model.extract_features(batch, "cpu").items():
                    rows.setdefault(f"{model}.{key}", []).append(value)
        tensors = {key: torch.cat(values) for key, values in rows.items()}
        where = ("label", "attack_type", "capture", "first_message", "start_ns")
        files[name] = TensorFile(tensors | {key: vars(windows)[key] for key in where})
    meta = {
        "tests": list(prepared.tests),
        "captures": prepared.captures,
        "attack_names": prepared.attack_names,
    }
    return Handoff(files=files, meta=meta)


def fused(variant: str, features: Handoff, seed: int) -> dict[str, float]:
    """Trains a fusion head and returns its AUROC on every test subset: no graph is left here."""
    stage = next(v.stage for v in GRID.variants if v.name == variant)
    assert isinstance(stage, Fuse)
    metrics = stage.run(trial(stage, seed), {"states": features}, unheard).metrics
    assert metrics is not None
    rows = metrics.filter((metrics["metric"] == "auroc") & (metrics["attack"] == "all"))
    found = dict(zip(rows["split"], rows["value"], strict=True))
    return {
        name: float("nan") if found.get(name) is None else found[name]
        for name in features.meta["tests"]
    }


def trial(stage: StageLike, seed: int | None) -> Trial:
    """What a stage asks of the trial that it runs for."""
    return Trial(
        fingerprint="0" * 64,
        stage=stage,
        dataset=DATASET,
        dataset_digest=open_dataset(DATASET, None).digest,
        seed=seed,
        label=stage.name,
    )


def steps_of_ours(prepared: Prepared, seed: int, epochs: int, *, benign_only: bool) -> int:
    """Optimiser steps that the grid's own loader gives."""
    module = prepared.data_module(BATCH, seed, benign_only=benign_only)
    batches_of: BudgetLoader = module.train_dataloader()
    return sum(sum(1 for _ in batches_of) for _ in range(epochs))


def unheard(metrics: object, /) -> None:
    """Nobody watches a script."""


assert STATES.train_on == "held_out"
