"""Feature scaling fitted on benign training windows alone.

A scaler shifts and divides each feature; which centre and spread it takes is one function of the
table ``ESTIMATORS``. Attack windows never bear on it, nor do windows outside training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from graphids.data.packed import PackedGraphs, ragged_rows

CLIP = 10.0
"""Scaled features are clipped to -CLIP .. CLIP."""
RELATIVE_FLOOR = 1e-3
"""Least denominator of a feature, as a share of the size of its centre."""
ABSOLUTE_FLOOR = 1e-6
"""Least denominator of a feature: one microsecond for times, far below one step of any other."""

_CHUNK_ROWS = 1 << 18  # rows that are turned to float64 at a time

Estimator = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Values ``[N, F]`` and the rows to use ``[n]`` -> centre and spread ``[F]``, float64."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scaler:
    """Centre and denominator of each node and edge feature."""

    x_center: Tensor
    """Subtracted from node features ``[35]``, float32."""
    x_scale: Tensor
    """Divides node features ``[35]``, float32, never below the floor."""
    edge_center: Tensor
    """Subtracted from edge features ``[11]``, float32."""
    edge_scale: Tensor
    """Divides edge features ``[11]``, float32, never below the floor."""

    def apply(self, graphs: PackedGraphs) -> PackedGraphs:
        """The same graphs with scaled and clipped features."""
        return replace(
            graphs,
            x=((graphs.x - self.x_center) / self.x_scale).clamp_(-CLIP, CLIP),
            edge_attr=((graphs.edge_attr - self.edge_center) / self.edge_scale).clamp_(-CLIP, CLIP),
        )

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by its name."""
        return {
            "x_center": self.x_center,
            "x_scale": self.x_scale,
            "edge_center": self.edge_center,
            "edge_scale": self.edge_scale,
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Scaler:
        """The scaler whose ``tensors()`` are given."""
        return cls(**tensors)


def fit_scaler(graphs: PackedGraphs, training: Tensor, method: str = "z") -> Scaler:
    """Fits a scaler on the benign windows among the training windows.

    Args:
        graphs: unscaled graphs.
        training: which graphs are training windows ``[G]``, bool.
        method: a key of ``ESTIMATORS``.

    Raises:
        ValueError: if there is no benign training window, or no such method.
    """
    if method not in ESTIMATORS:
        raise ValueError(f"no scaler {method!r}; there are {', '.join(sorted(ESTIMATORS))}")
    benign = (training & (graphs.y == 0)).nonzero().flatten()
    if benign.numel() == 0:
        raise ValueError(
            f"no benign window among {int(training.sum())} training windows of {len(graphs)}: "
            "the scaler is fitted on benign training windows alone; add an attack-free capture"
        )
    estimate = ESTIMATORS[method]
    x_center, x_scale = estimate(graphs.x, ragged_rows(graphs.node_offsets, benign)[0])
    edge_center, edge_scale = estimate(
        graphs.edge_attr, ragged_rows(graphs.edge_offsets, benign)[0]
    )
    return Scaler(
        x_center=x_center.float(),
        x_scale=_floored(x_scale, x_center).float(),
        edge_center=edge_center.float(),
        edge_scale=_floored(edge_scale, edge_center).float(),
    )


def _floored(scale: Tensor, center: Tensor) -> Tensor:
    """Denominators that a constant feature cannot make explode."""
    return scale.maximum(RELATIVE_FLOOR * center.abs()).clamp_min(ABSOLUTE_FLOOR)


def _mean_std(values: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation ``[F]`` of ``values`` ``[N, F]`` at ``rows``."""
    chunks = rows.split(_CHUNK_ROWS)
    total = torch.zeros(values.shape[1], dtype=torch.float64)
    for chunk in chunks:
        total += values.index_select(0, chunk).sum(0, dtype=torch.float64)
    mean = total / rows.numel()
    squares = torch.zeros_like(mean)
    for chunk in chunks:
        squares += (values.index_select(0, chunk).double() - mean).square_().sum(0)
    return mean, (squares / rows.numel()).sqrt()


def _median_iqr(values: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Median and interquartile range ``[F]`` of ``values`` ``[N, F]`` at ``rows``.

    Quartiles lie between two values in proportion, as numpy's do by default.
    """
    quartiles = [
        np.quantile(column.index_select(0, rows).double().numpy(), (0.25, 0.5, 0.75))
        for column in values.unbind(1)
    ]
    low, median, high = torch.from_numpy(np.stack(quartiles, axis=1))
    return median, high - low


ESTIMATORS: Mapping[str, Estimator] = {"z": _mean_std, "robust": _median_iqr}
"""Centre and spread by the scaler's name."""
