"""An own grid in which some trials run out of memory, as often as they are told to.

No device is needed: a trial raises what torch raises, and counts its attempts in a folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from graphids.grid import Axis, Grid, Trial, Variant, one_at_a_time
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.protocol import Demand, Report, Sizes, Stage

ALWAYS = 99
"""More failures than a trial has attempts."""


@dataclass(frozen=True, kw_only=True)
class Eat:
    """Draws numbers from its seed, after its first attempts ran out of memory."""

    name: ClassVar[str] = "eat"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = True

    size: int = 100
    """Numbers that it draws."""
    failures: int = 0
    """Attempts that run out of memory."""
    cpus: float = 1.0
    """Cores that it asks for."""
    marks: str = ""
    """Folder of its attempts; none where nobody counts them."""

    def upstream(self) -> Mapping[str, Stage]:
        return {}

    def demand(self, inputs: Sizes) -> Demand:
        return Demand(cpus=self.cpus)

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        if self.marks and self._attempt(trial) <= self.failures:
            raise torch.OutOfMemoryError("a trial that took more than its share")
        report({"size": float(self.size)})
        return Handoff(files={"numbers": TensorFile({"x": self.numbers(trial.seed)})})

    def numbers(self, seed: int | None) -> Tensor:
        """What a trial hands on ``[size]``."""
        return torch.randn(self.size, generator=torch.Generator().manual_seed(seed or 0))

    def _attempt(self, trial: Trial) -> int:
        """Which attempt this is, the first one being 1."""
        path = Path(self.marks) / trial.short
        with path.open("a") as file:
            file.write(".")
        return path.stat().st_size


@dataclass(frozen=True, kw_only=True)
class Digest:
    """Sums what another stage drew."""

    name: ClassVar[str] = "digest"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = True

    eat: Eat
    """Whose numbers."""

    def upstream(self) -> Mapping[str, Stage]:
        return {"eat": self.eat}

    def demand(self, inputs: Sizes) -> Demand:
        return Demand()

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        total = inputs["eat"].files["numbers"].tensors["x"].sum()
        return Handoff(files={"numbers": TensorFile({"x": total[None]})})


GRID = Grid(
    name="hungry",
    variants=(
        *one_at_a_time(Eat(), Axis.of("size", 100, 200, 300)),
        Variant(name="twice", stage=Eat(failures=2)),
        Variant(name="always", stage=Eat(failures=ALWAYS)),
        Variant(name="after_twice", stage=Digest(eat=Eat(failures=2))),
        Variant(name="after_always", stage=Digest(eat=Eat(failures=ALWAYS))),
    ),
    datasets=("sim_small",),
    seeds=(3,),
)
