"""Ridge regression of one arm: the inverse of its regularised second moments, kept up to date."""

from __future__ import annotations

import torch
from torch import Tensor

UPDATE_ROWS = 64
"""Rows absorbed at once: an update costs about as much for one row as for this many."""
SCORE_ROWS = 512
"""Rows whose widths are computed at once: the products stay in the cache."""


def ridge_inverse(z: Tensor, lambda_reg: float) -> Tensor:
    """``(lambda I + Z'Z)^-1`` ``[d, d]`` of the rows ``[N, d]``, directly."""
    moments = z.T @ z
    moments.diagonal().add_(lambda_reg)
    return torch.cholesky_inverse(torch.linalg.cholesky(moments))


def absorb(inverse: Tensor, z: Tensor) -> Tensor:
    """The inverse ``[d, d]`` after the rows ``[N, d]`` were added to its second moments.

    Woodbury's identity on blocks of rows, which for a block of one is the formula of Sherman and
    Morrison: ``P - P Z' (I + Z P Z')^-1 Z P``. The order of the rows does not matter.
    """
    for rows in z.split(UPDATE_ROWS):
        projected = rows @ inverse
        inner = projected @ rows.T
        inner.diagonal().add_(1.0)
        gain = torch.cholesky_solve(projected, torch.linalg.cholesky(inner))
        inverse = inverse - projected.T @ gain
    # Rounding must not make it drift from symmetry: widths are its quadratic form.
    return (inverse + inverse.T) / 2


def confidence_widths(z: Tensor, inverses: Tensor) -> Tensor:
    """``sqrt(z' P_a z)`` ``[N, A]`` of the rows ``[N, d]`` under each arm's inverse ``[A, d, d]``.

    The width of the confidence interval of LinUCB (Li et al. 2010, eq. 5) without its factor.
    """
    blocks = [
        ((rows @ inverses) * rows).sum(dim=-1).clamp(min=0.0).sqrt().T
        for rows in z.split(SCORE_ROWS)
    ]
    return torch.cat(blocks)
