"""How a step is measured and what is found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from graphids.core.memory_model import BatchShape, MemoryModel
from graphids.core.speed_model import SpeedModel


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeConfig:
    """How a step is measured."""

    graphs: int = 8
    """Graphs of the smallest batches whose memory is traced; the largest have twice as many."""
    misfit: float = 1e-3
    """Misfit of the memory's model beyond which larger batches are traced instead."""
    max_graphs: int = 128
    """Most graphs of a timed batch: as many as a batch of the trial has."""
    growth: int = 2
    """Times that each timed batch is larger than the last one."""
    max_bytes: int = 2**30
    """Predicted peak beyond which no batch is timed."""
    max_seconds: float = 3.0
    """Time after which no larger batch is timed."""
    repeats: int = 3
    """Timed steps a size, after one to warm up; their median counts."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient."""
    seed: int = 20_260_102
    """Seed of dropout and masks."""

    def __post_init__(self) -> None:
        for name, value in (
            ("graphs", self.graphs), ("max_graphs", self.max_graphs), ("repeats", self.repeats),
        ):  # fmt: skip
            if value < 1:
                raise ValueError(f"{name} must be at least 1 (got {value})")
        if self.growth < 2:
            raise ValueError(f"growth must be at least 2 (got {self.growth})")
        for name, number in (
            ("misfit", self.misfit), ("max_bytes", self.max_bytes),
            ("max_seconds", self.max_seconds), ("gradient_clip", self.gradient_clip),
        ):  # fmt: skip
            if number <= 0:
                raise ValueError(f"{name} must be positive (got {number})")


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeResult:
    """Memory and speed of a step, on one device."""

    memory: MemoryModel
    """Peak of its tensors, the weights included."""
    fixed_bytes: int
    """Parameters, and in training their gradients and what the optimiser keeps."""
    speed: SpeedModel
    """Its duration."""
    throughput: tuple[tuple[int, float], ...]
    """Nodes of a batch and graphs a second, for each timed size."""
    knee_nodes: int
    """Nodes of the smallest timed batch whose throughput is at most 5 % below the best."""
    forward_seconds: float
    """Seconds of a forward pass alone on the largest timed batch."""
    backward_multiplier: float
    """Seconds of the whole step for each second of the forward pass; 1 where that is the step."""
    device: str
    """What it was measured on."""
    probe_seconds: float
    """What measuring took."""

    @property
    def saturated(self) -> bool:
        """Whether batches larger than the knee were timed, and were not faster."""
        return self.knee_nodes < max(nodes for nodes, _ in self.throughput)

    def seconds(self, shape: BatchShape) -> float:
        """Seconds of a step on a batch of this shape."""
        return self.speed.seconds(shape)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {
            "memory": self.memory.to_dict(),
            "throughput": [list(measured) for measured in self.throughput],
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> ProbeResult:
        """The result whose ``to_dict`` is given."""
        return cls(
            **{
                **found,
                "memory": MemoryModel.from_dict(found["memory"]),
                "speed": SpeedModel(**found["speed"]),
                "throughput": tuple((int(n), float(rate)) for n, rate in found["throughput"]),
            }
        )
