"""Which layers of a student resemble which layers of its teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from graphids.core.analysis.cka import FEWEST, linear_cka
from graphids.core.batch import GraphBatch
from graphids.core.models.base import GraphModuleBase
from graphids.data.splits import Part
from graphids.grid.trial import Trial
from graphids.stages.analyse_models import LIGHT, batches_of, layers
from graphids.stages.dataset import Prepared
from graphids.stages.detect import load_detector
from graphids.stages.extract import thinned
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.protocol import Demand, Report, Sizes, Stage
from graphids.stages.record import Detector

SIMILARITY_FILE = "similarity"


@dataclass(frozen=True, kw_only=True)
class Similarity:
    """CKA of every layer of one trained detector with every layer of another one."""

    name: ClassVar[str] = "similarity"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = True

    teacher: Detector
    """The stage that trains the detector whose layers are the rows."""
    student: Detector
    """The stage that trains the detector whose layers are the columns."""
    windows: int = 500
    """Most validation windows, drawn at random; each is an example, the mean of its nodes."""

    def __post_init__(self) -> None:
        if self.windows < FEWEST:
            raise ValueError(f"windows must be at least {FEWEST} (got {self.windows})")
        if self.teacher.data != self.student.data:
            raise ValueError(
                "teacher and student must read the same prepared dataset, found "
                f"{self.teacher.data} and {self.student.data}; set the same `data` in both"
            )

    def upstream(self) -> Mapping[str, Stage]:
        """The prepared dataset and both detectors."""
        return {"data": self.teacher.data, "teacher": self.teacher, "student": self.student}

    def demand(self, inputs: Sizes) -> Demand:
        """A core, for seconds."""
        return LIGHT

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        """Runs both over the same windows and compares all pairs of layers."""
        prepared = Prepared.of(inputs["data"])
        chance = torch.Generator().manual_seed(trial.seed or 0)
        index = thinned(prepared.index(Part.CALIBRATION), self.windows, chance)
        budget = self.teacher.batch.within(trial.holds)
        batches = batches_of(prepared.train, budget, index)
        rows, columns = (
            _layers(load_detector(inputs[role]), batches) for role in ("teacher", "student")
        )
        report({"windows": float(len(index))})
        found = linear_cka(list(rows.values()), list(columns.values()))
        return Handoff(
            files={SIMILARITY_FILE: TensorFile({"cka": found})},
            meta={
                "windows": len(index),
                "teacher_layers": list(rows),
                "student_layers": list(columns),
            },
        )


@torch.no_grad()
def _layers(model: GraphModuleBase, batches: Sequence[GraphBatch]) -> dict[str, Tensor]:
    """Windows after each layer ``[N, H]``, by the layer's name."""
    found: dict[str, list[Tensor]] = {}
    for batch in batches:
        for name, values in layers(model, batch).items():
            found.setdefault(name, []).append(values.cpu())
    return {name: torch.cat(parts) for name, parts in found.items()}
