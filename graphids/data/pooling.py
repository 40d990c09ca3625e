"""Each window as one row of numbers, for learners that take tables instead of graphs.

A row summarises the raw features of the window's nodes and edges. It holds no arbitration id, so
that it means the same on a vehicle that nobody has seen.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphids.data.features import EDGE_FEATURES, NODE_FEATURES
from graphids.data.packed import PackedGraphs

STATISTICS: tuple[str, ...] = ("mean", "max", "std")
"""What is kept of a feature over the nodes or edges of a window."""
RATES: tuple[str, ...] = ("rate", "own_rate")
"""Messages a second of each node: over the window, and by its own mean inter-arrival time."""

_POOLED = (
    *(f"node_{statistic}_{name}" for statistic in STATISTICS for name in NODE_FEATURES),
    *(f"edge_{statistic}_{name}" for statistic in STATISTICS for name in EDGE_FEATURES),
    "num_nodes",
)
_TIMES = ("span_s", *(f"node_{statistic}_{name}" for statistic in STATISTICS for name in RATES))

WINDOW_FEATURES: tuple[str, ...] = (*_POOLED, *_TIMES)
"""Columns of a pooled window; times in seconds, rates in messages a second, bytes 0 to 255."""
POOLED_FEATURES: tuple[int, ...] = tuple(range(len(_POOLED)))
"""Columns of the plain summary: each node and edge feature, and the number of nodes.

The span is left to the timing columns: the mean gap between messages is the same number.
"""
TIMING_FEATURES: tuple[int, ...] = tuple(
    WINDOW_FEATURES.index(name)
    for name in ("num_nodes", *(f"node_{s}_msg_count" for s in STATISTICS), *_TIMES)
)
"""Columns that tell when and how often messages come, and nothing of what they say."""

_MSG_COUNT = NODE_FEATURES.index("msg_count")
_IAT_MEAN = NODE_FEATURES.index("node_iat_mean")
_SHORTEST_S = 1e-6  # captures count microseconds: nothing is told apart below
_CHUNK_WINDOWS = 4_096  # windows that are turned to float64 at a time


def pool_windows(graphs: PackedGraphs) -> Tensor:
    """Summary of each window ``[G, P]``, float32, in the order of ``WINDOW_FEATURES``.

    Standard deviations are those of a population, 0 for a single node or edge. Spans and gaps
    below a microsecond count as one in rates; an id with one message has the own rate 0.

    Args:
        graphs: unscaled graphs.
    """
    chunks = [
        _pool(graphs.select(index))
        for index in torch.arange(len(graphs)).split(_CHUNK_WINDOWS)
        if index.numel()
    ]
    return torch.cat(chunks) if chunks else torch.empty((0, len(WINDOW_FEATURES)))


def _pool(graphs: PackedGraphs) -> Tensor:
    """The summary of at least one window."""
    x = graphs.x.double()
    span = graphs.span_ns.double() * 1e-9
    count = x[:, _MSG_COUNT]
    rate = count / span.clamp_min(_SHORTEST_S).repeat_interleave(graphs.num_nodes)
    own_rate = (count > 1) / x[:, _IAT_MEAN].clamp_min(_SHORTEST_S)
    columns = [
        *_statistics(x, graphs.node_offsets),
        *_statistics(graphs.edge_attr.double(), graphs.edge_offsets),
        graphs.num_nodes.double()[:, None],
        span[:, None],
        *_statistics(torch.stack((rate, own_rate), dim=1), graphs.node_offsets),
    ]
    return torch.cat(columns, dim=1).float()


def _statistics(values: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, maximum and deviation ``[G, F]`` of ``values`` ``[N, F]`` over each segment."""
    mean = torch.segment_reduce(values, "mean", offsets=offsets)
    largest = torch.segment_reduce(values, "max", offsets=offsets)
    deviation = values - mean.repeat_interleave(offsets.diff(), dim=0)
    variance = torch.segment_reduce(deviation.square_(), "mean", offsets=offsets)
    return mean, largest, variance.sqrt()
