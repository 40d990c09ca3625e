"""Slow and obvious window graphs: plain loops over the messages of one window, sharing no code."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise
from typing import NamedTuple


class Message(NamedTuple):
    """One message of a window."""

    time_ns: int
    arbitration_id: int
    payload: list[int]
    attack: bool
    attack_type: int


class Graph(NamedTuple):
    """One window as a graph."""

    arbitration_id: list[int]
    x: list[list[float]]
    edge_index: list[tuple[int, int]]
    edge_attr: list[list[float]]
    y: int
    attack_type: int


def windows(messages: list[Message], window: int, stride: int) -> list[tuple[int, list[Message]]]:
    """First row and messages of each complete window, in order of time."""
    ordered = sorted(messages, key=lambda message: message.time_ns)
    result = []
    first = 0
    while first + window <= len(ordered):
        result.append((first, ordered[first : first + window]))
        first += stride
    return result


def graph(window: list[Message]) -> Graph:
    """The graph of one window."""
    ids = sorted({message.arbitration_id for message in window})
    edges = [
        (ids.index(a.arbitration_id), ids.index(b.arbitration_id)) for a, b in pairwise(window)
    ]
    attacks = Counter(message.attack_type for message in window if message.attack)
    most = max(attacks.values(), default=0)
    return Graph(
        arbitration_id=ids,
        x=[_node(window, i, node, edges) for node, i in enumerate(ids)],
        edge_index=edges,
        edge_attr=[
            [
                (b.time_ns - a.time_ns) / 1e9,
                *(abs(q - p) for p, q in zip(a.payload, b.payload, strict=True)),
                float((v, u) in edges),
                float(edges.count((u, v))),
            ]
            for a, b, (u, v) in zip(window[:-1], window[1:], edges, strict=True)
        ],
        y=int(any(message.attack for message in window)),
        attack_type=min((code for code, n in attacks.items() if n == most), default=0),
    )


def _node(
    window: list[Message], arbitration_id: int, node: int, edges: list[tuple[int, int]]
) -> list[float]:
    """The 35 features of one node."""
    positions = [t for t, m in enumerate(window) if m.arbitration_id == arbitration_id]
    own = [window[t] for t in positions]
    columns = [[m.payload[i] for m in own] for i in range(8)]
    gaps = [(b.time_ns - a.time_ns) / 1e9 for a, b in pairwise(own)]
    changes = [_mean([float(p != q) for p, q in pairwise(column)]) for column in columns]
    return [
        *(_mean(column) for column in columns),
        *(_deviation(column) for column in columns),
        *(max(column) - min(column) for column in columns),
        len(own),
        _mean([_entropy(m.payload) for m in own]),
        _mean([_clip(_moment_ratio(column, 3)) for column in columns]),
        _mean([_clip(_moment_ratio(column, 4) - 3 * _varies(column)) for column in columns]),
        _clustering(node, edges),
        sum(t < len(window) // 2 for t in positions) / len(own),
        _mean(changes),
        _mean(gaps),
        _deviation(gaps),
        sum(v == node for _, v in edges),
        sum(u == node for u, _ in edges),
    ]


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0


def _deviation(values: list[float]) -> float:
    if len(values) < 2:
        return 0.0
    mean = _mean(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def _varies(values: list[float]) -> bool:
    return len(set(values)) > 1


def _moment_ratio(values: list[float], order: int) -> float:
    if not _varies(values):
        return 0.0
    mean = _mean(values)
    variance = _mean([(v - mean) ** 2 for v in values])
    return _mean([(v - mean) ** order for v in values]) / variance ** (order / 2)


def _clip(value: float) -> float:
    return max(-10.0, min(10.0, value))


def _entropy(payload: list[int]) -> float:
    total = max(sum(payload), 1e-12)
    return -math.fsum(b / total * math.log(b / total) for b in payload if b > 0)


def _clustering(node: int, edges: list[tuple[int, int]]) -> float:
    linked = {frozenset(edge) for edge in edges if edge[0] != edge[1]}
    near = sorted({v for pair in linked if node in pair for v in pair if v != node})
    if len(near) < 2:
        return 0.0
    triangles = sum(frozenset((a, b)) in linked for i, a in enumerate(near) for b in near[i + 1 :])
    return 2 * triangles / (len(near) * (len(near) - 1))
