"""A grid whose results are drawn by their seeds: as many seeds as a test likes in no time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import polars as pl

from graphids.grid import Axis, Grid, Trial, Variant, one_at_a_time
from graphids.stages.handoff import Handoff
from graphids.stages.protocol import Demand, Report, Sizes, Stage
from graphids.store.results import METRICS_SCHEMA, metric_rows


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A detector with a skill, and the luck of its seed around it."""

    name: ClassVar[str] = "guess"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = True

    skill: float = 0.5
    """Mean of its metrics."""
    fails: tuple[int, ...] = field(default=())
    """Seeds that have no result."""

    def upstream(self) -> Mapping[str, Stage]:
        return {}

    def demand(self, inputs: Sizes) -> Demand:
        return Demand()

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        seed = trial.seed or 0
        report({"seed": float(seed)})
        if seed in self.fails:
            raise FloatingPointError(f"seed {seed} diverged")
        shared = np.random.default_rng(seed).normal()
        own = np.random.default_rng((seed, round(1000 * self.skill))).normal()
        rows = []
        for split in ("test_01", "test_02"):
            value = self.skill + 0.1 * shared + 0.01 * own
            found = {"mcc": value, "f1": value, "n_windows": 50.0, "n_attacks": 10.0}
            rows += metric_rows(trial.fingerprint, split, found)
        return Handoff(metrics=pl.DataFrame(rows, schema=METRICS_SCHEMA))


@dataclass(frozen=True, kw_only=True)
class Other(Guess):
    """A detector of another kind, that nothing is compared with."""

    name: ClassVar[str] = "other"


GRID = Grid(
    name="luck",
    variants=(
        *one_at_a_time(Guess(), Axis.of("skill", 0.5, 0.7, 0.501)),
        Variant(name="unlucky", stage=Guess(skill=0.6, fails=(1, 5))),
        Variant(name="alone", stage=Other()),
    ),
    datasets=("sim_small",),
    seeds=range(3),
)
