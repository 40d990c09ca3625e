"""How rows rank windows, whatever the threshold, and where their thresholds cut that ranking."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import altair as alt
import numpy as np
import polars as pl
from altair.typing import ChartType

from analysis.figures.figure import Figure
from analysis.figures.results import Results, Scored, Shown, scored, shown
from analysis.figures.style import (
    GREY,
    colours,
    dashes,
    legend_below,
    panels,
    subset_name,
    subset_titles,
    values,
)
from analysis.statistics import FloatArray
from graphids.core.metrics import BoolArray, checked, cuts

Kind = Literal["roc", "precision_recall"]
GRID = np.linspace(0.0, 1.0, 101)
"""Places at which curves of several seeds are averaged."""
NEXT = 1e-12
"""Far less than one window's share: on which side of a step a place lies."""
LINES: Mapping[str, Any] = {
    "variant": pl.String, "subset": pl.String, "x": pl.Float64, "y": pl.Float64,
}  # fmt: skip
POINTS: Mapping[str, Any] = {**LINES, "seed": pl.Int64}
AXES: Mapping[Kind, tuple[str, str]] = {
    "roc": ("false alarms, share of benign windows", "recall, share of attack windows"),
    "precision_recall": ("recall, share of attack windows", "precision, share of flagged windows"),
}
TITLES: Mapping[Kind, str] = {
    "roc": "Receiver operating characteristic",
    "precision_recall": "Precision against recall",
}


def curve_figures(results: Results) -> Iterator[Figure]:
    """Both curves of the shown rows, on each data set."""
    for dataset in results.datasets:
        rows = shown(results, dataset)
        trials = list(scored(results, dataset, rows))
        for kind in AXES:
            yield _figure(results, dataset, rows, trials, kind)


def _figure(
    results: Results, dataset: str, rows: Shown, trials: Sequence[Scored], kind: Kind
) -> Figure:
    """One kind of curve on one data set."""
    name = results.name(kind.replace("_", "-"), dataset)
    title = f"{TITLES[kind]}{results.on(dataset)}"
    lines, points = curve_frames(trials, kind)
    if lines.is_empty():
        caption = "No row has scores of a test subset with both classes yet: there is no curve."
        return Figure(name=name, title=title, caption=caption)
    chance = "grey: chance" if kind == "roc" else "grey: share of attacks, what chance reaches"
    return Figure(
        name=name,
        title=title,
        caption=f"Mean of {'recall' if kind == 'roc' else 'precision'} over seeds at each place of "
        f"the horizontal axis; points are the operating points of the seeds, {chance}. Subsets "
        f"that lack a class have no curve.{rows.told}",
        chart=curves(lines, points, rows, kind),
        alt=_alt(points, rows, kind),
    )


def curve_frames(trials: Sequence[Scored], kind: Kind) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Curves, averaged over seeds, and the operating point of each trial.

    Returns:
        ``LINES``: ``y`` at each of ``GRID``, and for the variant ``""`` what chance reaches;
        ``POINTS``: where each trial's own threshold lies. Both are empty where no subset has both
        classes.
    """
    found: dict[tuple[str, str], list[FloatArray]] = {}
    chance: dict[str, float] = {}
    points = []
    for trial in trials:
        for (split,), part in trial.scores.group_by("split", maintain_order=True):
            subset = str(split)
            scores, attacks = checked(part["score"].to_numpy(), part["label"].to_numpy())
            if subset == "validation" or attacks.all() or not attacks.any():
                continue
            chance[subset] = float(attacks.mean())
            found.setdefault((trial.variant, subset), []).append(_curve(scores, attacks, kind))
            if trial.threshold is not None:
                x, y = _point(scores, attacks, trial.threshold, kind)
                points.append((trial.variant, subset, x, y, trial.seed))
    parts = [_line(variant, subset, np.mean(ys, axis=0)) for (variant, subset), ys in found.items()]
    for subset, share in chance.items():
        parts.append(_line("", subset, GRID if kind == "roc" else np.full(GRID.size, share)))
    lines = pl.concat(parts) if parts else pl.DataFrame(schema=LINES)
    return lines, pl.DataFrame(points, schema=POINTS, orient="row")


def curves(lines: pl.DataFrame, points: pl.DataFrame, rows: Shown, kind: Kind) -> ChartType:
    """A panel a test subset, a line a row, its operating points on it."""
    x_title, y_title = AXES[kind]
    scale = alt.Scale(domain=[0, 1], nice=False)
    ticks = [0, 0.25, 0.5, 0.75, 1]
    color = alt.Color(
        "variant:N", scale=colours(rows.names, rows.baselines), legend=legend_below(lines=True)
    )
    dash = alt.StrokeDash(
        "variant:N", scale=dashes(rows.names, rows.baselines), legend=legend_below(lines=True)
    )

    def draw(subset: str, first: bool, head: str) -> ChartType:
        axis = alt.Axis(values=ticks, format=".2~f")
        x = alt.X("x:Q", title=x_title, scale=scale, axis=axis)
        y = alt.Y("y:Q", title=y_title if first else None, scale=scale, axis=axis)
        inside = lines.filter(subset=subset)
        chance = inside.filter(variant="")
        line = alt.Chart(values(inside.filter(pl.col("variant") != "")))
        point = alt.Chart(values(points.filter(subset=subset)))
        return alt.layer(
            alt.Chart(values(chance)).mark_line(color=GREY, strokeWidth=1).encode(x=x, y=y),
            line.mark_line(strokeWidth=1.8).encode(x=x, y=y, color=color, strokeDash=dash),
            point.mark_point(filled=True, size=42, opacity=1, stroke="white", strokeWidth=0.7)
            .encode(x=x, y=y, color=color),
            title=head,
        ).properties(width=200, height=200)  # fmt: skip

    return panels(subset_titles(lines), draw, width=32)


def _curve(scores: FloatArray, attacks: BoolArray, kind: Kind) -> FloatArray:
    """The curve of one trial at each of ``GRID``."""
    _, hits, alarms = cuts(scores, attacks)
    recall = hits / attacks.sum()
    if kind == "roc":
        false = alarms / (~attacks).sum()
        # Where a cut adds attacks alone, the curve rises on the spot: its higher end counts.
        return np.interp(GRID + NEXT, np.append(0.0, false), np.append(0.0, recall))
    precision = hits / (hits + alarms)
    # Precision between two cuts is reached by neither: that of the next cut with enough recall.
    at = np.searchsorted(recall, GRID - NEXT, side="left")
    return precision[np.minimum(at, recall.size - 1)]


def _point(
    scores: FloatArray, attacks: BoolArray, threshold: float, kind: Kind
) -> tuple[float, float | None]:
    """Where a threshold lies on the curve; precision is none where nothing is flagged."""
    flagged = scores >= threshold
    recall = float(flagged[attacks].mean())
    if kind == "roc":
        return float(flagged[~attacks].mean()), recall
    return recall, float(attacks[flagged].mean()) if flagged.any() else None


def _line(variant: str, subset: str, y: FloatArray) -> pl.DataFrame:
    columns = {"variant": variant, "subset": subset, "x": GRID, "y": y}
    return pl.DataFrame(columns, schema=LINES)


def _alt(points: pl.DataFrame, rows: Shown, kind: Kind) -> str:
    subsets = points["subset"].unique().sort().to_list()
    told = points.filter(subset=subsets[0]) if subsets else points
    means = told.group_by("variant", maintain_order=True).agg(pl.col("x", "y").mean())
    words = "; ".join(
        f"{variant} at {x:.2f}, {'none' if y is None else f'{y:.2f}'}"
        for variant, x, y in means.iter_rows()
    )
    where = f" Operating points on {subset_name(subsets[0])}: {words}." if subsets else ""
    return f"{TITLES[kind]} of {', '.join(rows.names)} in a panel for each test subset.{where}"
