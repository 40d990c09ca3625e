"""How alike two layers represent the same windows, whatever basis each of them has chosen.

Linear centred kernel alignment with the unbiased estimate of HSIC: the biased one tends to 1 as a
layer gets wider than there are windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

FEWEST = 4
"""Examples below which the unbiased estimate is undefined."""


class _Kernel(NamedTuple):
    """A linear kernel without its diagonal, by what its products need: no ``[N, N]`` matrix."""

    features: Tensor
    """Centred features ``[N, P]``."""
    diagonal: Tensor
    """Squared norm of each example ``[N]``, which the kernel leaves out."""
    sums: Tensor
    """Sum of each row ``[N]``."""


def unbiased_hsic(x: Tensor, y: Tensor) -> Tensor:
    """Unbiased HSIC ``[]`` of two linear kernels (Song et al. 2012, eq. 5), float64.

    Its expectation is 0 for independent features; a single estimate may be negative. It takes
    ``N * P * Q`` steps and no kernel matrix.

    Args:
        x: Features of each example ``[N, P]``.
        y: Other features of the same examples ``[N, Q]``.

    Raises:
        ValueError: Fewer than four examples, or not as many of both.
    """
    return _hsic(_kernel(x), _kernel(y))


def linear_cka(first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
    """Unbiased linear CKA of every layer with every layer ``[len(first), len(second)]``, float64.

    The ratio of Kornblith et al. 2019, eq. 2, over the estimate of Song et al. 2012. It is 1 for
    layers that differ by a rotation and a factor, about 0 for unrelated ones; NaN where a layer
    does not vary beyond chance.

    Args:
        first: Layers ``[N, P]`` of one network.
        second: Layers ``[N, Q]`` of another one, of the same examples.

    Raises:
        ValueError: Fewer than four examples, or not as many in all layers.
    """
    rows, columns = [_kernel(x) for x in first], [_kernel(y) for y in second]
    shared = torch.stack([torch.stack([_hsic(x, y) for y in columns]) for x in rows])
    own_rows = torch.stack([_hsic(x, x) for x in rows])
    own_columns = torch.stack([_hsic(y, y) for y in columns])
    scale = own_rows[:, None].clamp(min=0.0) * own_columns.clamp(min=0.0)
    undefined = torch.full_like(shared, torch.nan)
    return torch.where(scale > 0.0, shared / scale.sqrt(), undefined)


def _kernel(features: Tensor) -> _Kernel:
    """The kernel of features ``[N, P]``."""
    if features.ndim != 2 or features.shape[0] < FEWEST:
        raise ValueError(
            f"unbiased HSIC needs a matrix of at least {FEWEST} examples (got the shape "
            f"{tuple(features.shape)}); take more windows"
        )
    # The estimate does not see where the origin is, its rounding errors do.
    centred = features.double() - features.double().mean(dim=0)
    diagonal = centred.square().sum(dim=1)
    return _Kernel(centred, diagonal, centred @ centred.sum(dim=0) - diagonal)


def _hsic(x: _Kernel, y: _Kernel) -> Tensor:
    """Unbiased HSIC of two kernels."""
    n = x.features.shape[0]
    if y.features.shape[0] != n:
        raise ValueError(
            f"both layers must be of the same examples (got {n} and {y.features.shape[0]})"
        )
    trace = (x.features.T @ y.features).square().sum() - x.diagonal @ y.diagonal
    totals = x.sums.sum() * y.sums.sum() / ((n - 1) * (n - 2))
    return (trace + totals - 2.0 / (n - 2) * (x.sums @ y.sums)) / (n * (n - 3))
