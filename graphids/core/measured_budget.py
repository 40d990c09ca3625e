"""The budget that a measurement allows: the smallest of three bounds, and which one that is."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

from graphids.core.memory_model import BatchShape
from graphids.core.probe import ProbeResult

TARGET_BYTES = 8 * 2**30
"""Memory that a step may fill where the device does not tell how much is free."""
RESERVED_SHARE = 0.05
"""Share of it that libraries keep for themselves."""
EDGE_HEADROOM = 1.1
"""Edges of the budget over those that its nodes have on average."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetConfig:
    """What a measured budget must keep to."""

    target_bytes: int = TARGET_BYTES
    """Memory that a step may fill."""
    reserved_share: float = RESERVED_SHARE
    """Share of it that libraries keep for themselves."""
    edge_headroom: float = EDGE_HEADROOM
    """Edges of the budget over those that its nodes have on average."""
    min_steps: int = 1
    """Fewest batches of an epoch."""

    def __post_init__(self) -> None:
        if self.target_bytes < 1:
            raise ValueError(f"target_bytes must be at least 1 (got {self.target_bytes})")
        if not 0.0 <= self.reserved_share < 1.0:
            raise ValueError(f"reserved_share must lie in [0, 1) (got {self.reserved_share})")
        if self.edge_headroom < 1.0:
            raise ValueError(f"edge_headroom must be at least 1 (got {self.edge_headroom})")
        if self.min_steps < 1:
            raise ValueError(f"min_steps must be at least 1 (got {self.min_steps})")


@dataclass(frozen=True, kw_only=True, slots=True)
class BudgetResult:
    """A budget and why it is no larger."""

    nodes: int
    """Most nodes in a batch."""
    edges: int
    """Most edges in a batch."""
    predicted_peak_bytes: int
    """Peak of a step on a batch that is full of both."""
    binding: str
    """The smallest bound: ``memory``, ``steps`` or ``throughput``."""


def budget_from(
    probe: ProbeResult,
    *,
    whole: BatchShape,
    largest: BatchShape,
    config: BudgetConfig | None = None,
) -> BudgetResult:
    """The budget that a probe of training allows.

    Nodes are bounded by memory, by the nodes that leave ``min_steps`` batches of an epoch, and,
    where larger batches were timed and not faster, by the knee of the throughput. A batch holds
    the largest graph in any case.

    Args:
        probe: Memory and speed of a step.
        whole: Sizes of all training graphs together.
        largest: Most nodes and most edges of a graph.
        config: What the budget must keep to.

    Raises:
        ValueError: No node, or the largest graph alone does not fit.
    """
    config = config or BudgetConfig()
    if whole.nodes < 1 or whole.graphs < 1:
        raise ValueError(f"a budget needs graphs with nodes (got {whole})")
    usable = config.target_bytes * (1.0 - config.reserved_share)

    def full(nodes: int) -> BatchShape:
        """The largest shape of a batch under a budget of ``nodes``."""
        graphs = math.ceil(nodes * whole.graphs / whole.nodes)
        edges = int(nodes * whole.edges / whole.nodes * config.edge_headroom)
        return BatchShape(
            graphs=graphs,
            nodes=nodes,
            edges=max(largest.edges, edges),
            squares=graphs * largest.nodes**2,
        )

    def peak(nodes: int) -> int:
        return probe.memory.predict(full(nodes))

    if peak(largest.nodes) > usable:
        raise ValueError(
            f"a step on the largest graph, of {largest.nodes} nodes and {largest.edges} edges, is "
            f"predicted to take {peak(largest.nodes):,} bytes of {int(usable):,}; use a smaller "
            "model, gradient checkpointing or a shorter window"
        )
    bounds = {
        "steps": whole.nodes // config.min_steps,
        "memory": bisect_right(range(whole.nodes + 1), usable, key=peak) - 1,
    }
    if probe.saturated:
        bounds["throughput"] = probe.knee_nodes
    binding = min(bounds, key=lambda name: bounds[name])
    nodes = max(bounds[binding], largest.nodes)
    return BudgetResult(
        nodes=nodes,
        edges=full(nodes).edges,
        predicted_peak_bytes=peak(nodes),
        binding=binding,
    )
