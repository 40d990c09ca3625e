"""The mean difference of two rows over several data sets, which are themselves taken as given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analysis.statistics import (
    ALPHA,
    RESAMPLES,
    bca_interval,
    finite,
    mean_of_means,
    sign_flip,
    sign_flip_floor,
    signed,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pooled:
    """The mean difference of two rows over several data sets, each of which counts alike."""

    n: int
    """Pairs in all data sets together."""
    num_datasets: int
    """Data sets with at least one pair."""
    mean: float | None
    """Mean over data sets of the mean difference in each; none without a pair."""
    low: float | None
    """Lower end of its 95 % interval; none below three pairs, or with one pair in a data set."""
    high: float | None
    """Its upper end."""
    p: float | None
    """Two-sided sign-flip p-value over all pairs."""
    p_floor: float | None
    """Smallest p-value that this many pairs can give."""
    underpowered: bool
    """Whether that floor lies above ``alpha``."""


def pooled(
    deltas: Mapping[str, ArrayLike],
    *,
    alpha: float = ALPHA,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Pooled:
    """Paired differences pooled over data sets, resampled within each.

    It speaks of these data sets and other seeds, not of other data sets. A test subset that two
    data sets share must be given once.

    Args:
        deltas: Row minus baseline by data set, one a seed ``[N]``.
        alpha: Level that ``underpowered`` speaks of.
        resamples: Resamples of the interval, and sign patterns drawn beyond 20 pairs.
        seed: Of the resamples and the patterns.

    Raises:
        ValueError: A difference is not finite.
    """
    strata = [values for values in map(finite, deltas.values()) if values.size > 0]
    n = sum(values.size for values in strata)
    if n == 0:
        return Pooled(
            n=0, num_datasets=0, mean=None, low=None, high=None, p=None, p_floor=None,
            underpowered=True,
        )  # fmt: skip
    low, high = bca_interval(strata, resamples=resamples, seed=seed)
    shares = np.concatenate([values / values.size for values in strata])
    floor = sign_flip_floor(signed(shares).size, resamples)
    return Pooled(
        n=n, num_datasets=len(strata), mean=float(mean_of_means(*strata)), low=low, high=high,
        p=sign_flip(shares, resamples=resamples, seed=seed), p_floor=floor,
        underpowered=floor > alpha,
    )  # fmt: skip
