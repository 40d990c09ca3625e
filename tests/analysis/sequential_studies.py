"""Simulated studies that are looked at several times: what is decided, and at which look."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from analysis.sequential import typical_interval

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]


def normal(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Differences around 0."""
    return rng.normal(size=n)


def heavy(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Differences around 0 of which some are very large, as of a seed that fails."""
    return rng.standard_t(2, size=n)


def skewed(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Exponential differences with mean 0: symmetry is what the interval relies on."""
    return rng.exponential(size=n) - 1.0


def excludes_zero(deltas: NDArray[np.float64], alpha: float) -> bool:
    """Whether the interval of the rule does."""
    found = typical_interval(deltas, alpha)
    return found is not None and (found[0] > 0.0 or found[1] < 0.0)


def t_excludes_zero(deltas: NDArray[np.float64], alpha: float) -> bool:
    """Whether the interval of the t-test does."""
    return bool(stats.ttest_1samp(deltas, 0.0).pvalue <= alpha)


def first_decision(
    deltas: NDArray[np.float64],
    looks: Sequence[int],
    alpha: float,
    decides: Callable[[NDArray[np.float64], float], bool] = excludes_zero,
) -> int | None:
    """The look that decides that a row differs; none where none does."""
    return next((n for n in looks if decides(deltas[:n], alpha)), None)
