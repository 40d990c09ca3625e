"""How the edges of window graphs repeat, reverse and close triangles, for many windows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_WORD_BITS = 52  # a sum of distinct powers of two below 2**53 is exact in float64


def key_type(bits: int) -> type[np.uint32] | type[np.uint64]:
    """The narrowest type for sort keys of so many bits; narrow keys sort twice as fast."""
    return np.uint32 if bits <= 32 else np.uint64


def run_starts(values: NDArray) -> NDArray[np.bool_]:
    """Where a run of equal values begins, row by row ``[g, n]``."""
    starts = np.ones(values.shape, dtype=bool)
    np.not_equal(values[:, 1:], values[:, :-1], out=starts[:, 1:])
    return starts


def with_end(starts: NDArray[np.int64], end: int) -> NDArray[np.int64]:
    """Starts of runs followed by the end of the last."""
    return np.concatenate((starts, [end]))


def topology(
    local: NDArray[np.int64], first_node: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.float64]]:
    """Reversed-pair flag ``[g, W-1]``, multiplicity ``[g, W-1]`` of edges, clustering ``[V]``.

    One sort per window of (lower node, higher node, direction, position) brings equal undirected
    pairs together and, inside them, equal directed ones.
    """
    g, window = local.shape
    bits = (window - 1).bit_length()
    dtype = key_type(3 * bits + 1)
    source, target = local[:, :-1].astype(dtype), local[:, 1:].astype(dtype)
    low, high = np.minimum(source, target), np.maximum(source, target)
    key = ((low << bits) | high) << 1 | np.greater(source, target)
    key = (key << bits) | np.arange(window - 1, dtype=dtype)
    key.sort(axis=1)
    position = (key & ((1 << bits) - 1)).astype(np.int64)
    directed, pair = key >> bits, key >> (bits + 1)
    edge_start = np.flatnonzero(run_starts(directed))
    pair_start = np.flatnonzero(run_starts(pair))
    frequency = np.diff(with_end(edge_start, key.size))
    first_edge = np.searchsorted(edge_start, pair_start)
    directions = np.diff(with_end(first_edge, len(edge_start)))
    pair_key = pair.ravel()[pair_start]
    low_node = (pair_key >> bits).astype(np.int64)
    high_node = (pair_key & ((1 << bits) - 1)).astype(np.int64)
    is_loop = low_node == high_node
    row = (position + np.arange(g)[:, None] * (window - 1)).ravel()
    bidir = np.empty(key.size, dtype=bool)
    bidir[row] = np.repeat((directions == 2) | is_loop, np.diff(with_end(pair_start, key.size)))
    edge_freq = np.empty(key.size, dtype=np.int64)
    edge_freq[row] = np.repeat(frequency, frequency)
    base = first_node[pair_start // (window - 1)]
    clustering = _clustering(
        (base + low_node)[~is_loop],
        (base + high_node)[~is_loop],
        low_node[~is_loop],
        high_node[~is_loop],
        int(first_node[-1]),
    )
    return bidir.reshape(g, -1), edge_freq.reshape(g, -1), clustering


def _clustering(
    u: NDArray[np.int64],
    v: NDArray[np.int64],
    local_u: NDArray[np.int64],
    local_v: NDArray[np.int64],
    num_nodes: int,
) -> NDArray[np.float64]:
    """Clustering coefficient 2T / (k(k-1)) of each node ``[V]`` of simple undirected pairs u-v.

    A node's neighbours are bits of a few words; the common neighbours of a pair are counted by AND.
    """
    degree = np.bincount(u, minlength=num_nodes) + np.bincount(v, minlength=num_nodes)
    words = int(local_v.max(initial=0)) // _WORD_BITS + 1
    cell = np.concatenate((u * words + local_v // _WORD_BITS, v * words + local_u // _WORD_BITS))
    bit = np.ldexp(1.0, np.concatenate((local_v, local_u)) % _WORD_BITS)
    neighbours = np.bincount(cell, bit, num_nodes * words).astype(np.uint64).reshape(-1, words)
    common = np.bitwise_count(neighbours[u] & neighbours[v]).sum(axis=1, dtype=np.int64)
    twice_triangles = np.bincount(u, common, num_nodes) + np.bincount(v, common, num_nodes)
    return twice_triangles / np.maximum(degree * (degree - 1), 1)
