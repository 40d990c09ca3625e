"""Self-loops of window graphs, a step that a detector on a bus waits for.

PyG's ``remove_self_loops`` and ``add_self_loops`` give the same edges in half as much time again.
"""

from __future__ import annotations

import torch
from torch import Tensor


def one_loop_each(
    edge_index: Tensor, edge_attr: Tensor | None, num_nodes: int
) -> tuple[Tensor, Tensor | None]:
    """The edges that are no loops, then one loop of each node.

    A loop has the mean features of the other edges that enter its node, 0 where there is none.

    Args:
        edge_index: Edges ``[2, E]``.
        edge_attr: Their features ``[E, D]``, where they have some.
        num_nodes: Nodes ``V``.

    Returns:
        Edges ``[2, E' + V]`` and their features ``[E' + V, D]``, if any.
    """
    source, target = edge_index.unbind()
    kept = (source != target).nonzero().view(-1)
    nodes = torch.arange(num_nodes, device=target.device)
    ends = torch.cat((edge_index.index_select(1, kept), nodes.expand(2, -1)), dim=1)
    if edge_attr is None:
        return ends, None
    features = edge_attr.index_select(0, kept)
    into = ends[1, : kept.numel(), None]
    sums = features.new_zeros(num_nodes, features.shape[1])
    sums = sums.scatter_add_(0, into.expand_as(features), features)
    count = features.new_zeros(num_nodes, 1).scatter_add_(0, into, torch.ones_like(features[:, :1]))
    return ends, torch.cat((features, sums / count.clamp_(min=1.0)))
