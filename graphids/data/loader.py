"""Batches of packed graphs under a budget of nodes and edges, gathered by ``index_select``.

An epoch holds every graph exactly once. None is skipped: one that no batch can hold is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphids.core.batch import GraphBatch
from graphids.core.budget import Budget
from graphids.data.packed import PackedGraphs, ragged_rows


def gather_batch(graphs: PackedGraphs, index: Tensor) -> GraphBatch:
    """Joins the graphs at ``index`` ``[n]`` (int64) into one batch, in that order."""
    nodes, ptr = ragged_rows(graphs.node_offsets, index)
    edge_index, edge_attr = _gather_edges(graphs, index, ptr[:-1])
    batch = torch.arange(index.numel()).repeat_interleave(ptr.diff(), output_size=nodes.numel())
    return GraphBatch(
        x=graphs.x.index_select(0, nodes),
        node_id=graphs.node_id.index_select(0, nodes),
        arbitration_id=graphs.arbitration_id.index_select(0, nodes),
        edge_index=edge_index,
        edge_attr=edge_attr,
        batch=batch,
        ptr=ptr,
        y=graphs.y.index_select(0, index),
        attack_type=graphs.attack_type.index_select(0, index),
        graph_index=index,
        step=None if graphs.step is None else graphs.step.index_select(0, nodes),
    )


def _gather_edges(graphs: PackedGraphs, index: Tensor, first_node: Tensor) -> tuple[Tensor, Tensor]:
    """Edges of the graphs at ``index`` ``[n]``, whose nodes begin at ``first_node`` ``[n]``.

    Graphs of one size have equally many edges, so that graph ``i`` is slab ``i``: copying slabs is
    several times faster than copying edges. Whether the chosen graphs are such slabs is looked at.

    Returns:
        ``edge_index`` ``[2, E]``, numbered in the batch, and ``edge_attr`` ``[E, D]``.
    """
    num_edges, width = graphs.edge_attr.shape
    size = num_edges // max(1, len(graphs))
    slab = index * size
    if (
        num_edges == size * len(graphs)
        and torch.equal(graphs.edge_offsets.index_select(0, index), slab)
        and torch.equal(graphs.edge_offsets.index_select(0, index + 1), slab + size)
    ):
        edge_index = graphs.edge_index.view(2, -1, size).index_select(1, index)
        edge_attr = graphs.edge_attr.view(-1, size * width).index_select(0, index)
        edge_index += first_node[:, None]
        return edge_index.view(2, -1), edge_attr.view(-1, width)
    edges, offsets = ragged_rows(graphs.edge_offsets, index)
    edge_index = graphs.edge_index.index_select(1, edges)
    edge_index += first_node.repeat_interleave(offsets.diff(), output_size=edges.numel())
    return edge_index, graphs.edge_attr.index_select(0, edges)


class BudgetLoader:
    """Iterates over graphs in batches that hold at most the budget; may be iterated again.

    With a generator each epoch has a new order and new batches. ``len()`` is the number of batches
    of the next iteration, and asking for it does not change what that iteration yields.
    """

    def __init__(
        self,
        graphs: PackedGraphs,
        budget: Budget,
        *,
        generator: torch.Generator | None = None,
        index: Tensor | None = None,
    ) -> None:
        """Checks that each graph fits.

        Args:
            graphs: where the batches come from.
            budget: most nodes and edges of a batch, fewest batches of an epoch (as many as graphs
                where there are fewer).
            generator: draws the order of each epoch; without one the order is that of ``index``.
            index: the graphs to iterate over ``[n]``, int64; all by default.

        Raises:
            ValueError: if a graph alone exceeds the budget.
        """
        self.graphs = graphs
        self.budget = budget
        self.generator = generator
        self.index = torch.arange(len(graphs)) if index is None else index
        self._nodes = graphs.num_nodes[self.index].numpy()
        self._edges = graphs.num_edges[self.index].numpy()
        self._check()
        self._next: list[Tensor] | None = None

    @property
    def shuffled(self) -> bool:
        """Whether each epoch has an order of its own."""
        return self.generator is not None

    def __len__(self) -> int:
        if self._next is None:
            self._next = self._plan()
        return len(self._next)

    def __iter__(self) -> Iterator[GraphBatch]:
        plan = self._plan() if self._next is None else self._next
        self._next = None
        for index in plan:
            yield gather_batch(self.graphs, index)

    def _check(self) -> None:
        """Refuses a graph that no batch can hold."""
        too_big = (self._nodes > self.budget.nodes) | (self._edges > self.budget.edges)
        if too_big.any():
            position = int(too_big.argmax())
            raise ValueError(
                f"graph {int(self.index[position])} has {self._nodes[position]} nodes and "
                f"{self._edges[position]} edges, more than the budget of {self.budget.nodes} nodes "
                f"and {self.budget.edges} edges; shorten the window or raise the budget "
                f"({int(too_big.sum())} graphs are too big; none is skipped)"
            )

    def _plan(self) -> list[Tensor]:
        """The graphs of each batch of one epoch."""
        if self.generator is None:
            order = torch.arange(self.index.numel())
        else:
            order = torch.randperm(self.index.numel(), generator=self.generator)
        positions = order.numpy()
        borders = cut(self._nodes[positions], self._edges[positions], self.budget)
        shuffled = self.index[order]
        return [shuffled[a:b] for a, b in pairwise(borders)]


def cut(nodes: NDArray[np.int64], edges: NDArray[np.int64], budget: Budget) -> list[int]:
    """Borders of consecutive batches ``[B + 1]`` over graphs of the given sizes ``[n]``.

    Each batch takes as many graphs as the budget holds, and no more than leave
    ``min_steps_per_epoch`` batches.
    """
    n = len(nodes)
    most_graphs = max(1, n // budget.min_steps_per_epoch)
    nodes_before = np.concatenate(([0], np.cumsum(nodes)))
    edges_before = np.concatenate(([0], np.cumsum(edges)))
    # The batch that begins at graph i ends before graph reach[i].
    reach = np.minimum.reduce(
        (
            np.searchsorted(nodes_before, nodes_before + budget.nodes, side="right") - 1,
            np.searchsorted(edges_before, edges_before + budget.edges, side="right") - 1,
            np.arange(n + 1) + most_graphs,
        )
    ).tolist()
    borders = [0]
    while borders[-1] < n:
        borders.append(min(n, reach[borders[-1]]))
    return borders
