"""The paired comparison of ``analysis.statistics`` for thousands of rows at once.

A table of thousands of rows must not take a minute. Rows with equally many pairs share their
resamples, and few pairs have few distinct ones: with five there are 126, however many are drawn.
This module needs no ``scipy.stats``, whose import alone takes longer than most tables.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import special

FloatArray = NDArray[np.float64]

ALPHA = 0.05
LEVEL = 0.95
RESAMPLES = 9_999
EXACT_PAIRS = 20
INTERVAL_PAIRS = 3
POWER = 0.8
MOST_SEEDS = 10_000
"""All as in ``analysis.statistics`` and ``analysis.power``."""
_SAME = 1e-12
_LARGE_EFFECT = 100.0
_CERTAIN = 8.0
_CHUNK = 4_000_000  # numbers at once: 32 MB an array

PAIRED_SCHEMA: dict[str, Any] = {
    "n": pl.Int64,
    "mean": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "p": pl.Float64,
    "p_floor": pl.Float64,
    "d_z": pl.Float64,
    "d_z_low": pl.Float64,
    "d_z_high": pl.Float64,
    "ties": pl.Int64,
}
"""The fields of ``Paired``, one row a comparison."""


def paired_rows(deltas: Sequence[Sequence[float]], *, seed: int = 0) -> pl.DataFrame:
    """``paired`` of every row of differences, in their order, as ``PAIRED_SCHEMA``.

    Args:
        deltas: Row minus baseline of each comparison, one a pair, in the metric's unit.
        seed: Of the resamples.

    Raises:
        ValueError: A difference is not finite.
    """
    counts = np.array([len(row) for row in deltas], dtype=np.int64)
    values = {name: np.full(counts.size, np.nan) for name in PAIRED_SCHEMA}
    values["n"], values["ties"] = counts, np.zeros(counts.size)
    for n in np.unique(counts[counts > 0]).tolist():
        at = np.flatnonzero(counts == n)
        rows = np.array([deltas[i] for i in at.tolist()], dtype=np.float64)
        if not np.isfinite(rows).all():
            raise ValueError("a difference is not finite; leave out pairs undefined in either row")
        for name, column in _compared(rows, seed).items():
            values[name][at] = column
    frame = pl.DataFrame(values).with_columns(pl.all().fill_nan(None))
    return frame.select(pl.col(name).cast(kind) for name, kind in PAIRED_SCHEMA.items())


def seeds_needed(d_z: FloatArray, alpha: FloatArray, *, power: float = POWER) -> FloatArray:
    """``minimum_seeds(...).needed`` of many effects; NaN without one, or out of reach.

    Args:
        d_z: Effects in standard deviations of the differences ``[R]``.
        alpha: Level of each test ``[R]``.
        power: Chance to find it.
    """
    effects = np.abs(d_z)
    high = np.full(effects.shape, float(MOST_SEEDS))
    low = np.maximum(1.0, np.ceil(1.0 - np.log2(alpha))) - 1.0
    with np.errstate(invalid="ignore"):
        reachable = _power(effects, high, alpha) >= power
    while (open_ := high - low > 1.0).any():
        middle = np.where(open_, np.floor((low + high) / 2.0), high)
        with np.errstate(invalid="ignore"):
            enough = _power(effects, middle, alpha) >= power
        high = np.where(open_ & enough, middle, high)
        low = np.where(open_ & ~enough, middle, low)
    return np.where(reachable, high, np.nan)


def seeds_reachable(alpha: FloatArray) -> FloatArray:
    """Fewest seeds with which any difference can be significant at each level ``[R]``."""
    return np.maximum(1.0, np.ceil(1.0 - np.log2(alpha)))


def bca_rows(rows: FloatArray, *, seed: int = 0) -> tuple[FloatArray, FloatArray]:
    """Ends of the BCa interval of the mean of each row of ``[R, N]``, NaN below three values.

    The draws are those of ``bca_interval``. A resample whose mean is the observed one counts half
    on either side; there it is the rounding of its sum that decides.
    """
    ends = np.full((2, len(rows)), np.nan)
    n = rows.shape[1]
    if n < INTERVAL_PAIRS:
        return ends[0], ends[1]
    patterns, weights = _resamples(n, seed)
    for part in _parts(len(rows), len(patterns)):
        ends[:, part] = _bca(rows[part], patterns, weights)
    same = _constant(rows)
    ends[:, same] = rows.mean(axis=1)[same]
    return ends[0], ends[1]


def _compared(rows: FloatArray, seed: int) -> dict[str, FloatArray]:
    """Everything of ``PAIRED_SCHEMA`` but the counts, for rows with equally many pairs."""
    n = rows.shape[1]
    signed = np.where(np.abs(rows) > _SAME, rows, 0.0)
    ties = (signed == 0.0).sum(axis=1)
    low, high = bca_rows(rows, seed=seed)
    d_z, d_z_low, d_z_high = _effects(rows)
    floor = np.minimum(1.0, 2.0 ** (1.0 - (n - ties)))
    drawn = n - ties > EXACT_PAIRS
    floor[drawn] = np.maximum(floor[drawn], 1.0 / (1 + RESAMPLES))
    p = np.array([_drawn_p(row, seed) if d else np.nan for row, d in zip(rows, drawn, strict=True)])
    if not drawn.all():
        p[~drawn] = _exact_p(signed[~drawn])
    return {
        "mean": rows.mean(axis=1), "low": low, "high": high, "p": p, "p_floor": floor,
        "d_z": d_z, "d_z_low": d_z_low, "d_z_high": d_z_high, "ties": ties.astype(np.float64),
    }  # fmt: skip


@cache
def _resamples(n: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Distinct resamples of ``n`` values as shares of each ``[U, n]``, how often each was drawn.

    They are the same for every row of a table; nothing writes into them.
    """
    drawn = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    counts = (drawn[:, :, None] == np.arange(n)).sum(axis=1, dtype=np.int16)
    patterns, weights = np.unique(counts, axis=0, return_counts=True)
    if 2 * len(patterns) > RESAMPLES:
        return counts / n, np.ones(RESAMPLES)
    return patterns / n, weights.astype(np.float64)


def _bca(rows: FloatArray, patterns: FloatArray, weights: FloatArray) -> FloatArray:
    """Both ends ``[2, R]`` (Efron 1987), with the quantiles that numpy interpolates."""
    total = weights.sum()
    mean = rows.mean(axis=1, keepdims=True)
    means = rows @ patterns.T
    near = np.abs(means - mean) <= _SAME * np.maximum(1.0, np.abs(rows).max(axis=1, keepdims=True))
    below = ((means < mean) & ~near) @ weights + 0.5 * (near @ weights)
    influence = rows - mean
    with np.errstate(invalid="ignore", divide="ignore"):
        cubes, squares = (influence**3).sum(axis=1), (influence**2).sum(axis=1)
        acceleration = cubes / (6.0 * squares**1.5)
        bias = special.ndtri(below / total)
        tail = special.ndtri((1.0 - LEVEL) / 2.0)
        shares = [
            special.ndtr(bias + (bias + z) / (1.0 - acceleration * (bias + z)))
            for z in (tail, -tail)
        ]
    plain = ((1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0)
    broken = ~np.isfinite(shares).all(axis=0)
    wanted = np.where(broken, np.array(plain)[:, None], shares)
    return _quantiles(means, weights, wanted)


def _quantiles(values: FloatArray, weights: FloatArray, shares: FloatArray) -> FloatArray:
    """Linear quantiles ``[2, R]`` of each row of values ``[R, U]``, which count several times."""
    total = weights.sum()
    place = shares * (total - 1.0)
    lower = np.floor(place)
    if weights.max() == 1.0:
        # Sorting alone is many times faster than sorting along with the weights.
        ordered = np.sort(values, axis=1)
        at = [np.minimum(lower + step, total - 1.0).astype(np.int64) for step in (0, 1)]
    else:
        order = np.argsort(values, axis=1)
        ordered, reach = np.take_along_axis(values, order, axis=1), np.cumsum(weights[order], 1)
        ends = (np.minimum(lower + step, total - 1.0)[:, :, None] for step in (0, 1))
        at = [(reach <= end).sum(axis=2) for end in ends]
    below, above = (np.take_along_axis(ordered, index.T, axis=1).T for index in at)
    return np.asarray(below + (above - below) * (place - lower))


def _exact_p(signed: FloatArray) -> FloatArray:
    """Share of all sign patterns whose sum lies as far from 0, for rows ``[R, N]``.

    A difference of 0 doubles every pattern, and so changes no share.
    """
    p = np.empty(len(signed))
    reached = np.abs(signed.sum(axis=1)) - 1e-9 * np.abs(signed).sum(axis=1)
    for part in _parts(len(signed), 2 ** (signed.shape[1] - 1)):
        sums = signed[part, :1]
        for column in signed[part, 1:].T:
            if column.any():
                sums = np.concatenate((sums + column[:, None], sums - column[:, None]), axis=1)
        p[part] = (np.abs(sums) >= reached[part, None]).mean(axis=1)
    return p


def _drawn_p(row: FloatArray, seed: int) -> float:
    """The same share of patterns that are drawn, where too many differences have a sign."""
    values = row[np.abs(row) > _SAME]
    signs = np.random.default_rng(seed).integers(0, 2, (RESAMPLES, values.size), dtype=np.int8)
    reached = abs(values.sum()) - 1e-9 * np.abs(values).sum()
    sums = signs @ (2.0 * values) - values.sum()
    return float((1 + (np.abs(sums) >= reached).sum()) / (1 + RESAMPLES))


def _effects(rows: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Cohen's d_z of each row with the ends of its interval; NaN where nothing varies."""
    n = rows.shape[1]
    nothing = np.full(len(rows), np.nan)
    if n < 2:
        return nothing, nothing, nothing
    varies = ~_constant(rows)
    with np.errstate(invalid="ignore", divide="ignore"):
        d_z = np.where(varies, rows.mean(axis=1) / rows.std(axis=1, ddof=1), np.nan)
    size, tail, root = np.abs(d_z), (1.0 - LEVEL) / 2.0, math.sqrt(n)
    usual = np.where(size > _LARGE_EFFECT, np.nan, size)
    low, high = (
        np.where(
            size > _LARGE_EFFECT,
            size * math.sqrt(special.chdtri(n - 1, share) / (n - 1)),
            special.nctdtrinc(n - 1, share, usual * root) / root,
        )
        for share in (1.0 - tail, tail)
    )
    positive = d_z >= 0.0
    return d_z, np.where(positive, low, -high), np.where(positive, high, -low)


def _power(d_z: FloatArray, n: FloatArray, alpha: FloatArray) -> FloatArray:
    """``sign_flip_power`` of many effects ``[R]``, each with its own number of seeds and level."""
    degrees, shift = np.maximum(n - 1.0, 1.0), d_z * np.sqrt(n)
    critical = special.stdtrit(degrees, 1.0 - alpha / 2.0)
    # Far out the distribution function gives up: there nothing is missed, or nothing is found.
    certain = shift > critical + _CERTAIN
    shift = np.where(certain, 0.0, shift)
    missed, wrong_side = (special.nctdtr(degrees, shift, end) for end in (critical, -critical))
    by_t = 1.0 - missed + np.nan_to_num(wrong_side)
    one_sign = special.ndtr(d_z) ** n + special.ndtr(-d_z) ** n
    found = np.where(np.exp2(2.0 - n) > alpha, one_sign, np.where(certain, 1.0, by_t))
    return np.where(np.exp2(1.0 - n) > alpha, 0.0, found)


def _constant(rows: FloatArray) -> NDArray[np.bool_]:
    """Which rows ``[R, N]`` hold one value, but for rounding."""
    spread = np.ptp(rows, axis=1)
    return np.asarray(spread <= _SAME * np.maximum(1.0, np.abs(rows).max(axis=1)))


def _parts(rows: int, width: int) -> Iterator[slice]:
    """Slices of rows that hold a bounded number of values each."""
    step = max(1, _CHUNK // max(1, width))
    return (slice(start, start + step) for start in range(0, rows, step))
