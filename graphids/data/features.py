"""The 35 node and 11 edge features of window graphs, for many windows at once.

Works on plain arrays ``[g, W]``: ``g`` windows of ``W`` messages. One sort per window, of a key
that holds arbitration id and position, puts the messages of a node together in order of time; every
statistic is then a reduction over contiguous runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from graphids.data.runs import exact_sums, ranges, run_starts
from graphids.data.topology import key_type, topology

NODE_FEATURES: tuple[str, ...] = (
    *(f"byte_{i}_mean" for i in range(8)),
    *(f"byte_{i}_std" for i in range(8)),
    *(f"byte_{i}_range" for i in range(8)),
    "msg_count",
    "entropy_mean",
    "skewness",
    "kurtosis",
    "clustering_coeff",
    "split_half_ratio",
    "change_rate",
    "node_iat_mean",
    "node_iat_std",
    "in_degree",
    "out_degree",
)
"""Columns of ``x``; times in seconds, bytes 0 to 255, entropy in nats."""

EDGE_FEATURES: tuple[str, ...] = (
    "iat",
    *(f"byte_{i}_diff" for i in range(8)),
    "bidir",
    "edge_freq",
)
"""Columns of ``edge_attr``; times in seconds, byte differences 0 to 255."""

_BYTE = np.arange(256, dtype=np.float64)
_BYTE_LOG_BYTE = _BYTE * np.log(np.maximum(_BYTE, 1.0))
_ONES = np.ones(8)
_NS = 1e-9


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowArrays:
    """Graphs of ``g`` windows, one after the other."""

    x: NDArray[np.float32]
    """Node features ``[V, 35]``; nodes of a window ascend by arbitration id."""
    arbitration_id: NDArray[np.int64]
    """Arbitration id of each node ``[V]``."""
    num_nodes: NDArray[np.int64]
    """Nodes of each window ``[g]``."""
    edge_index: NDArray[np.int64]
    """Nodes of message t-1 and of message t, numbered inside the window ``[2, E]``."""
    edge_attr: NDArray[np.float32]
    """Edge features ``[E, 11]``: message t minus message t-1."""

    @classmethod
    def empty(cls) -> WindowArrays:
        """The graphs of no window."""
        return cls(
            x=np.empty((0, len(NODE_FEATURES)), dtype=np.float32),
            arbitration_id=np.empty(0, dtype=np.int64),
            num_nodes=np.empty(0, dtype=np.int64),
            edge_index=np.empty((2, 0), dtype=np.int64),
            edge_attr=np.empty((0, len(EDGE_FEATURES)), dtype=np.float32),
        )


class _Groups(NamedTuple):
    """Messages of ``g`` windows grouped by node."""

    position: NDArray[np.int64]
    """Position in its window of each grouped message ``[M]``."""
    row: NDArray[np.int64]
    """Row of each grouped message among all ``g * W`` ``[M]``."""
    start: NDArray[np.int64]
    """First grouped message of each node, and the end ``[V + 1]``."""
    num_messages: NDArray[np.int64]
    """Messages of each node ``[V]``."""
    node: NDArray[np.int64]
    """Node of each message in order of time ``[g, W]``."""
    first_node: NDArray[np.int64]
    """First node of each window, and the end ``[g + 1]``."""
    arbitration_id: NDArray[np.int64]
    """Arbitration id of each node ``[V]``."""


def window_graphs(
    time_ns: NDArray[np.int64], arbitration_id: NDArray[np.uint32], payload: NDArray[np.uint8]
) -> WindowArrays:
    """Builds the graphs of ``g >= 1`` windows.

    Args:
        time_ns: times ``[g, W]``, nanoseconds, ascending in each window.
        arbitration_id: ids ``[g, W]``.
        payload: bytes ``[g, W, 8]``, absent ones 0.
    """
    time_ns, payload = np.ascontiguousarray(time_ns), np.ascontiguousarray(payload)
    groups = _group(arbitration_id)
    num_nodes = groups.first_node[1:] - groups.first_node[:-1]
    local = groups.node - groups.first_node[:-1, None]
    edge_index = np.empty((2, len(local), local.shape[1] - 1), dtype=np.int64)
    edge_index[0], edge_index[1] = local[:, :-1], local[:, 1:]
    bidir, edge_freq, clustering = topology(local, num_nodes)
    x = np.empty((len(groups.num_messages), len(NODE_FEATURES)), dtype=np.float32)
    _fill_nodes(
        groups, time_ns.take(groups.row), payload.reshape(-1, 8).take(groups.row, axis=0), x
    )
    x[:, 28] = clustering
    return WindowArrays(
        x=x,
        arbitration_id=groups.arbitration_id,
        num_nodes=num_nodes,
        edge_index=edge_index.reshape(2, -1),
        edge_attr=_edge_features(time_ns, payload, bidir, edge_freq),
    )


def _group(arbitration_id: NDArray[np.uint32]) -> _Groups:
    """Sorts the messages of each window by arbitration id, those of one id by time."""
    g, window = arbitration_id.shape
    bits = (window - 1).bit_length()
    dtype = key_type(int(arbitration_id.max()).bit_length() + bits)
    key = (arbitration_id.astype(dtype, copy=False) << bits) | np.arange(window, dtype=dtype)
    key.sort(axis=1)
    position = (key & ((1 << bits) - 1)).astype(np.int64)
    sorted_id = key >> bits
    is_start = run_starts(sorted_id)
    start = is_start.nonzero()[0]
    window_start = np.arange(g + 1) * window
    row = (position + window_start[:-1, None]).ravel()
    node = np.empty(g * window, dtype=np.int64)
    node[row] = is_start[:-1].cumsum() - 1
    return _Groups(
        position=position.ravel(),
        row=row,
        start=start,
        num_messages=start[1:] - start[:-1],
        node=node.reshape(g, window),
        first_node=start.searchsorted(window_start),
        arbitration_id=sorted_id.take(start[:-1]).astype(np.int64),
    )


def _fill_nodes(
    groups: _Groups,
    time_ns: NDArray[np.int64],
    payload: NDArray[np.uint8],
    x: NDArray[np.float32],
) -> None:
    """Fills every column but the clustering from times ``[M]`` and bytes ``[M, 8]`` by node."""
    count, start = groups.num_messages, groups.start
    first, window = start[:-1], groups.node.shape[1]
    values = payload.astype(np.float64)
    mean = exact_sums(values, start) / count[:, None]
    shapes = _shapes(groups, values, mean)
    x[:, 0:8] = mean
    x[:, 8:16] = shapes[0]
    x[:, 26:28] = shapes[1:].sum(axis=-1).T / 8
    x[:, 16:24] = ranges(payload, start)
    x[:, 24] = count
    iat_mean = (time_ns[start[1:] - 1] - time_ns[first]) / np.maximum(count - 1, 1)
    each = np.empty((4, len(payload)))
    each[0] = _entropy(payload, values)
    each[1] = groups.position < window // 2
    each[2] = _changed_bytes(payload)
    np.subtract(time_ns[1:], time_ns[:-1], out=each[3, 1:])
    each[3, 0] = 0.0
    each[3] -= iat_mean.repeat(count)
    each[2:, first] = 0.0  # a node's first message follows none of its own
    each[3] *= each[3]
    entropy, first_half, changed, variance = np.add.reduceat(each, first, axis=1)
    x[:, 25] = entropy / count
    x[:, 29] = first_half / count
    x[:, 30] = changed / (8.0 * np.maximum(count - 1, 1))
    x[:, 31] = iat_mean * _NS
    x[:, 32] = np.sqrt(variance / np.maximum(count - 2, 1)) * _NS
    # Every message but the first of the window ends an edge, every one but the last begins one.
    x[:, 33] = x[:, 34] = count
    x[groups.node[:, 0], 33] -= 1
    x[groups.node[:, -1], 34] -= 1


def _shapes(
    groups: _Groups, values: NDArray[np.float64], mean: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sample standard deviation, skewness and excess kurtosis of the bytes of each node.

    Moments about the integer nearest to the mean are sums of integers, exact in float64; moved to
    the mean by less than one they lose nothing by cancellation.

    Args:
        groups: the messages.
        values: their bytes by node ``[M, 8]``.
        mean: mean of each byte ``[V, 8]``.

    Returns:
        Three arrays ``[V, 8]``, 0 where a byte does not vary; the last two clipped to -10 .. 10.
    """
    nearest = np.rint(mean)
    powers = np.empty((3, *values.shape))
    from_nearest = values - nearest.repeat(groups.num_messages, axis=0)
    np.multiply(from_nearest, from_nearest, out=powers[0])
    np.multiply(from_nearest, powers[0], out=powers[1])
    np.multiply(powers[0], powers[0], out=powers[2])
    moments = exact_sums(powers, groups.start).reshape(3, -1)
    varies = moments[0].nonzero()[0]
    n = groups.num_messages.take(varies >> 3).astype(np.float64)
    d = (mean - nearest).take(varies)
    e2, e3, e4 = moments.take(varies, axis=1) / n
    m2 = e2 - d * d
    m3 = e3 - d * (3 * e2 - 2 * d * d)
    m4 = e4 - d * (4 * e3 - d * (6 * e2 - 3 * d * d))
    shapes = np.zeros((3, mean.size))
    shapes[0, varies] = np.sqrt(m2 * (n / (n - 1)))
    shapes[1, varies] = m3 / (m2 * np.sqrt(m2))
    shapes[2, varies] = m4 / (m2 * m2) - 3
    np.minimum(shapes[1:], 10.0, out=shapes[1:])
    np.maximum(shapes[1:], -10.0, out=shapes[1:])
    return shapes.reshape(3, *mean.shape)


def _entropy(payload: NDArray[np.uint8], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Entropy in nats of each message's bytes taken as a distribution ``[M]``; 0 for zero bytes.

    Written as ln s - (sum b ln b) / s with s the sum of the bytes.
    """
    total = np.maximum(values @ _ONES, 1.0)
    return np.maximum(np.log(total) - (_BYTE_LOG_BYTE.take(payload) @ _ONES) / total, 0.0)


def _changed_bytes(payload: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How many bytes of a message differ from those of the one before it ``[M]``."""
    differs = np.zeros(payload.shape, dtype=bool)
    np.not_equal(payload[1:], payload[:-1], out=differs[1:])
    return np.bitwise_count(differs.view(np.uint64).ravel())


def _edge_features(
    time_ns: NDArray[np.int64],
    payload: NDArray[np.uint8],
    bidir: NDArray[np.bool_],
    edge_freq: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Features of the edge into each message but the first of its window ``[E, 11]``."""
    before, after = payload[:, :-1], payload[:, 1:]
    attr = np.empty((*before.shape[:2], len(EDGE_FEATURES)), dtype=np.float32)
    attr[..., 0] = (time_ns[:, 1:] - time_ns[:, :-1]) * _NS
    attr[..., 1:9] = np.maximum(before, after) - np.minimum(before, after)
    attr[..., 9] = bidir
    attr[..., 10] = edge_freq
    return attr.reshape(-1, len(EDGE_FEATURES))
