"""How many nodes and edges one optimiser step may hold.

Works on sizes. It never sees a dataset or a model class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

TARGET_BYTES = 8 * 2**30
"""Memory that the estimate may fill."""
RESERVED_SHARE = 0.05
"""Share of it that libraries keep for themselves."""
BYTES_PER_NODE = 256 * 2**10
BYTES_PER_EDGE = 32 * 2**10
BYTES_PER_NODE_SQUARED = 2**15
"""Attention of every node to every node of a batch, as the gps convolution has it."""
HEADS_OF_CONSTANTS = 4
"""Attention heads for which that constant holds."""
EDGE_HEADROOM = 1.1
DEFAULT_EDGES_PER_NODE = 4.0


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


class SizedGraphs(Protocol):
    """What a budget reads from a packed dataset."""

    @property
    def node_offsets(self) -> Tensor:
        """First node of each graph and the end ``[G + 1]``."""

    @property
    def edge_offsets(self) -> Tensor:
        """First edge of each graph and the end ``[G + 1]``."""


class Attending(Protocol):
    """What a budget reads from a model: how its attention grows with a batch."""

    @property
    def quadratic_heads(self) -> int | None:
        """Heads with which every node attends to every node; none where only edges count."""


def node_budget(
    dataset_name: str,
    *,
    model: Attending,
    train_dataset: SizedGraphs,
    min_steps: int | None = None,
) -> dict[str, Any]:
    """Nodes and edges that one batch may hold, estimated from constant bytes per node and edge.

    Args:
        dataset_name: Name of the dataset, for messages.
        model: Tells how its attention grows.
        train_dataset: Packed training graphs.
        min_steps: Fewest batches of an epoch; none means 1.

    Returns:
        ``budget`` (nodes), never below the largest graph; ``edge_budget``, with a tenth to spare;
        ``binding``, here ``heuristic``; ``backward_multiplier`` and ``t_fwd`` (s), none without a
        measurement; ``target_bytes``.

    Raises:
        ValueError: No training graph, or fewer than one batch of an epoch.
    """
    nodes, edges = train_dataset.node_offsets.diff(), train_dataset.edge_offsets.diff()
    if nodes.numel() == 0:
        raise ValueError(f"a budget needs training graphs; dataset {dataset_name!r} has none")
    steps = 1 if min_steps is None else min_steps
    if steps < 1:
        raise ValueError(f"min_steps must be at least 1 (got {steps})")
    total_nodes, total_edges = int(nodes.sum()), int(edges.sum())
    per_node = total_edges / total_nodes if total_nodes > 0 else DEFAULT_EDGES_PER_NODE
    budget = _affordable_nodes(TARGET_BYTES * (1.0 - RESERVED_SHARE), per_node, model)
    if steps > 1:
        budget = min(budget, total_nodes // steps)
    budget = max(budget, int(nodes.max()))
    return {
        "budget": budget,
        "edge_budget": max(int(edges.max()), int(budget * per_node * EDGE_HEADROOM)),
        "binding": "heuristic",
        "backward_multiplier": None,
        "t_fwd": None,
        "target_bytes": TARGET_BYTES,
    }


def _affordable_nodes(usable: float, edges_per_node: float, model: Attending) -> int:
    """Nodes whose bytes fit into ``usable``."""
    heads = model.quadratic_heads
    if heads is None:
        return int(usable / (BYTES_PER_NODE + edges_per_node * BYTES_PER_EDGE))
    per_pair = BYTES_PER_NODE_SQUARED * max(1.0, heads / HEADS_OF_CONSTANTS)
    return int((usable / per_pair) ** 0.5)
