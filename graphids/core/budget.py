"""How many nodes and edges one optimiser step may hold.

Works on sizes. It never sees a dataset or a model class.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """Nodes and edges that one batch may hold, and the fewest batches of an epoch."""

    nodes: int = 4096
    """Most nodes in a batch."""
    edges: int = 16384
    """Most edges in a batch."""
    min_steps_per_epoch: int = 1
    """Fewest batches of an epoch: a small dataset in one batch would be full-batch descent."""

    def __post_init__(self) -> None:
        for name, value in (
            ("nodes", self.nodes),
            ("edges", self.edges),
            ("min_steps_per_epoch", self.min_steps_per_epoch),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1 (got {value})")
