"""A user's own grid: stages without torch work, so that the runner is what a test sees."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import polars as pl
import torch

from graphids.core.metrics import binary_metrics
from graphids.grid import Axis, Grid, Trial, Variant, one_at_a_time
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.protocol import Demand, Report, Sizes, Stage
from graphids.store.results import METRICS_SCHEMA, metric_rows


def _metrics(trial: Trial, value: float) -> pl.DataFrame:
    labels = torch.tensor([0, 0, 1, 1])
    scores = torch.tensor([0.1, 0.2, 0.3, value])
    rows = metric_rows(trial.fingerprint, "test_01", binary_metrics(scores, labels, 0.25))
    return pl.DataFrame(rows, schema=METRICS_SCHEMA)


@dataclass(frozen=True, kw_only=True)
class Source:
    """Hands on a tensor large enough that copies would show."""

    name: ClassVar[str] = "prepare"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = False

    size: int = 1000

    def upstream(self) -> Mapping[str, Stage]:
        return {}

    def demand(self, inputs: Sizes) -> Demand:
        return Demand()

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        report({"size": float(self.size)})
        return Handoff(
            files={"numbers": TensorFile({"x": torch.arange(self.size, dtype=torch.float64)})},
            metrics=_metrics(trial, 1.0),
        )


@dataclass(frozen=True, kw_only=True)
class Add:
    """Adds the seed to its input's sum, after some seconds; raises where it is told to."""

    name: ClassVar[str] = "add"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = True

    source: Source = field(default_factory=Source)
    seconds: float = 0.0
    fault: str = ""
    """``bug``, ``nan`` (as a diverged loss), or ``file:PATH`` that fails while PATH exists."""

    def upstream(self) -> Mapping[str, Stage]:
        return {"source": self.source}

    def demand(self, inputs: Sizes) -> Demand:
        return Demand()

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        x = inputs["source"].files["numbers"].tensors["x"]
        report({"sum": float(x.sum())})
        time.sleep(self.seconds)
        if self.fault == "bug":
            raise KeyError("a stage that raises")
        if self.fault == "nan":
            raise FloatingPointError("train_loss is nan in epoch 3")
        if self.fault.startswith("file:") and Path(self.fault.removeprefix("file:")).exists():
            raise OSError("the file is still there")
        total = x.sum() + (trial.seed or 0)
        return Handoff(
            files={"numbers": TensorFile({"x": total[None]})},
            meta={"total": float(total)},
            metrics=_metrics(trial, 0.5),
        )


@dataclass(frozen=True, kw_only=True)
class Double:
    """Doubles what ``add`` found."""

    name: ClassVar[str] = "double"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = True

    add: Add

    def upstream(self) -> Mapping[str, Stage]:
        return {"add": self.add}

    def demand(self, inputs: Sizes) -> Demand:
        return Demand(cost=5.0)

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        value = 2.0 * inputs["add"].files["numbers"].tensors["x"]
        return Handoff(files={"numbers": TensorFile({"x": value})}, metrics=_metrics(trial, 0.9))


BASELINE = Add()

GRID = Grid(
    name="own",
    variants=(
        *one_at_a_time(BASELINE, Axis.of("seconds", 0.0, 0.3, 1.5)),
        Variant(name="doubled", stage=Double(add=BASELINE)),
        Variant(name="bug", stage=Add(fault="bug")),
        Variant(name="nan", stage=Add(fault="nan")),
        Variant(name="after_bug", stage=Double(add=Add(fault="bug"))),
    ),
    datasets=("sim_small",),
    seeds=range(1),
)
