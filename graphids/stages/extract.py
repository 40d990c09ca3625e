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
from graphids.core.models.base import GraphModuleBase
from graphids.core.models.checkpoint import model_from_checkpoint_tensors
from graphids.data.loader import BudgetLoader
from graphids.data.packed import PackedGraphs
from graphids.data.splits import Part
from graphids.grid.trial import Trial
from graphids.stages.autoencode import Autoencode
from graphids.stages.classify import Classify
from graphids.stages.dataset import Prepared
from graphids.stages.evaluation import Windows
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.prepare import TRAIN_FILE
from graphids.stages.protocol import Demand, Report, Sizes, Stage
from graphids.stages.training import move

FUSION_TRAIN = "fusion_train"
"""States on which the fusion is trained: windows that neither detector was fitted on."""
FUSION_VALIDATION = "fusion_validation"
"""States on which its threshold is chosen."""


@dataclass(frozen=True, kw_only=True)
class Extract:
    """Features of both detectors: 11 numbers of the autoencoder, 7 of the classifier a window."""

    name: ClassVar[str] = "extract"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = True

    autoencoder: Autoencode
    """The unsupervised detector."""
    classifier: Classify
    """The supervised detector."""

    def __post_init__(self) -> None:
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
        return Demand(accelerated=True, cost=2.0)

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        """Runs both detectors over the validation halves and every test subset."""
        prepared = Prepared.of(inputs["data"])
        models = {
            "vgae": _model(inputs["autoencoder"]),
            "gat": _model(inputs["classifier"]),
        }
        budget = self.classifier.batch
        files = {}
        for name, part in ((FUSION_TRAIN, Part.STOP), (FUSION_VALIDATION, Part.CALIBRATION)):
            states = _states(models, prepared.train, budget, prepared.index(part))
            files[name] = _state_file(states, prepared.part_windows(part))
        for name, graphs in prepared.tests.items():
            states = _states(models, graphs, budget, torch.arange(len(graphs)))
            files[name] = _state_file(states, prepared.windows(name))
        report({"windows": float(sum(len(f.tensors["label"]) for f in files.values()))})
        return Handoff(files=files, meta=_meta(inputs["data"]))


def read_states(handoff: Handoff, name: str) -> tuple[dict[str, Tensor], Windows]:
    """States of one split by ``model.feature`` name, and where their windows lie."""
    tensors = handoff.files[name].tensors
    split = TRAIN_FILE if name in (FUSION_TRAIN, FUSION_VALIDATION) else name
    windows = Windows(
        label=tensors["label"],
        attack_type=tensors["attack_type"],
        capture=tensors["capture"],
        first_message=tensors["first_message"],
        captures=handoff.meta["captures"][split],
    )
    return {key: tensor for key, tensor in tensors.items() if "." in key}, windows


def _meta(data: Handoff) -> dict[str, Any]:
    """What the fusion needs to know of the dataset."""
    return {name: data.meta[name] for name in ("tests", "captures", "attack_names")}


def _model(handoff: Handoff) -> GraphModuleBase:
    """A trained detector, ready to score."""
    file = handoff.files["model"]
    model = model_from_checkpoint_tensors(file.tensors, file.header)
    if not isinstance(model, GraphModuleBase):
        raise TypeError(f"a detector of graphs was expected, the checkpoint holds {type(model)}")
    return model.to(trial_device()).eval()


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
        }
    )
