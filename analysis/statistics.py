"""Whether two rows of a table differ, told from the seeds that both share.

Rows that share seeds and data are compared pair by pair: what a seed does to both rows alike
cancels out. Whatever a handful of seeds cannot tell is none, or said to be out of reach, never a
star.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

FloatArray = NDArray[np.float64]

ALPHA = 0.05
"""Chance that a test calls two equal rows different."""
LEVEL = 0.95
"""Share of studies whose interval is meant to hold the truth."""
RESAMPLES = 9_999
"""Resamples of a bootstrap, and sign patterns drawn where there are too many to count."""
EXACT_PAIRS = 20
"""Up to this many pairs that differ every sign pattern is counted."""
INTERVAL_PAIRS = 3
"""Fewest pairs that an interval of their mean is given for."""
_SAME = 1e-12  # metrics are of order one: what differs by less differs by the rounding of a float64

_LARGE_EFFECT = 100.0  # beyond it the mean is as good as known beside the deviation

Test = Literal["sign_flip", "wilcoxon"]
"""``sign_flip`` weighs every pair by its difference, ``wilcoxon`` by the rank of its size."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Paired:
    """The mean difference of two rows over the pairs that they share, and how sure it is."""

    n: int
    """Pairs."""
    mean: float | None
    """Mean difference, in the metric's own unit; none without a pair."""
    low: float | None
    """Lower end of the 95 % interval of the mean; none below three pairs."""
    high: float | None
    """Its upper end."""
    p: float | None
    """Two-sided p-value that the sign of a difference is chance; none without a pair."""
    p_floor: float | None
    """Smallest p-value that this many pairs can give."""
    underpowered: bool
    """Whether that floor lies above ``alpha``: no difference, however large, would be found."""
    d_z: float | None
    """Mean difference in standard deviations of the differences (Cohen's d_z); none where fewer
    than two pairs or equal differences leave no deviation."""
    d_z_low: float | None
    """Lower end of its 95 % interval."""
    d_z_high: float | None
    """Its upper end."""
    ties: int
    """Pairs without a difference: they say nothing of a sign, and do not lower the floor."""


def paired(
    deltas: ArrayLike,
    *,
    alpha: float = ALPHA,
    test: Test = "sign_flip",
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Paired:
    """Mean of paired differences with its interval, its test and its effect size.

    The interval is the bias-corrected and accelerated bootstrap (Efron 1987). It is too narrow for
    few pairs: of simulated studies with normal differences it holds the truth in 73 % with 3 pairs,
    85 % with 5 and 90 % with 10; of exponential ones in 66, 80 and 88 %.

    The p-value is the share of sign patterns whose mean lies at least as far from 0, all of them
    counted up to 20 pairs that differ (Fisher 1935), and drawn beyond. It is exact where chance
    gives either sign to a difference of any size; of skewed differences it finds too many.

    Args:
        deltas: Row minus baseline, one a pair ``[N]``, in the metric's unit.
        alpha: Level that ``underpowered`` speaks of.
        test: What each pair is weighed by in the p-value.
        resamples: Resamples of the interval, and sign patterns drawn.
        seed: Of the resamples and the patterns.

    Raises:
        ValueError: A difference is not finite, or ``alpha`` lies outside (0, 1).
    """
    values = finite(deltas)
    _require_alpha(alpha)
    n, ties = values.size, values.size - signed(values).size
    if n == 0:
        return Paired(
            n=0, mean=None, low=None, high=None, p=None, p_floor=None, underpowered=True,
            d_z=None, d_z_low=None, d_z_high=None, ties=0,
        )  # fmt: skip
    low, high = bca_interval((values,), resamples=resamples, seed=seed)
    d_z, d_z_low, d_z_high = effect_size(values)
    floor = sign_flip_floor(n - ties, resamples)
    weights = values if test == "sign_flip" else _signed_ranks(values)
    return Paired(
        n=n, mean=float(values.mean()), low=low, high=high,
        p=sign_flip(weights, resamples=resamples, seed=seed), p_floor=floor,
        underpowered=floor > alpha, d_z=d_z, d_z_low=d_z_low, d_z_high=d_z_high, ties=ties,
    )  # fmt: skip


def sign_flip(deltas: ArrayLike, *, resamples: int = RESAMPLES, seed: int = 0) -> float:
    """Two-sided p-value that a mean of this size arises from the signs of the differences alone.

    Args:
        deltas: Differences ``[N]``; those that are 0 have no sign and are left out.
        resamples: Patterns drawn where more than 20 differences have a sign.
        seed: Of the draw.

    Returns:
        A share that counts the observed pattern too, so that it is never 0; 1 without a difference.

    Raises:
        ValueError: A difference is not finite.
    """
    values = signed(finite(deltas))
    if values.size == 0:
        return 1.0
    reached = abs(values.sum()) - 1e-9 * np.abs(values).sum()
    if values.size <= EXACT_PAIRS:
        # A pattern and its opposite have means of one size: the first sign can stay.
        sums = values[:1]
        for value in values[1:]:
            sums = np.concatenate((sums + value, sums - value))
        return float(np.mean(np.abs(sums) >= reached))
    signs = np.random.default_rng(seed).integers(0, 2, (resamples, values.size), dtype=np.int8)
    sums = signs @ (2.0 * values) - values.sum()
    return float((1 + (np.abs(sums) >= reached).sum()) / (1 + resamples))


def sign_flip_floor(n: int, resamples: int = RESAMPLES) -> float:
    """Smallest p-value that ``n`` differences with a sign can give: 2^(1 - n) where all count."""
    exact = min(1.0, 2.0 ** (1 - n))
    return exact if n <= EXACT_PAIRS else max(exact, 1.0 / (1 + resamples))


def bca_interval(
    strata: Sequence[FloatArray], *, resamples: int = RESAMPLES, seed: int = 0
) -> tuple[float | None, float | None]:
    """Bootstrap interval of the mean of the strata's means, each stratum resampled within itself.

    Returns:
        Both ends; twice the mean where nothing varies; none where there are fewer than three values
        in all, or fewer than two in a stratum.
    """
    if sum(values.size for values in strata) < INTERVAL_PAIRS or min(map(len, strata)) < 2:
        return None, None
    if all(constant(values) for values in strata):
        mean = mean_of_means(*strata)
        return float(mean), float(mean)

    def interval(method: str) -> FloatArray:
        with warnings.catch_warnings():
            # A distribution of two or three values has no acceleration; its quantiles stand then.
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            found = stats.bootstrap(
                tuple(strata), mean_of_means, n_resamples=resamples, confidence_level=LEVEL,
                method=method, rng=np.random.default_rng(seed),
            )  # fmt: skip
        return np.array(found.confidence_interval, dtype=np.float64)

    ends = interval("BCa")
    if not np.isfinite(ends).all():
        ends = interval("percentile")
    return float(ends[0]), float(ends[1])


def mean_of_means(*strata: FloatArray, axis: int = -1) -> FloatArray:
    """Mean over strata of each one's mean along ``axis``: strata count alike, whatever their size.

    Broadcasts over the other axes, as a statistic that is resampled must.
    """
    means = [values.mean(axis=axis) for values in strata]
    return np.asarray(sum(means) / len(means))


def effect_size(deltas: ArrayLike) -> tuple[float | None, float | None, float | None]:
    """Cohen's d_z of paired differences ``[N]`` and the ends of its 95 % interval.

    The interval holds every effect under which the observed t lies in the middle 95 % of its
    noncentral distribution (Steiger and Fouladi 1997); it takes the differences as normal.
    None each where fewer than two pairs or equal differences leave no deviation.

    Raises:
        ValueError: A difference is not finite.
    """
    values = finite(deltas)
    if values.size < 2 or constant(values):
        return None, None, None
    d_z = float(values.mean() / values.std(ddof=1))
    tail = (1.0 - LEVEL) / 2.0
    # Searched on one side of 0 only, so that turned signs turn the interval exactly.
    low, high = (_noncentrality(abs(d_z), values.size, share) for share in (1.0 - tail, tail))
    return (d_z, low, high) if d_z >= 0.0 else (d_z, -high, -low)


def _noncentrality(d_z: float, n: int, share: float) -> float:
    """The effect under which an effect of at most ``d_z`` is seen with chance ``share``."""
    if d_z > _LARGE_EFFECT:
        # The search takes for ever there, and only the deviation's own uncertainty is left.
        return d_z * math.sqrt(stats.chi2.ppf(1.0 - share, n - 1) / (n - 1))
    root = math.sqrt(n)
    return float(special.nctdtrinc(n - 1, share, d_z * root)) / root


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """P-values of one family, adjusted by Holm's step-down procedure (1979).

    The family is the rows of an axis: all that are compared with the one baseline. A null was no
    comparison: it stays null and is not counted.

    Raises:
        ValueError: A p-value outside [0, 1].
    """
    known = [i for i, p in enumerate(p_values) if p is not None]
    given = np.array([p for p in p_values if p is not None], dtype=np.float64)
    if not ((given >= 0.0) & (given <= 1.0)).all():
        raise ValueError(f"p-values must lie in [0, 1] (got {given.tolist()})")
    order = np.argsort(given, kind="stable")
    steps = np.maximum.accumulate(given[order] * np.arange(given.size, 0, -1))
    adjusted: list[float | None] = [None] * len(p_values)
    for place, p in zip(order.tolist(), np.minimum(steps, 1.0).tolist(), strict=True):
        adjusted[known[place]] = p
    return tuple(adjusted)


def finite(values: ArrayLike) -> FloatArray:
    """Numbers as float64 ``[N]``.

    Raises:
        ValueError: One of them is not finite.
    """
    array = np.asarray(values, dtype=np.float64).reshape(-1)
    if not np.isfinite(array).all():
        bad = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(
            f"value {bad} is {array[bad]}; values must be finite, so leave out the pairs that are "
            "undefined in either row"
        )
    return array


def signed(values: FloatArray) -> FloatArray:
    """The values ``[N]`` that have a sign: all but those that are 0, but for rounding."""
    return values[np.abs(values) > _SAME]


def constant(values: FloatArray) -> bool:
    """Whether values ``[N]`` are all the same, but for rounding."""
    return bool(np.ptp(values) <= _SAME * max(1.0, float(np.abs(values).max())))


def _signed_ranks(values: FloatArray) -> FloatArray:
    """Wilcoxon's signed ranks (1945): zeros left out, equal sizes share their mean rank."""
    kept = signed(values)
    return np.asarray(np.sign(kept) * stats.rankdata(np.abs(kept)), dtype=np.float64)


def _require_alpha(alpha: float) -> None:
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie in (0, 1) (got {alpha})")
