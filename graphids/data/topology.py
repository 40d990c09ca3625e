"""How the edges of window graphs repeat, reverse and close triangles, for many windows at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from graphids.data.runs import run_starts

TABLE_CELLS = 20
"""Cells that a table of all pairs of nodes of a window may have for each of its messages."""
_WORD_BITS = 52  # a sum of distinct powers of two below 2**53 is exact in float64


def key_type(bits: int) -> type[np.uint32] | type[np.uint64]:
    """The narrowest type for sort keys of so many bits; narrow keys sort twice as fast."""
    return np.uint32 if bits <= 32 else np.uint64


def topology(
    local: NDArray[np.int64], num_nodes: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.float64]]:
    """Reversed-pair flag ``[g, W-1]``, multiplicity ``[g, W-1]`` of edges, clustering ``[V]``.

    Args:
        local: Node of each message, numbered inside its window ``[g, W]``.
        num_nodes: Nodes of each window ``[g]``.
    """
    most = int(num_nodes.max())
    if most * most <= TABLE_CELLS * local.shape[1]:
        return _by_table(local, num_nodes, most)
    return _by_sorting(local, num_nodes)


def _by_table(
    local: NDArray[np.int64], num_nodes: NDArray[np.int64], most: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.float64]]:
    """``topology`` by a table of all pairs of the ``most`` nodes that a window has."""
    cell = local[:, :-1] * most
    cell += local[:, 1:]
    cell += np.arange(0, len(local) * most * most, most * most)[:, None]
    frequency = np.bincount(cell.ravel(), minlength=len(local) * most * most)
    forth = (frequency > 0).reshape(-1, most, most)
    back = forth.transpose(0, 2, 1)
    linked = (forth | back).astype(np.float32)
    linked.reshape(len(local), -1)[:, :: most + 1] = 0.0  # a loop is no neighbour
    degree = linked.sum(axis=-1)
    closed = linked @ linked
    closed *= linked
    clustering = closed.sum(axis=-1) / np.maximum(degree * (degree - 1), 1)
    is_node = np.arange(most) < num_nodes[:, None]
    return (forth & back).take(cell), frequency.take(cell), clustering[is_node]


def _by_sorting(
    local: NDArray[np.int64], num_nodes: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.float64]]:
    """``topology`` for any number of nodes.

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
    pair_end = np.flatnonzero(run_starts(pair))
    pair_start = pair_end[:-1]
    frequency = np.diff(edge_start)
    directions = np.diff(np.searchsorted(edge_start, pair_end))
    pair_key = pair.ravel()[pair_start]
    low_node = (pair_key >> bits).astype(np.int64)
    high_node = (pair_key & ((1 << bits) - 1)).astype(np.int64)
    is_loop = low_node == high_node
    row = (position + np.arange(g)[:, None] * (window - 1)).ravel()
    bidir = np.empty(key.size, dtype=bool)
    bidir[row] = np.repeat((directions == 2) | is_loop, np.diff(pair_end))
    edge_freq = np.empty(key.size, dtype=np.int64)
    edge_freq[row] = np.repeat(frequency, frequency)
    base = (np.cumsum(num_nodes) - num_nodes)[pair_start // (window - 1)]
    clustering = _clustering(
        (base + low_node)[~is_loop],
        (base + high_node)[~is_loop],
        low_node[~is_loop],
        high_node[~is_loop],
        int(num_nodes.sum()),
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
