"""Window graphs the usual way: a Python loop over windows, numpy over the messages of each node."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data

from graphids.data.windows import Capture


def loop_graphs(capture: Capture, window: int) -> list[Data]:
    """One graph for each window of ``window`` messages, with the 35 node and 11 edge features."""
    last = len(capture.time_ns) - window
    return [_graph(capture, slice(s, s + window)) for s in range(0, last + 1, window)]


def _graph(capture: Capture, rows: slice) -> Data:
    times = (capture.time_ns[rows] - capture.time_ns[rows.start]) * 1e-9
    payload = capture.payload[rows].astype(np.float64)
    ids, node = np.unique(capture.arbitration_id[rows], return_inverse=True)
    edges = np.stack((node[:-1], node[1:]))
    counts: dict[tuple[int, int], int] = {}
    pairs = list(zip(*edges.tolist(), strict=True))
    for pair in pairs:
        counts[pair] = counts.get(pair, 0) + 1
    neighbours: list[set[int]] = [set() for _ in ids]
    for u, v in counts:
        if u != v:
            neighbours[u].add(v)
            neighbours[v].add(u)
    edge_attr = np.column_stack(
        (
            np.diff(times),
            np.abs(np.diff(payload, axis=0)),
            [(v, u) in counts for u, v in pairs],
            [counts[pair] for pair in pairs],
        )
    )
    x = np.stack([_node(k, node, times, payload, edges, neighbours) for k in range(len(ids))])
    attack = capture.attack[rows]
    codes = np.bincount(capture.attack_type[rows][attack], minlength=1)
    return Data(
        x=torch.from_numpy(x).float(),
        arbitration_id=torch.from_numpy(ids.astype(np.int64)),
        edge_index=torch.from_numpy(edges),
        edge_attr=torch.from_numpy(edge_attr).float(),
        y=torch.tensor([int(attack.any())]),
        attack_type=torch.tensor([int(codes.argmax())]),
    )


def _node(
    k: int,
    node: NDArray,
    times: NDArray,
    payload: NDArray,
    edges: NDArray,
    neighbours: list[set[int]],
) -> NDArray:
    """The 35 features of node ``k``."""
    own = np.flatnonzero(node == k)
    n, data = len(own), payload[own]
    gaps = np.diff(times[own])
    mean = data.mean(axis=0)
    deviation = data - mean
    m2 = (deviation**2).mean(axis=0)
    safe = np.where(m2 > 0, m2, 1)
    skew = np.where(m2 > 0, (deviation**3).mean(axis=0) / safe**1.5, 0)
    kurtosis = np.where(m2 > 0, (deviation**4).mean(axis=0) / safe**2 - 3, 0)
    share = data / np.maximum(data.sum(axis=1, keepdims=True), 1e-12)
    entropy = -(share * np.log(np.where(share > 0, share, 1))).sum(axis=1)
    near = neighbours[k]
    links = sum(len(neighbours[u] & near) for u in near)
    return np.concatenate(
        (
            mean,
            data.std(axis=0, ddof=1) if n > 1 else np.zeros(8),
            data.max(axis=0) - data.min(axis=0),
            [
                n,
                entropy.mean(),
                skew.clip(-10, 10).mean(),
                kurtosis.clip(-10, 10).mean(),
                links / (len(near) * (len(near) - 1)) if len(near) > 1 else 0,
                (own < len(node) // 2).mean(),
                (np.diff(data, axis=0) != 0).mean(axis=0).mean() if n > 1 else 0,
                gaps.mean() if n > 1 else 0,
                gaps.std(ddof=1) if n > 2 else 0,
                (edges[1] == k).sum(),
                (edges[0] == k).sum(),
            ],
        )
    )
