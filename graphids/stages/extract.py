"""What both detectors say of every window that the fusion is trained or tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphids.core.batch import GraphBatch
from graphids.core.budget import Budget
from graphids.core.memory import trial_device
from graphids.core.models.autoencoder import VGAEConfig
from graphids.core.models.base import GraphModuleBase
from graphids.data.loader import BudgetLoader
from graphids.data.packed import PackedGraphs
from graphids.data.splits import Part
from graphids.grid.trial import Trial
from graphids.stages.autoencode import Autoencode
from graphids.stages.classify import Classify
from graphids.stages.dataset import Prepared
from graphids.stages.demands import scoring_demand
from graphids.stages.detect import load_detector
from graphids.stages.evaluation import Windows
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.latency import detector_latency
from graphids.stages.measure import measure_scoring
from graphids.stages.prepare import TRAIN_FILE
from graphids.stages.protocol import Demand, Measured, Report, Sizes, Stage
from graphids.stages.sizes import BENIGN, CALIBRATION, STOP, TESTS
from graphids.stages.training import move

FUSION_TRAIN = "fusion_train"
"""States on which the fusion is trained."""
FUSION_VALIDATION = "fusion_validation"
"""States on which its threshold is chosen."""
STATE_BYTES = 18 * 4 + 40
"""Bytes that are kept of a window: eighteen features, and where it lies."""
TRAIN_PARTS: Mapping[str, Part] = {"held_out": Part.STOP, "in_sample": Part.TRAIN}
"""Where the fusion's training states come from: windows that neither detector was fitted on, or
those that both were, whose states are over-confident."""


@dataclass(frozen=True, kw_only=True)
class Extract:
    """Features of both detectors: 11 numbers of the autoencoder, 7 of the classifier a window."""

    name: ClassVar[str] = "extract"
    version: ClassVar[int] = 3
    seeded: ClassVar[bool] = True

    autoencoder: Autoencode
    """The unsupervised detector."""
    classifier: Classify
    """The supervised detector."""
    train_on: str = "held_out"
    """Where the training states come from: a key of ``TRAIN_PARTS``."""
    max_train: int = 150_000
    """Most training states; more are thinned at random."""
    max_validation: int = 30_000
    """Most validation states; more are thinned at random."""

    def __post_init__(self) -> None:
        if self.train_on not in TRAIN_PARTS:
            raise ValueError(
                f"train_on must be one of {', '.join(TRAIN_PARTS)} (got {self.train_on!r})"
            )
        if min(self.max_train, self.max_validation) < 1:
            raise ValueError(
                "max_train and max_validation must be at least 1 "
                f"(got {self.max_train} and {self.max_validation})"
            )
        has_errors = isinstance(self.autoencoder.model, VGAEConfig)
        if not has_errors:
            raise ValueError(
                "the fusion reads the errors of a VGAE; give an autoencoder whose model is a "
                f"VGAEConfig (got {type(self.autoencoder.model).__name__})"
            )
        if self.autoencoder.data != self.classifier.data:
            raise ValueError(
                "both detectors must read the same prepared dataset, found "
                f"{self.autoencoder.data} and {self.classifier.data}; set the same `data` in both"
            )

    def upstream(self) -> Mapping[str, Stage]:
        """Both detectors and the dataset that they share."""
        return {
            "data": self.classifier.data,
            "autoencoder": self.autoencoder,
            "classifier": self.classifier,
        }

    def demand(self, inputs: Sizes) -> Demand:
        """One pass over the windows."""
        trained = BENIGN if self.train_on == "in_sample" else STOP
        passes = (trained, CALIBRATION, TESTS)
        return scoring_demand(inputs, self.classifier.batch, passes, STATE_BYTES, 2.0)

    def shape(self) -> Extract:
        """The shapes of both detectors."""
        return Extract(autoencoder=self.autoencoder.shape(), classifier=self.classifier.shape())

    def probe(self, data: Handoff) -> Measured:
        """Measures a pass of both detectors, untrained."""
        prepared, device = Prepared.of(data), trial_device()
        with torch.random.fork_rng(devices=[]):
            models: dict[str, GraphModuleBase] = {
                "vgae": self.autoencoder.untrained(prepared),
                "gat": self.classifier.untrained(prepared),
            }

        def extract(batch: GraphBatch) -> object:
            return _features(models, batch, device)

        return measure_scoring(extract, prepared, self.classifier.batch)

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        """Runs both detectors over the validation halves and every test subset."""
        prepared = Prepared.of(inputs["data"])
        models = {
            "vgae": load_detector(inputs["autoencoder"]),
            "gat": load_detector(inputs["classifier"]),
        }
        budget = self.classifier.batch.within(trial.holds)
        chance = torch.Generator().manual_seed(trial.seed or 0)
        files = {}
        for name, part, most in (
            (FUSION_TRAIN, TRAIN_PARTS[self.train_on], self.max_train),
            (FUSION_VALIDATION, Part.CALIBRATION, self.max_validation),
        ):
            index = thinned(prepared.index(part), most, chance)
            states = _states(models, prepared.train, budget, index)
            files[name] = _state_file(states, prepared.windows(TRAIN_FILE).select(index))
        for name, graphs in prepared.tests.items():
            none = {key: values[:0] for key, values in states.items()}
            index = torch.arange(len(graphs))
            states = _states(models, graphs, budget, index) if len(graphs) else none
            files[name] = _state_file(states, prepared.windows(name))
        report({"windows": float(sum(len(f.tensors["label"]) for f in files.values()))})
        processor = torch.device("cpu")
        latency = detector_latency(
            models,
            lambda batch: _features(models, batch, processor),
            prepared.train,
            compiled=self.classifier.model.compile_model,
        )
        return Handoff(files=files, meta={**_meta(inputs["data"]), **latency})


def read_states(handoff: Handoff, name: str) -> tuple[dict[str, Tensor], Windows]:
    """States of one split by ``model.feature`` name, and where their windows lie."""
    tensors = handoff.files[name].tensors
    split = TRAIN_FILE if name in (FUSION_TRAIN, FUSION_VALIDATION) else name
    windows = Windows(
        label=tensors["label"],
        attack_type=tensors["attack_type"],
        capture=tensors["capture"],
        first_message=tensors["first_message"],
        start_ns=tensors["start_ns"],
        captures=handoff.meta["captures"][split],
    )
    return {key: tensor for key, tensor in tensors.items() if "." in key}, windows


def _meta(data: Handoff) -> dict[str, Any]:
    """What the fusion needs to know of the dataset."""
    return {name: data.meta[name] for name in ("tests", "captures", "attack_names")}


def thinned(index: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """At most ``most`` of the windows at ``index`` ``[n]``, drawn at random, in their order."""
    if index.numel() <= most:
        return index
    chosen = torch.randperm(index.numel(), generator=generator)[:most]
    return index[chosen.sort().values]


@torch.no_grad()
def _states(
    models: Mapping[str, GraphModuleBase], graphs: PackedGraphs, budget: Budget, index: Tensor
) -> dict[str, Tensor]:
    """Features of some graphs, in the order of ``index``, by ``model.feature`` name."""
    device = trial_device()
    loader = BudgetLoader(graphs, budget, index=index)
    rows: dict[str, list[Tensor]] = {}
    order = []
    for batch in move(loader, device):
        order.append(batch.graph_index.cpu())
        for key, value in _features(models, batch, device).items():
            rows.setdefault(key, []).append(value.cpu())
    where = torch.empty(len(graphs), dtype=torch.long)
    where[torch.cat(order)] = torch.arange(len(index))
    return {key: torch.cat(values)[where[index]] for key, values in rows.items()}


def _features(
    models: Mapping[str, GraphModuleBase], batch: GraphBatch, device: torch.device
) -> dict[str, Tensor]:
    """Features of one batch by ``model.feature`` name."""
    return {
        f"{name}.{feature}": value
        for name, model in models.items()
        for feature, value in model.extract_features(batch, device).items()
    }


def _state_file(states: Mapping[str, Tensor], windows: Windows) -> TensorFile:
    """States and the windows behind them as a tensor file."""
    return TensorFile(
        {
            **states,
            "label": windows.label,
            "attack_type": windows.attack_type,
            "capture": windows.capture,
            "first_message": windows.first_message,
            "start_ns": windows.start_ns,
        }
    )
