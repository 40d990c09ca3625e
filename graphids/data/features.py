"""The 35 node and 11 edge features of window graphs, for many windows at once.

Works on plain arrays ``[g, W]``: ``g`` windows of ``W`` messages. One sort per window, of a key
that holds arbitration id and position, puts the messages of a node together in order of time; every
statistic is then a reduction over contiguous runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from graphids.data.topology import key_type, run_starts, topology, with_end

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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Groups:
    """Messages of ``g`` windows grouped by node."""

    row: NDArray[np.int64]
    """Grouped position -> row of the message among all ``g * W`` ``[M]``."""
    start: NDArray[np.int64]
    """First grouped position of each node, and the end ``[V + 1]``."""
    node: NDArray[np.int64]
    """Node of each message in order of time ``[g, W]``."""
    first_node: NDArray[np.int64]
    """First node of each window, and the end ``[g + 1]``."""
    arbitration_id: NDArray[np.int64]
    """Arbitration id of each node ``[V]``."""

    @property
    def count(self) -> NDArray[np.int64]:
        """Messages of each node ``[V]``."""
        return np.diff(self.start)

    def sums(self, values: NDArray) -> NDArray:
        """Sum over each node's messages of grouped ``values`` ``[M]``, as ``[V]``."""
        return np.add.reduceat(values, self.start[:-1])


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
    local = groups.node - groups.first_node[:-1, None]
    edge_index = np.stack((local[:, :-1].ravel(), local[:, 1:].ravel()))
    bidir, edge_freq, clustering = topology(local, groups.first_node)
    x = np.empty((len(groups.arbitration_id), len(NODE_FEATURES)), dtype=np.float32)
    _byte_features(groups, payload.reshape(-1, 8)[groups.row], x)
    _message_features(groups, time_ns.ravel()[groups.row], x)
    x[:, 28] = clustering
    return WindowArrays(
        x=x,
        arbitration_id=groups.arbitration_id,
        num_nodes=np.diff(groups.first_node),
        edge_index=edge_index,
        edge_attr=_edge_features(time_ns, payload, bidir, edge_freq),
    )


def _group(arbitration_id: NDArray[np.uint32]) -> _Groups:
    """Sorts the messages of each window by arbitration id, those of one id by time."""
    g, window = arbitration_id.shape
    bits = (window - 1).bit_length()
    dtype = key_type(int(arbitration_id.max()).bit_length() + bits)
    key = (arbitration_id.astype(dtype) << bits) | np.arange(window, dtype=dtype)
    key.sort(axis=1)
    position = (key & ((1 << bits) - 1)).astype(np.int64)
    sorted_id = key >> bits
    is_first = run_starts(sorted_id)
    row = (position + np.arange(g)[:, None] * window).ravel()
    node = np.empty(g * window, dtype=np.int64)
    node[row] = np.cumsum(is_first, dtype=np.int64) - 1
    return _Groups(
        row=row,
        start=with_end(np.flatnonzero(is_first), g * window),
        node=node.reshape(g, window),
        first_node=np.concatenate(([0], np.cumsum(is_first.sum(axis=1)))),
        arbitration_id=sorted_id[is_first].astype(np.int64),
    )


def _byte_features(groups: _Groups, payload: NDArray[np.uint8], x: NDArray[np.float32]) -> None:
    """Fills the columns that describe payload bytes, from bytes grouped by node ``[M, 8]``."""
    count = groups.count
    values = payload.astype(np.float64)
    squares = values * values
    member = sparse.csr_array(
        (np.ones(len(payload)), np.arange(len(payload)), groups.start),
        shape=(len(count), len(payload)),
    )
    sums = (
        member @ values,
        member @ squares,
        member @ np.multiply(values, squares, out=values),
        member @ np.multiply(squares, squares, out=squares),
    )
    deviation, skew, kurtosis = _shapes(np.repeat(count, 8), [total.ravel() for total in sums])
    x[:, 0:8] = sums[0] / count[:, None]
    x[:, 8:16] = deviation.reshape(-1, 8)
    x[:, 16:24] = _ranges(groups, payload)
    x[:, 25] = groups.sums(_entropy(payload)) / count
    x[:, 26] = skew.reshape(-1, 8).mean(axis=1)
    x[:, 27] = kurtosis.reshape(-1, 8).mean(axis=1)
    x[:, 30] = _change_rate(groups, payload)


def _shapes(
    count: NDArray[np.int64], power_sums: Sequence[NDArray[np.float64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Sample standard deviation, skewness and excess kurtosis of ``B`` samples of integers.

    Power sums of integers are exact in float64. They are moved to the nearest integer to the mean,
    still exactly, which leaves central moments without cancellation.

    Args:
        count: values of each sample ``[B]``.
        power_sums: sums of their first to fourth powers, each ``[B]``.

    Returns:
        Three arrays ``[B]``, 0 where a sample does not vary; the last two clipped to -10 .. 10.
    """
    varies = np.flatnonzero(count * power_sums[1] > power_sums[0] ** 2)
    n = count[varies].astype(np.float64)
    s1, s2, s3, s4 = (values[varies] for values in power_sums)
    mean = s1 / n
    c = np.rint(mean)
    d = mean - c
    e2 = (s2 - c * (2 * s1 - n * c)) / n
    e3 = (s3 - c * (3 * s2 - c * (3 * s1 - n * c))) / n
    e4 = (s4 - c * (4 * s3 - c * (6 * s2 - c * (4 * s1 - n * c)))) / n
    m2 = e2 - d * d
    m3 = e3 - d * (3 * e2 - 2 * d * d)
    m4 = e4 - d * (4 * e3 - d * (6 * e2 - 3 * d * d))
    shapes = (
        np.sqrt(m2 * (n / (n - 1))),
        np.clip(m3 / (m2 * np.sqrt(m2)), -10, 10),
        np.clip(m4 / (m2 * m2) - 3, -10, 10),
    )
    deviation, skew, kurtosis = np.zeros((3, len(count)))
    deviation[varies], skew[varies], kurtosis[varies] = shapes
    return deviation, skew, kurtosis


def _entropy(payload: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Entropy in nats of each message's bytes taken as a distribution ``[M]``; 0 for zero bytes.

    Written as ln s - (sum b ln b) / s with s the sum of the bytes.
    """
    ones = np.ones(8)
    total = np.maximum(payload.astype(np.float64) @ ones, 1.0)
    return np.maximum(np.log(total) - (_BYTE_LOG_BYTE[payload] @ ones) / total, 0.0)


def _ranges(groups: _Groups, payload: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Largest minus smallest of each byte of each node ``[V, 8]``.

    A run of n messages is covered by two runs of the largest power of two up to n, whose extremes
    are found for all messages by doubling.
    """
    count = groups.count
    ranges = np.zeros((len(count), 8), dtype=np.uint8)
    level = np.frexp(count.astype(np.float64))[1] - 1
    high = low = payload
    for k in range(1, int(level.max()) + 1):
        half = 1 << (k - 1)
        high = np.maximum(high[:-half], high[half:])
        low = np.minimum(low[:-half], low[half:])
        nodes = np.flatnonzero(level == k)
        first, last = groups.start[nodes], groups.start[nodes + 1] - 2 * half
        ranges[nodes] = np.maximum(high[first], high[last]) - np.minimum(low[first], low[last])
    return ranges


def _change_rate(groups: _Groups, payload: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Share of non-zero successive differences, averaged over the eight bytes ``[V]``."""
    differs = np.zeros(payload.shape, dtype=bool)
    np.not_equal(payload[1:], payload[:-1], out=differs[1:])
    changed = np.bitwise_count(differs.view(np.uint64).ravel()).astype(np.int64)
    changed[groups.start[:-1]] = 0
    return groups.sums(changed) / (8.0 * np.maximum(groups.count - 1, 1))


def _message_features(groups: _Groups, time_ns: NDArray[np.int64], x: NDArray[np.float32]) -> None:
    """Fills the columns on counts, degrees and times, from times grouped by node ``[M]``."""
    count, start = groups.count, groups.start
    window = groups.node.shape[1]
    x[:, 24] = count
    x[:, 29] = groups.sums((groups.row % window < window // 2).astype(np.int64)) / count
    gaps = np.maximum(count - 1, 1)
    iat_mean = (time_ns[start[1:] - 1] - time_ns[start[:-1]]) / gaps
    deviation = np.zeros(len(time_ns))
    deviation[1:] = np.diff(time_ns)
    deviation -= np.repeat(iat_mean, count)
    deviation[start[:-1]] = 0.0
    iat_variance = groups.sums(deviation * deviation) / np.maximum(count - 2, 1)
    x[:, 31] = iat_mean * _NS
    x[:, 32] = np.sqrt(np.where(count > 2, iat_variance, 0.0)) * _NS
    # Every message but the first of the window ends an edge, every one but the last begins one.
    in_degree, out_degree = count.copy(), count
    in_degree[groups.node[:, 0]] -= 1
    out_degree[groups.node[:, -1]] -= 1
    x[:, 33] = in_degree
    x[:, 34] = out_degree


def _edge_features(
    time_ns: NDArray[np.int64],
    payload: NDArray[np.uint8],
    bidir: NDArray[np.bool_],
    edge_freq: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Features of the edge into each message but the first of its window ``[E, 11]``."""
    before, after = payload[:, :-1], payload[:, 1:]
    attr = np.empty((*before.shape[:2], len(EDGE_FEATURES)), dtype=np.float32)
    attr[..., 0] = np.diff(time_ns, axis=1) * _NS
    attr[..., 1:9] = np.maximum(before, after) - np.minimum(before, after)
    attr[..., 9] = bidir
    attr[..., 10] = edge_freq
    return attr.reshape(-1, len(EDGE_FEATURES))
