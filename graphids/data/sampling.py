"""Which windows to train on where attacks are rare: all attacks and the hardest benign windows."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def undersample(difficulty: Tensor, y: Tensor, candidates: Tensor, ratio: float = 4.0) -> Tensor:
    """Every attack window and the ``floor(ratio * attacks)`` hardest benign ones (Frenken 2025).

    Args:
        difficulty: How hard each window is ``[N]``; random numbers choose at random.
        y: 1 where the window holds an attack message, else 0 ``[N]``.
        candidates: Windows to choose from ``[n]``, int64, such as the training part.
        ratio: Benign windows for each attack window, positive.

    Returns:
        Chosen windows, int64, ascending. Of equally hard ones the earlier come first; where there
        are too few benign windows, all are chosen.

    Raises:
        ValueError: The shapes differ, the ratio is not positive, no candidate is an attack, or the
            difficulty of a benign candidate is not a number.
    """
    if difficulty.shape != y.shape:
        raise ValueError(
            f"difficulty has {difficulty.numel()} windows, y {y.numel()}; score the dataset that "
            "is sampled"
        )
    if ratio <= 0:
        raise ValueError(f"ratio must be positive (got {ratio})")
    windows = candidates.sort().values
    is_attack = y[windows] > 0
    attacks, benign = windows[is_attack], windows[~is_attack]
    if attacks.numel() == 0:
        raise ValueError(
            f"none of the {windows.numel()} candidates is an attack, so there is nothing to "
            "balance; train on all of them, or check the split"
        )
    scored = difficulty[benign]
    if bool(scored.isnan().any()):
        raise ValueError(
            f"{int(scored.isnan().sum())} of {benign.numel()} benign candidates have no difficulty "
            "(nan); train the scorer again"
        )
    hardest = scored.argsort(descending=True, stable=True)
    kept = benign[hardest[: math.floor(ratio * attacks.numel())]]
    return torch.cat((attacks, kept)).sort().values
