"""Small batches that differ in every way that a step's memory depends on.

Windows of a dataset are much alike: each has as many edges as messages, so batches of them differ
in size alone. Some of their graphs, some of their edges, and edges that are bent to loops make
batches of other proportions: memory depends on how many there are, not on where they lead. The
graphs themselves stay whole, because a loss may look them up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from operator import attrgetter

import torch
from torch import Tensor

from graphids.core.batch import GraphBatch

Batches = Callable[[int], GraphBatch]
"""Gives a batch of about as many graphs as asked for, on the device of the step."""


def varied(batches: Batches, graphs: int) -> Iterator[GraphBatch]:
    """Ten batches of as many graphs to twice as many: other edges, nodes, loops and padding.

    Together they tell apart what each graph, node, edge, loop and padded node costs. None has much
    fewer edges than the smallest: some layers work on edges in pieces of a fixed size, and what a
    batch of less than a piece takes says nothing of larger ones.
    """
    small, large = batches(graphs), batches(2 * graphs)
    by_nodes = large.ptr.diff().argsort()
    half = max(1, by_nodes.numel() // 2)
    low, high, highest = by_nodes[:half], by_nodes[-half:], by_nodes[-1:]
    most = by_nodes[: max(1, by_nodes.numel() - (half + 1) // 2)]
    yield small
    yield large
    yield thinned(large, 2)
    yield looped(large, 2)
    yield looped(thinned(large, 2), 3)
    yield selected(large, low)
    yield selected(large, most)
    yield selected(large, high)
    yield selected(large, torch.cat((low, highest)))
    yield thinned(selected(large, torch.cat((most, highest))), 2)


def thinned(batch: GraphBatch, n: int) -> GraphBatch:
    """The batch with one edge of ``n``."""
    # Copied: a view would keep the memory of every edge.
    return replace(
        batch,
        edge_index=batch.edge_index[:, ::n].clone(),
        edge_attr=batch.edge_attr[::n].clone(),
    )


def looped(batch: GraphBatch, n: int) -> GraphBatch:
    """The batch with one edge of ``n`` bent back to where it begins."""
    edge_index = batch.edge_index.clone()
    edge_index[1, ::n] = edge_index[0, ::n]
    return replace(batch, edge_index=edge_index)


def selected(batch: GraphBatch, index: Tensor) -> GraphBatch:
    """The graphs at ``index`` ``[n]`` (int64) of a batch, in the order that they have there."""
    keep = torch.zeros_like(batch.y, dtype=torch.bool)
    keep[index] = True
    nodes = keep[batch.batch]
    edges = nodes[batch.edge_index[0]]
    counts = batch.ptr.diff()[keep]
    return GraphBatch(
        x=batch.x[nodes],
        node_id=batch.node_id[nodes],
        arbitration_id=batch.arbitration_id[nodes],
        edge_index=(nodes.cumsum(0) - 1)[batch.edge_index[:, edges]],
        edge_attr=batch.edge_attr[edges],
        batch=torch.arange(counts.numel(), device=counts.device).repeat_interleave(counts),
        ptr=torch.cat((counts.new_zeros(1), counts.cumsum(0))),
        y=batch.y[keep],
        attack_type=batch.attack_type[keep],
        graph_index=batch.graph_index[keep],
        step=None if batch.step is None else batch.step[nodes],
    )


def tensors_of(batch: GraphBatch) -> list[Tensor]:
    """What a batch holds."""
    values = attrgetter(*(field.name for field in fields(batch)))(batch)
    return [value for value in values if value is not None]
