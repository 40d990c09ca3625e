"""What a stage is to the runner: settings that can run themselves and tell what that takes.

Every stage gives ``Stage``. One that trains a model can also be ``Measurable``, and one whose
trials are short can be ``Together``; a stage of your own needs neither.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

from graphids.core.budget import Budget
from graphids.core.memory_model import BatchShape, MemoryModel
from graphids.core.probe import ProbeResult
from graphids.grid.trial import Trial
from graphids.stages.handoff import Handoff

TRAIN, SCORE = "train", "score"
"""Names of what is measured: a step of training, a pass that scores."""


class Report(Protocol):
    """Takes the metrics of one epoch."""

    def __call__(self, metrics: Mapping[str, float], /) -> None:
        """Passes them on to whoever watches."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """How large one part of a prepared dataset is."""

    graphs: int
    """Graphs."""
    nodes: int
    """Nodes of all graphs."""
    edges: int
    """Edges of all graphs."""
    loops: int
    """Edges from a node to itself among them."""
    largest: int
    """Nodes of the largest graph."""

    def share(self, part: float) -> BatchShape:
        """A batch that holds this share of it, at least one graph."""
        graphs = max(1, round(self.graphs * part))
        return BatchShape(
            graphs=graphs,
            nodes=round(self.nodes * part),
            edges=round(self.edges * part),
            squares=graphs * self.largest**2,
            loops=round(self.loops * part),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """How large a trial's inputs are and how fast its model is, as far as either is known."""

    parts: Mapping[str, Extent] = field(default_factory=dict)
    """Each part of the dataset by name; empty before it is prepared."""
    data_bytes: int | None = None
    """Bytes of the prepared dataset."""
    probe: Mapping[str, ProbeResult] = field(default_factory=dict)
    """What was measured of the steps of the trial's shape; empty before."""
    resident_bytes: int | None = None
    """What a rehearsal of the shape added to a process without a GPU; none before."""

    @property
    def known(self) -> bool:
        """Whether the dataset was prepared and the shape measured."""
        return bool(self.parts and self.probe)

    def fullest(self, part: str, budget: Budget) -> BatchShape:
        """The largest batch that a part of the dataset gives under a budget."""
        whole = self.parts[part]
        share = min(
            1.0,
            budget.nodes / max(1, whole.nodes),
            budget.edges / max(1, whole.edges),
            1.0 / budget.min_steps_per_epoch,
        )
        return whole.share(share)

    def pass_seconds(self, part: str, budget: Budget, measured: str) -> float:
        """Seconds of one pass over a part of the dataset in batches under a budget."""
        whole = self.parts[part]
        if whole.graphs == 0:
            return 0.0
        batch = self.fullest(part, budget)
        return self.probe[measured].seconds(batch) * whole.graphs / batch.graphs


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """What a trial needs of a machine; never part of its identity."""

    cpus: float = 1.0
    """Cores."""
    accelerated: bool = False
    """Whether a GPU makes it faster."""
    cost: float = 1.0
    """Expected duration relative to other stages: what lies on the longest path starts first."""
    tensor_bytes: int | None = None
    """Predicted peak of its tensors; none where nothing was measured."""
    resident_bytes: int | None = None
    """Predicted growth of its process where there is no GPU; none where nothing was measured."""
    alone_share: float | None = None
    """Share of the device's best throughput that one trial reaches with its own batch; none where
    the device was never saturated, as a core is by any batch."""
    steps: tuple[tuple[MemoryModel, BatchShape], ...] = ()
    """Memory of each kind of step and the largest batch it gets, where a batch can be split."""
    seconds: float | None = None
    """Expected duration; none where nothing was measured."""
    output_bytes: int | None = None
    """Expected size of its output; none where it is small or not known."""

    @property
    def measured(self) -> bool:
        """Whether its memory was measured."""
        return self.tensor_bytes is not None or self.resident_bytes is not None


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


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What was measured of a shape."""

    steps: Mapping[str, ProbeResult]
    """Memory and speed of each kind of step, by ``TRAIN`` and ``SCORE``."""
    resident_bytes: int | None
    """Growth of the process in a rehearsal of real batches; none on a GPU, where tensors count."""


@runtime_checkable
class Measurable(Protocol):
    """A stage whose memory and speed are measured before its trials run."""

    def shape(self) -> Stage:
        """The stage without what bears neither on memory nor on the time of a step.

        Stages that differ in that alone have equal shapes, and one measurement.
        """

    def probe(self, data: Handoff) -> Measured:
        """Measures a few steps on the prepared dataset; trains nothing and keeps nothing."""


@runtime_checkable
class Together(Protocol):
    """A stage whose trials of several seeds can share one process, each with its own result."""

    def run_together(
        self, trials: Sequence[Trial], inputs: Sequence[Mapping[str, Handoff]], report: Report
    ) -> Sequence[Handoff | Exception]:
        """Runs trials that differ in their seed alone; what one gives depends on no other."""
