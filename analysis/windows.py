"""How sure the windows of a capture make a difference between two detectors that are trained.

Windows in a row show the same traffic and the same attack; drawn one by one they would promise more
than they hold. So they are drawn in clusters, and both detectors are read on the same draw.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from analysis.statistics import LEVEL, FloatArray
from graphids.core.metrics import checked

BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

Metric = Literal["f1", "mcc", "precision", "recall", "fpr", "auroc", "ap"]
"""Metrics that windows can be resampled for; the first five read ``decision``, the others
``score``."""
WINDOW = ("split", "capture", "first_message")
"""Columns that name a window."""
RANKINGS = ("auroc", "ap")
LEAST_DEFINED = 0.9
"""Share of resamples that must leave the metric defined for an interval to be given."""
_CHUNK = 1_000_000  # weights of so many windows times resamples at once: 8 MB an array


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowDifference:
    """What two detectors differ by on the same windows, and how sure these windows make it."""

    metric: str
    """Name of the metric."""
    first: float | None
    """Its value for the first detector; none where the labels leave it undefined."""
    second: float | None
    """Its value for the second."""
    difference: float | None
    """First minus second."""
    low: float | None
    """Lower end of its 95 % interval; none with fewer than two clusters, or where more than a tenth
    of the resamples leave the metric undefined."""
    high: float | None
    """Its upper end."""
    n_windows: int
    """Windows."""
    n_clusters: int
    """Clusters that were resampled whole; with fewer than about ten the interval is too narrow."""
    undefined: int
    """Resamples that left the metric undefined, and out of the interval."""


def window_bootstrap(
    first: pl.DataFrame,
    second: pl.DataFrame,
    metric: Metric,
    clusters: Sequence[str] = ("split", "capture"),
    *,
    resamples: int = 1_000,
    seed: int = 0,
) -> WindowDifference:
    """Paired bootstrap of a metric's difference on the windows of one trial each.

    A subset of one capture is one cluster: cut it into ``blocks`` longer than what neighbours
    share. The interval lies between quantiles of the draws.

    Args:
        first: Scores, with ``decision`` (bool) for the metrics of decisions.
        second: Scores of another detector on the same windows.
        metric: What to compare.
        clusters: Columns of ``first`` that name a window's cluster.
        resamples: Draws.
        seed: Of the draws.

    Raises:
        ValueError: An unknown metric, a column that is missing, frames with other windows or
            labels or without any, or a score that is not finite.
    """
    value = "score" if metric in RANKINGS else "decision"
    both = _paired_windows(first, second, metric, value, clusters)
    cluster = both.select(pl.struct(clusters).rank("dense").cast(pl.Int64) - 1).to_series()
    codes, attacks = cluster.to_numpy(), both["label"].to_numpy() > 0
    n_clusters = int(codes.max()) + 1
    columns = [checked(both[name].to_numpy(), attacks)[0] for name in (value, f"{value}_second")]

    whole = np.ones((1, n_clusters))
    at_hand = [float(weighted_metric(metric, c, attacks, codes, whole)[0]) for c in columns]
    weights = np.random.default_rng(seed).multinomial(
        n_clusters, np.full(n_clusters, 1.0 / n_clusters), size=resamples
    )
    step = max(1, _CHUNK // codes.size)
    drawn = [
        weighted_metric(metric, columns[0], attacks, codes, chunk)
        - weighted_metric(metric, columns[1], attacks, codes, chunk)
        for chunk in np.split(weights, range(step, resamples, step))
    ]
    differences = np.concatenate(drawn)
    defined = differences[np.isfinite(differences)]
    low, high = None, None
    if n_clusters > 1 and defined.size >= LEAST_DEFINED * resamples:
        tail = (1.0 - LEVEL) / 2.0
        low, high = np.quantile(defined, (tail, 1.0 - tail)).tolist()
    return WindowDifference(
        metric=metric, first=_or_none(at_hand[0]), second=_or_none(at_hand[1]),
        difference=_or_none(at_hand[0] - at_hand[1]), low=low, high=high,
        n_windows=codes.size, n_clusters=n_clusters, undefined=resamples - defined.size,
    )  # fmt: skip


def blocks(scores: pl.DataFrame, windows: int) -> pl.DataFrame:
    """The frame with ``block``: runs of ``windows`` windows in a row, counted in each capture.

    Raises:
        ValueError: ``windows`` below 1.
    """
    if windows < 1:
        raise ValueError(f"a block must hold at least 1 window (got {windows})")
    place = pl.col("first_message").rank("ordinal").over("split", "capture").cast(pl.Int64) - 1
    return scores.with_columns(block=place // windows)


def _paired_windows(
    first: pl.DataFrame, second: pl.DataFrame, metric: str, value: str, clusters: Sequence[str]
) -> pl.DataFrame:
    """Windows of both frames side by side, or why they do not pair."""
    if metric not in get_args(Metric):
        known = ", ".join(get_args(Metric))
        raise ValueError(f"metric must be one of {known} (got {metric!r})")
    for name, frame, needed in (
        ("first", first, {*WINDOW, "label", value, *clusters}),
        ("second", second, {*WINDOW, "label", value}),
    ):
        missing = sorted(needed - set(frame.columns))
        if missing:
            raise ValueError(
                f"the {name} frame lacks {', '.join(missing)}; {metric} needs it (decisions come "
                "from analysis.thresholds.decide, blocks from analysis.windows.blocks)"
            )
    # Windows of several lengths begin at one message; both frames hold them in one order.
    twin = pl.int_range(pl.len()).over(*WINDOW).alias("twin")
    both = first.select(*dict.fromkeys((*WINDOW, "label", value, *clusters)), twin).join(
        second.select(*WINDOW, "label", value, twin),
        on=[*WINDOW, "label", "twin"],
        how="inner",
        suffix="_second",
    )
    if both.is_empty() or not first.height == second.height == both.height:
        raise ValueError(
            f"the frames hold {first.height} and {second.height} windows, of which {both.height} "
            "agree in place and label; compare detectors on the same windows"
        )
    return both


def weighted_metric(
    metric: str, values: FloatArray, attacks: BoolArray, codes: IntArray, weights: ArrayLike
) -> FloatArray:
    """A metric of windows whose clusters count several times, or not at all.

    Args:
        metric: One of ``Metric``.
        values: Scores, or for a metric of decisions 1 where a window is flagged ``[N]``.
        attacks: Which windows hold an attack ``[N]``.
        codes: Cluster of each window, from 0 ``[N]``.
        weights: How often each cluster counts, a draw a row ``[R, C]``.

    Returns:
        The metric of each draw ``[R]``, NaN where its labels leave it undefined.
    """
    counts = np.asarray(weights, dtype=np.float64)
    if metric not in RANKINGS:
        return _of_decisions(metric, values > 0, attacks, codes, counts)
    order = np.argsort(-values, kind="stable")
    ordered = values[order]
    last = np.flatnonzero(np.diff(ordered, append=np.nan) != 0)
    each = counts[:, codes[order]]
    flagged = np.cumsum(each, axis=1)[:, last]
    hits = np.cumsum(each * attacks[order], axis=1)[:, last]
    found = np.diff(hits, axis=1, prepend=0.0)
    with np.errstate(invalid="ignore"):
        if metric == "auroc":
            alarms = flagged - hits
            positive, negative = hits[:, -1:].sum(axis=1), alarms[:, -1:].sum(axis=1)
            widths = np.diff(alarms, axis=1, prepend=0.0)
            area = (widths * (hits - found / 2.0)).sum(axis=1)
            return np.asarray(area / (positive * negative))
        # Clusters that are not drawn flag nothing, and find nothing there either.
        precision = np.where(flagged > 0, hits / flagged, 0.0)
        positive = hits[:, -1:].sum(axis=1)
        value = (found * precision).sum(axis=1) / positive
        return np.where(positive < flagged[:, -1:].sum(axis=1), value, np.nan)


def _of_decisions(
    metric: str,
    flagged: BoolArray,
    attacks: BoolArray,
    codes: IntArray,
    counts: FloatArray,
) -> FloatArray:
    """A metric of decisions from the confusion counts of every cluster."""
    tp, fp, fn, tn = (
        counts @ np.bincount(codes[cell], minlength=counts.shape[1])
        for cell in (
            flagged & attacks, flagged & ~attacks, ~flagged & attacks, ~flagged & ~attacks
        )
    )  # fmt: skip
    with np.errstate(invalid="ignore"):
        if metric == "f1":
            return np.where(tp + fn > 0, 2 * tp / (2 * tp + fp + fn), np.nan)
        if metric == "precision":
            return np.where(tp + fn > 0, tp / (tp + fp), np.nan)
        if metric == "recall":
            return np.asarray(tp / (tp + fn))
        if metric == "fpr":
            return np.asarray(fp / (fp + tn))
        root = np.sqrt((tp + fp) * (tp + fn) * (fp + tn) * (fn + tn))
        correlation = np.where(root > 0, (tp * tn - fp * fn) / root, 0.0)
        return np.where((tp + fn > 0) & (fp + tn > 0), correlation, np.nan)


def _or_none(value: float) -> float | None:
    return value if np.isfinite(value) else None
