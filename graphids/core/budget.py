"""How many nodes and edges one optimiser step may hold, measured where that is possible.

Works on sizes, graphs and a module. It never sees a dataset's or a model's class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from graphids.core.batch import GraphBatch, as_graph_batch
from graphids.core.measured_budget import (
    EDGE_HEADROOM,
    RESERVED_SHARE,
    TARGET_BYTES,
    BudgetConfig,
    BudgetResult,
    budget_from,
)
from graphids.core.memory import free_bytes
from graphids.core.memory_model import BatchShape
from graphids.core.probe import ProbeConfig, Trainable, probe_training

BYTES_PER_NODE = 256 * 2**10
BYTES_PER_EDGE = 32 * 2**10
BYTES_PER_NODE_SQUARED = 2**15
"""Attention of every node to every node of a batch, as the gps convolution has it."""
HEADS_OF_CONSTANTS = 4
"""Attention heads for which that constant holds."""
DEFAULT_EDGES_PER_NODE = 4.0
LARGEST_VALUE = 10.0
"""Bound of the features while measuring: memory and time do not depend on values, a loss does."""


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

    def within(self, holds: tuple[int, int] | None) -> Budget:
        """The part of this budget that a device holds at once, given as nodes and edges.

        Batches of it are for evaluation: how many there are of them does not count.
        """
        nodes, edges = (self.nodes, self.edges) if holds is None else holds
        return Budget(nodes=min(self.nodes, nodes), edges=min(self.edges, edges))


class SizedGraphs(Protocol):
    """What a budget reads from a packed dataset."""

    @property
    def node_offsets(self) -> Tensor:
        """First node of each graph and the end ``[G + 1]``."""

    @property
    def edge_offsets(self) -> Tensor:
        """First edge of each graph and the end ``[G + 1]``."""


@runtime_checkable
class IndexedGraphs(SizedGraphs, Protocol):
    """A packed dataset that gives its graphs as well, so that steps on them can be measured."""

    def __len__(self) -> int:
        """Number of graphs."""

    def __getitem__(self, i: int) -> Data:
        """Graph ``i``."""


class Attending(Protocol):
    """What a budget reads from a model: how its attention grows with a batch."""

    @property
    def quadratic_heads(self) -> int | None:
        """Heads with which every node attends to every node; none where only edges count."""


@runtime_checkable
class Buildable(Trainable, Protocol):
    """A model whose layers may not exist yet."""

    @property
    def built(self) -> bool:
        """True once they do."""


def node_budget(
    dataset_name: str,
    *,
    model: Attending,
    train_dataset: SizedGraphs,
    min_steps: int | None = None,
) -> dict[str, Any]:
    """Nodes and edges that one batch may hold.

    Measured where the model is built and the dataset gives graphs; else estimated from constant
    bytes per node and edge.

    Args:
        dataset_name: Name of the dataset, for messages.
        model: A model; where it is only estimated, it tells how its attention grows.
        train_dataset: Packed training graphs.
        min_steps: Fewest batches of an epoch; none means 1.

    Returns:
        ``budget`` (nodes), never below the largest graph; ``edge_budget``, with a tenth to spare;
        ``binding``: ``memory``, ``steps`` or ``throughput``, or ``heuristic`` for an estimate;
        ``backward_multiplier`` and ``t_fwd`` (s), none without a measurement; ``target_bytes``.

    Raises:
        ValueError: No training graph, fewer than one batch of an epoch, or, where it was measured,
            a graph that does not fit by itself.
    """
    nodes, edges = train_dataset.node_offsets.diff(), train_dataset.edge_offsets.diff()
    if nodes.numel() == 0:
        raise ValueError(f"a budget needs training graphs; dataset {dataset_name!r} has none")
    steps = 1 if min_steps is None else min_steps
    if steps < 1:
        raise ValueError(f"min_steps must be at least 1 (got {steps})")
    graphs, most = nodes.numel(), int(nodes.max())
    whole = BatchShape(
        graphs=graphs, nodes=int(nodes.sum()), edges=int(edges.sum()), squares=graphs * most**2
    )
    largest = BatchShape(graphs=1, nodes=most, edges=int(edges.max()), squares=most**2)
    if (
        isinstance(model, nn.Module)
        and isinstance(model, Buildable)
        and model.built
        and isinstance(train_dataset, IndexedGraphs)
    ):
        return _measured(model, train_dataset, whole, largest, steps)
    return _estimated(model, whole, largest, steps)


def _measured(
    model: nn.Module, graphs: IndexedGraphs, whole: BatchShape, largest: BatchShape, min_steps: int
) -> dict[str, Any]:
    """The budget from steps on some of the graphs."""
    device = next(model.parameters()).device

    def batches(num_graphs: int) -> GraphBatch:
        index = torch.linspace(0, len(graphs) - 1, num_graphs).round().long().tolist()
        batch = as_graph_batch(Batch.from_data_list([graphs[i].clone() for i in index]))
        batch.x.nan_to_num_().clamp_(-LARGEST_VALUE, LARGEST_VALUE)
        return batch.to(device)

    config = ProbeConfig()
    config = ProbeConfig(max_graphs=min(config.max_graphs, whole.graphs))
    probe = probe_training(model, batches, config)
    target = free_bytes(device) or TARGET_BYTES
    found = budget_from(
        probe,
        whole=whole,
        largest=largest,
        config=BudgetConfig(target_bytes=target, min_steps=min_steps),
    )
    return {
        "budget": found.nodes,
        "edge_budget": found.edges,
        "binding": found.binding,
        "backward_multiplier": probe.backward_multiplier,
        "t_fwd": probe.forward_seconds,
        "target_bytes": target,
    }


def _estimated(
    model: Attending, whole: BatchShape, largest: BatchShape, min_steps: int
) -> dict[str, Any]:
    """The budget from constant bytes per node and edge."""
    per_node = whole.edges / whole.nodes if whole.nodes > 0 else DEFAULT_EDGES_PER_NODE
    budget = _affordable_nodes(TARGET_BYTES * (1.0 - RESERVED_SHARE), per_node, model)
    if min_steps > 1:
        budget = min(budget, whole.nodes // min_steps)
    budget = max(budget, largest.nodes)
    return {
        "budget": budget,
        "edge_budget": max(largest.edges, int(budget * per_node * EDGE_HEADROOM)),
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


__all__ = [
    "Attending",
    "Budget",
    "BudgetConfig",
    "BudgetResult",
    "Buildable",
    "IndexedGraphs",
    "SizedGraphs",
    "budget_from",
    "node_budget",
]
