"""Every row on every test subset: the seeds behind a mean, and the means beside one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import altair as alt
import numpy as np
import polars as pl
from altair.typing import ChartType

from analysis.figures.figure import Figure
from analysis.figures.results import Results, by_mean
from analysis.figures.style import (
    BLACK,
    BLUE,
    GREY,
    USUAL,
    direction,
    legend_below,
    metric_name,
    panels,
    subset_name,
    subset_titles,
    values,
)
from analysis.tables.ablation import once
from analysis.tables.study import WIDE

STRIP_ROWS = 24
"""Rows whose seeds are shown one by one; more would be a wall of points."""
ROLES = ("baseline", "row", "reference")
FRACTIONS = set(WIDE) - {"mcc", "n_windows", "n_attacks", "threshold"}
"""Metrics between 0 and 1."""
PALE, DEEP = "#f2f7fc", "#08519c"
"""Colours of the lowest and the highest cell."""


def strip_figures(results: Results) -> Iterator[Figure]:
    """Every seed of every row, on each data set."""
    for dataset in results.datasets:
        frame = strip_frame(results, dataset)
        title = f"{metric_name(results.metric)} of every seed{results.on(dataset)}"
        if frame.is_empty():
            caption = "No trial has been tested yet: there is no seed to show."
            yield Figure(name=results.name("seeds", dataset), title=title, caption=caption)
            continue
        total = results.cells.filter(dataset=dataset)["variant"].n_unique()
        names = frame["variant"].unique(maintain_order=True)
        more = "" if len(names) == total else f" Shown are the best {len(names)} of {total} rows."
        undefined = sorted(
            set(results.cells.filter(dataset=dataset)["subset"]) - set(frame["subset"])
        )
        yield Figure(
            name=results.name("seeds", dataset),
            title=title,
            caption=f"A circle is one seed, the bar the mean{direction(results.metric)}; rows by "
            f"their mean over subsets. Trials that no seed changes stand once.{more}"
            + _undefined(results.metric, undefined),
            chart=strip(frame, results.metric),
            alt=_strip_alt(frame, results.metric),
        )


def strip_frame(results: Results, dataset: str) -> pl.DataFrame:
    """Values of each seed on each subset: ``variant``, ``subset``, ``value``, ``role``."""
    cells = results.cells.filter(dataset=dataset)
    order = by_mean(cells, results.metric)[:STRIP_ROWS]
    role = pl.when(pl.col("baseline")).then(pl.lit("baseline")).otherwise(pl.col("role"))
    found = once(cells).select(
        "variant", "subset", pl.col(results.metric).alias("value"), role.alias("role")
    )
    ranked = pl.DataFrame({"variant": order}, schema={"variant": pl.String}).with_row_index("rank")
    joined = ranked.join(found.drop_nulls("value"), on="variant", maintain_order="left")
    return joined.drop("rank")


def strip(frame: pl.DataFrame, metric: str) -> ChartType:
    """Points of seeds with their mean, a panel a test subset.

    Args:
        frame: ``variant`` (in the order from top to bottom), ``subset``, ``value``, ``role``.
        metric: Metric of the values.
    """
    order = frame["variant"].unique(maintain_order=True).to_list()
    hues = alt.Scale(domain=list(ROLES), range=[BLACK, BLUE, GREY])
    scale = alt.Scale(domain=_domain(frame["value"], metric), nice=False, padding=6)
    title = metric_name(metric)

    def draw(subset: str, first: bool, head: str) -> ChartType:
        base = alt.Chart(values(frame.filter(subset=subset))).encode(
            y=alt.Y(
                "variant:N",
                title=None,
                scale=alt.Scale(domain=order),
                axis=alt.Axis(grid=True, labels=first, ticks=False),
            ),
            color=alt.Color("role:N", scale=hues, legend=legend_below()),
        )
        axis = alt.Axis(tickCount=4, format=".2~f")
        point = base.mark_point(size=34, strokeWidth=1.4, opacity=0.9)
        mean = base.mark_tick(thickness=2, size=12)
        return alt.layer(
            point.encode(x=alt.X("value:Q", title=title, scale=scale, axis=axis)),
            mean.encode(x=alt.X("mean(value):Q", title=title, scale=scale, axis=axis)),
            title=head,
        ).properties(width=166, height=alt.Step(14))

    return panels(subset_titles(frame), draw)


def heat_figures(results: Results) -> Iterator[Figure]:
    """Every row on every test subset of each data set."""
    for dataset in results.datasets:
        frame = heat_frame(results, dataset)
        title = f"{metric_name(results.metric)} by row and test subset{results.on(dataset)}"
        name = results.name("subsets", dataset)
        if frame.drop_nulls("value").is_empty():
            caption = "No row has been tested yet: there is no value to show."
            yield Figure(name=name, title=title, caption=caption)
            continue
        yield Figure(
            name=name,
            title=title,
            caption=f"Mean {metric_name(results.metric)} over seeds{direction(results.metric)}; "
            "rows by their mean over subsets, references below the rows of the grid. n/a: not "
            "run, or undefined because the subset lacks a class.",
            chart=heat(frame, results.metric),
            alt=_heat_alt(frame, results.metric),
        )


def heat_frame(results: Results, dataset: str) -> pl.DataFrame:
    """Means over seeds: ``variant`` (references last, best first), ``subset``, ``value``."""
    cells = results.cells.filter(dataset=dataset)
    order = by_mean(cells, results.metric)
    means = (
        once(cells)
        .group_by("variant", "subset", "role", "baseline", maintain_order=True)
        .agg(value=pl.col(results.metric).mean())
    )
    ranked = pl.DataFrame({"variant": order}, schema={"variant": pl.String}).with_row_index("rank")
    found = ranked.join(means, on="variant").sort(
        "role", "rank", "subset", descending=[True, False, False]
    )
    marked = pl.when(pl.col("baseline")).then(pl.col("variant") + " (baseline)")
    return found.select(marked.otherwise(pl.col("variant")).alias("variant"), "subset", "value")


def heat(frame: pl.DataFrame, metric: str) -> ChartType:
    """A cell a (row, test subset), its value in it.

    Args:
        frame: ``variant`` (in the order from top to bottom), ``subset``, ``value`` (null where
            undefined).
        metric: Metric of the values.
    """
    low, high = _domain(frame["value"], metric)
    low = max(low, 0.0) if metric == "mcc" else low
    dark = low + 0.55 * (high - low)
    words = {name: subset_name(name, 14) for name in frame["subset"].unique().sort()}
    shown = frame.with_columns(
        pl.col("subset").replace_strict(words, return_dtype=pl.String),
        text=pl.col("value").map_elements(_number, return_dtype=pl.String).fill_null("n/a"),
    )
    order = frame["variant"].unique(maintain_order=True).to_list()
    bare = alt.Axis(domain=False, ticks=False, labelAngle=0)
    base = alt.Chart(values(shown)).encode(
        x=alt.X("subset:N", sort=list(words.values()), title=None, axis=bare),
        y=alt.Y("variant:N", sort=order, title=None, axis=bare),
    )
    empty = base.mark_rect(stroke="white", strokeWidth=1.5, fill="#eeeeee")
    cell = base.mark_rect(stroke="white", strokeWidth=1.5).encode(
        color=alt.Color(
            "value:Q",
            scale=alt.Scale(range=[PALE, DEEP], domain=[low, high], clamp=True),
            legend=None,
        )
    )
    text = base.mark_text(fontSize=USUAL).encode(
        text="text:N",
        color=alt.condition(
            f"isValid(datum.value) && datum.value > {dark}",
            alt.value("white"),
            alt.value("#222222"),
        ),
    )
    return (
        alt.layer(empty, cell, text)
        .properties(width=alt.Step(84), height=alt.Step(20))
        .configure_view(stroke=None)
    )


def _domain(column: pl.Series, metric: str) -> list[float]:
    """Ends of a metric's axis: from 0 to 1 for a share, further down where a value lies there."""
    known = np.array(column.drop_nulls())
    if metric in FRACTIONS or metric == "mcc":
        return [min(0.0, float(known.min())), 1.0]
    return [float(known.min()), float(known.max())]


def _number(value: float) -> str:
    return f"{value:.3f}".replace("-", "−")


def _undefined(metric: str, subsets: Sequence[str]) -> str:
    """Which subsets have no panel."""
    if not subsets:
        return ""
    names = ", ".join(subset_name(subset) for subset in subsets)
    return f" Undefined on {names}."


def _strip_alt(frame: pl.DataFrame, metric: str) -> str:
    spread = frame.group_by("variant", "subset").agg(
        spread=pl.col("value").max() - pl.col("value").min()
    )
    widest = spread.sort("spread", descending=True).row(0, named=True)
    return (
        f"Strip plot of {metric_name(metric)} of {len(frame)} trials in "
        f"{frame['subset'].n_unique()} test subsets; seeds differ most, by {widest['spread']:.3f}, "
        f"for {widest['variant']} on {subset_name(widest['subset'])}."
    )


def _heat_alt(frame: pl.DataFrame, metric: str) -> str:
    known = frame.drop_nulls("value").sort("value")
    low, high = known.row(0, named=True), known.row(-1, named=True)
    return (
        f"Heat map of mean {metric_name(metric)} of {frame['variant'].n_unique()} rows on "
        f"{frame['subset'].n_unique()} test subsets, from {low['value']:.3f} ({low['variant']} on "
        f"{subset_name(low['subset'])}) to {high['value']:.3f} ({high['variant']} on "
        f"{subset_name(high['subset'])})."
    )
