"""Tau-normalisation of a classifier after training: frequent classes lose their longer rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def tau_normalise(weight: Tensor, tau: float) -> Tensor:
    """Rows of ``weight [K, d]`` divided by the power ``tau`` of their length, as a new tensor.

    ``w_k / ||w_k||^tau`` (Kang et al. 2020, section 4, tau-normalised classifier). 0 changes
    nothing, 1 leaves directions alone. A row of zeros has no direction and stays.

    Raises:
        ValueError: ``tau`` lies outside ``[0, 1]``.
    """
    if not 0.0 <= tau <= 1.0:
        raise ValueError(f"tau must lie in [0, 1] (got {tau})")
    length = torch.linalg.vector_norm(weight, dim=-1, keepdim=True)
    return weight / torch.where(length > 0, length, torch.ones_like(length)) ** tau


@torch.no_grad()
def apply_tau_norm(linear: nn.Linear, tau: float) -> None:
    """Normalises the rows of a trained classifier's last layer, in place.

    The bias stays: the paper's classifier has none, and with two classes it shifts every window's
    score alike, which the threshold that validation chooses afterwards takes up.

    Raises:
        ValueError: ``tau`` lies outside ``[0, 1]``.
    """
    linear.weight.copy_(tau_normalise(linear.weight, tau))
