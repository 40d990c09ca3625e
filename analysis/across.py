"""One judgement over several data sets, when no row wins on all of them.

Values of a row are given by data set; what two data sets share, a test subset for one, is given
once, or it would count twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from analysis.statistics import ALPHA, LEVEL, FloatArray, Paired, finite, paired

RESAMPLES = 2_000
"""Resamples of a stratified bootstrap."""
QUARTER = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A quantity over several data sets with its 95 % interval."""

    value: float
    """The quantity."""
    low: float | None
    """Lower end of its interval; none where a data set has a single value of a row."""
    high: float | None
    """Its upper end."""
    num_datasets: int
    """Data sets."""


def interquartile_mean(
    values: Mapping[str, ArrayLike], *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """Mean of the middle half of all values of a row (Agarwal et al. 2021).

    It is less at the mercy of one seed than the mean, and less blind than the median. Seeds are
    resampled within each data set; the interval lies between quantiles of the resamples.

    Args:
        values: Values by data set, one a seed ``[N]``, of one unit.
        resamples: Resamples of the interval.
        seed: Of the resamples.

    Raises:
        ValueError: No data set, one without a value, or a value that is not finite.
    """
    strata = _strata(values)
    rng = np.random.default_rng(seed)

    def drawn() -> FloatArray:
        parts = [x[rng.integers(0, x.size, (resamples, x.size))] for x in strata]
        return np.asarray(stats.trim_mean(np.concatenate(parts, axis=1), QUARTER, axis=1))

    middle = float(stats.trim_mean(np.concatenate(strata), QUARTER))
    return _estimate(middle, drawn, strata, len(strata))


def probability_of_improvement(
    first: Mapping[str, ArrayLike],
    second: Mapping[str, ArrayLike],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Chance that one run of the first row beats one of the second on a data set drawn at random.

    Mean over data sets of the Mann-Whitney statistic per pair of runs, ties half (Agarwal et al.
    2021). It says how often, never by how much. Both rows are resampled within each data set.

    Args:
        first: Values of a row by data set, one a seed ``[N]``.
        second: Those of the other ``[M]``, on the same data sets.
        resamples: Resamples of the interval.
        seed: Of the resamples.

    Raises:
        ValueError: Other data sets, none, one without a value, or a value that is not finite.
    """
    if set(first) != set(second):
        raise ValueError(
            f"the rows have different data sets: {', '.join(sorted(set(first) ^ set(second)))} "
            "in one of them only; compare them on those that both have"
        )
    ours = _strata(first)
    theirs = _strata({name: second[name] for name in first})
    wins = [
        (np.sign(x[:, None] - y[None, :]) + 1.0) / 2.0 for x, y in zip(ours, theirs, strict=True)
    ]
    rng = np.random.default_rng(seed)

    def drawn() -> FloatArray:
        total = np.zeros(resamples)
        for win in wins:
            rows, columns = (
                rng.multinomial(n, np.full(n, 1.0 / n), size=resamples) / n for n in win.shape
            )
            total += ((rows @ win) * columns).sum(axis=1)
        return total / len(wins)

    chance = float(np.mean([win.mean() for win in wins]))
    return _estimate(chance, drawn, [*ours, *theirs], len(wins))


def expected_maximum(values: ArrayLike, *, plug_in: bool = False) -> tuple[float, ...]:
    """Best value to expect of 1, 2, ... N trials, from the values of N trials.

    Two rows that were not tuned equally long compare at equal numbers of trials. The mean of the
    best over all subsets of that size (Tang et al. 2020), which is unbiased; ``plug_in`` draws with
    replacement (Dodge et al. 2019, eq. 5), which is too low throughout.

    Args:
        values: Values that were chosen from, higher is better ``[N]``.
        plug_in: Draw with replacement.

    Raises:
        ValueError: No value, or one that is not finite.
    """
    ordered = np.sort(finite(values))
    n = ordered.size
    if n == 0:
        raise ValueError("an expected maximum needs the values of trials; there is none")
    curve = []
    for k in range(1, n + 1):
        if plug_in:
            weights = np.diff((np.arange(n + 1) / n) ** k)
        else:
            weights = np.array([math.comb(i, k - 1) / math.comb(n, k) for i in range(n)])
        curve.append(float(ordered @ weights))
    return tuple(curve)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ties:
    """Rows that more seeds might yet put first."""

    best: str
    """Row with the highest mean."""
    tied: tuple[str, ...]
    """Rows that it does not beat over the seeds of both, in the order given: the interval of the
    difference holds 0, or lies below it where the best owes its mean to seeds that the row lacks.
    """
    untold: tuple[str, ...]
    """Rows that share too few pairs with it for an interval."""
    differences: Mapping[str, Paired]
    """Best minus row, for every other row."""


def tie_candidates(values: Mapping[str, ArrayLike], *, seed: int = 0) -> Ties:
    """Which rows the best one does not clearly beat.

    The best is chosen by the same seeds that judge it, which flatters it: few ties is no proof.

    Args:
        values: Values of each row, higher is better, the same seed at the same place; NaN where a
            row lacks it ``[N]``.
        seed: Of the resamples.

    Raises:
        ValueError: No row with a value, or rows of different lengths.
    """
    rows = {name: np.asarray(row, dtype=np.float64).reshape(-1) for name, row in values.items()}
    if len({row.size for row in rows.values()}) > 1:
        sizes = ", ".join(f"{name} {row.size}" for name, row in rows.items())
        raise ValueError(f"rows must have the same seeds at the same places (lengths: {sizes})")
    means = {name: np.nanmean(row) for name, row in rows.items() if not np.isnan(row).all()}
    if not means:
        raise ValueError("ties need at least one row with a value; there is none")
    best = max(means, key=lambda name: means[name])
    differences = {}
    for name, row in rows.items():
        if name != best:
            deltas = rows[best] - row
            differences[name] = paired(deltas[~np.isnan(deltas)], seed=seed)
    return Ties(
        best=best,
        tied=tuple(name for name, d in differences.items() if d.low is not None and d.low <= 0.0),
        untold=tuple(name for name, d in differences.items() if d.low is None),
        differences=differences,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class CriticalDifference:
    """Mean ranks of rows over data sets, and how far apart two must lie to differ."""

    ranks: Mapping[str, float]
    """Mean rank of each row, 1 the best, in ascending order."""
    difference: float
    """Ranks further apart than this differ (Nemenyi 1963)."""
    p: float | None
    """Friedman's p-value that all rows rank alike; none for fewer than three rows, or where every
    data set ranks all of them alike."""
    groups: tuple[tuple[str, ...], ...]
    """Largest sets of rows that do not differ, best first; what a rank plot joins by a bar."""
    num_datasets: int
    """Data sets."""


def critical_difference(
    values: Mapping[str, ArrayLike], *, alpha: float = ALPHA
) -> CriticalDifference:
    """Friedman's test over data sets and Nemenyi's critical difference (Demšar 2006).

    Both rest on large numbers of data sets; below about ten the p-value is only roughly right. The
    groups mean nothing where ``p`` is not below ``alpha``.

    Args:
        values: Values of each row, higher is better, the same data set at the same place: one value
            a data set, seeds averaged ``[B]``.
        alpha: Level of the critical difference.

    Raises:
        ValueError: Fewer than two rows, no data set, rows of different lengths, or a value that is
            not finite.
    """
    rows = {name: finite(row) for name, row in values.items()}
    sizes = {row.size for row in rows.values()}
    if len(rows) < 2 or len(sizes) != 1 or sizes == {0}:
        raise ValueError(
            f"ranks need at least two rows with a value on each of the same data sets "
            f"(got {len(rows)} rows of lengths {sorted(sizes)})"
        )
    table = np.array(list(rows.values()))
    k, blocks = table.shape
    mean = stats.rankdata(-table, axis=0).mean(axis=1)
    order = np.argsort(mean, kind="stable")
    names = [list(rows)[i] for i in order]
    width = float(
        stats.studentized_range.ppf(1.0 - alpha, k, np.inf)
        / math.sqrt(2.0)
        * math.sqrt(k * (k + 1) / (6.0 * blocks))
    )
    differs = k > 2 and bool((np.ptp(table, axis=0) > 0).any())
    return CriticalDifference(
        ranks={name: float(mean[i]) for name, i in zip(names, order, strict=True)},
        difference=width,
        p=float(stats.friedmanchisquare(*table).pvalue) if differs else None,
        groups=_groups(names, mean[order], width),
        num_datasets=blocks,
    )


def _groups(names: list[str], ranks: FloatArray, width: float) -> tuple[tuple[str, ...], ...]:
    """Runs of ranks ``[K]``, ascending, that no longer run within ``width`` contains."""
    ends = np.searchsorted(ranks, ranks + width, side="right")
    longest = np.flatnonzero(np.diff(ends, prepend=0) > 0)
    return tuple(tuple(names[i : ends[i]]) for i in longest.tolist())


def _strata(values: Mapping[str, ArrayLike]) -> list[FloatArray]:
    """Values of each data set; none may be empty."""
    strata = {name: finite(x) for name, x in values.items()}
    empty = [name for name, x in strata.items() if x.size == 0]
    if empty or not strata:
        raise ValueError(
            f"every data set needs a value ({', '.join(empty) or 'none was given'}); "
            "leave out the data sets that were not run"
        )
    return list(strata.values())


def _estimate(
    value: float, drawn: Callable[[], FloatArray], strata: list[FloatArray], num_datasets: int
) -> Estimate:
    """The quantity with quantiles of its resamples, where every stratum can vary."""
    low, high = None, None
    if min(x.size for x in strata) > 1:
        tail = (1.0 - LEVEL) / 2.0
        low, high = np.quantile(drawn(), (tail, 1.0 - tail)).tolist()
    return Estimate(value=value, low=low, high=high, num_datasets=num_datasets)
