"""What a stage is to the runner: settings that can run themselves and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from graphids.grid.trial import Trial
from graphids.stages.handoff import Handoff


class Report(Protocol):
    """Takes the metrics of one epoch."""

    def __call__(self, metrics: Mapping[str, float], /) -> None:
        """Passes them on to whoever watches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How large a trial's inputs are; ``None`` while they are not prepared yet."""

    graphs: int | None = None
    """Window graphs."""
    nodes: int | None = None
    """Nodes of all graphs."""
    edges: int | None = None
    """Edges of all graphs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """What a trial needs of a machine; never part of its identity."""

    cpus: float = 1.0
    """Cores."""
    accelerated: bool = False
    """Whether a GPU makes it faster."""
    cost: float = 1.0
    """Expected duration relative to other stages: what lies on the longest path starts first."""


class Stage(Protocol):
    """One step of a variant's chain, as a frozen value of settings."""

    name: ClassVar[str]
    version: ClassVar[int]
    seeded: ClassVar[bool]

    def upstream(self) -> Mapping[str, Stage]:
        """Role and stage of each input."""

    def demand(self, inputs: Sizes) -> Demand:
        """What a trial of this stage needs; never part of its identity."""

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        """Does the work of one trial on the outputs of its upstream trials."""
