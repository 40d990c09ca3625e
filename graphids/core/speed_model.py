"""How long a step takes as a function of its batch, and from which size on larger is not faster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import nnls

from graphids.core.memory_model import BatchShape

PLATEAU = 0.95
"""Share of the best throughput from which a batch counts as large enough."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpeedModel:
    """Seconds of a step; no coefficient is negative."""

    constant: float
    """Seconds whatever the batch."""
    per_node: float
    """Seconds a node."""
    per_edge: float
    """Seconds an edge."""

    def seconds(self, shape: BatchShape) -> float:
        """Seconds of a step on a batch of this shape."""
        return self.constant + self.per_node * shape.nodes + self.per_edge * shape.edges


def fit_speed(shapes: Sequence[BatchShape], seconds: Sequence[float]) -> SpeedModel:
    """The model with the least squared relative error on timed steps."""
    rows = np.array([[1.0, shape.nodes, shape.edges] for shape in shapes])
    times = np.array(seconds)[:, None]
    scale = np.maximum(rows.max(axis=0), 1.0)
    found = nnls(rows / scale / times, np.ones(len(rows)))[0] / scale
    return SpeedModel(constant=float(found[0]), per_node=float(found[1]), per_edge=float(found[2]))


def knee(throughput: Sequence[tuple[int, float]]) -> int:
    """Nodes of the smallest batch whose throughput is at most 5 % below the best.

    Args:
        throughput: Nodes of a batch and graphs a second, for each measured size.

    Raises:
        ValueError: Nothing was measured.
    """
    if not throughput:
        raise ValueError("no throughput was measured; give the probe time for one size at least")
    best = max(rate for _, rate in throughput)
    return min(nodes for nodes, rate in throughput if rate >= PLATEAU * best)
