"""A grid of trials that do nothing: what it takes is what the runner itself takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from graphids.grid import Grid, Trial, Variant
from graphids.stages.handoff import Handoff
from graphids.stages.protocol import Demand, Report, Sizes, Stage


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """Reports one epoch and hands on its seed."""

    name: ClassVar[str] = "nothing"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = True

    def upstream(self) -> Mapping[str, Stage]:
        """No input."""
        return {}

    def demand(self, inputs: Sizes) -> Demand:
        """One core for no time."""
        return Demand()

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        """Works on nothing."""
        report({"epoch": 0.0})
        return Handoff(meta={"seed": trial.seed})


GRID = Grid(
    name="empty",
    variants=(Variant(name="nothing", stage=Nothing(), baseline=True),),
    datasets=("sim_small",),
    seeds=range(200),
    references=(),
)
