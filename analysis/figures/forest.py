"""Differences to the baseline with their intervals, the rows of one axis below one another."""

from __future__ import annotations

from collections.abc import Iterator

import altair as alt
import polars as pl
from altair.typing import ChartType

from analysis.figures.figure import Figure
from analysis.figures.results import Results
from analysis.figures.style import BLACK, BLUE, WIDTH, direction, metric_name, subset_name, values
from analysis.many import ALPHA, INTERVAL_PAIRS
from analysis.tables.ablation import ablation

TOLD, OPEN = "told apart from 0", "not told apart"


def forest_figures(results: Results) -> Iterator[Figure]:
    """Paired differences of each axis and last stage, whose baseline is one, of each data set.

    Rows that do not compare are shown with their sign and never told apart from 0.
    """
    stages = results.cells.select("dataset", "variant", "stage", "baseline").unique(
        maintain_order=True
    )
    frame = (
        ablation(results.study, results.cells)
        .frame.drop_nulls("delta")
        .join(stages.drop("baseline"), on=["dataset", "variant"], maintain_order="left")
    )
    several = not stages.filter("baseline")["dataset"].is_unique().all()
    unlike = results.incomparable
    title = f"Paired differences in {metric_name(results.metric)} to the baseline"
    if frame.is_empty():
        yield Figure(
            name="forest",
            title=title,
            caption="No row shares a seed and its last stage with a baseline yet: there is no "
            "difference to show.",
        )
    order = frame.select("dataset", "axis", "stage").unique(maintain_order=True)
    for i, (dataset, axis, stage) in enumerate(order.iter_rows()):
        part = frame.filter(pl.col("axis").eq_missing(axis), dataset=dataset, stage=stage)
        names = part["variant"].to_list()
        part = part.with_columns(
            pl.Series("variant", [results.marked(dataset, name) for name in names]),
            # Only a finding has a p-value here.
            p_holm=pl.when(pl.Series([(dataset, name) not in unlike for name in names])).then(
                pl.col("p_holm")
            ),
        )
        own = stages.filter(pl.col("baseline"), dataset=dataset, stage=stage)["variant"][0]
        base = results.marked(dataset, own)
        of = (f" {base}" if several else "") + (f", axis {axis}" if axis else "")
        few = part.filter(pl.col("n_pairs") < INTERVAL_PAIRS)
        yield Figure(
            name=f"forest-{i}",
            title=f"{title}{of}{results.on(dataset)}",
            caption=f"Row minus {base} over the seeds of both, in {metric_name(results.metric)}"
            f"{direction(results.metric)}; the line is the 95 % interval of the mean. Filled: "
            f"told apart from 0 (p ≤ {ALPHA} after Holm)."
            + (f" No interval below {INTERVAL_PAIRS} pairs." if few.height else ""),
            chart=forest(part),
            alt=_forest_alt(part, base),
        )


def forest(frame: pl.DataFrame) -> ChartType:
    """Differences with their intervals, rows below one another, a line for each test subset.

    Args:
        frame: ``variant``, ``subset``, ``delta``, ``low``, ``high`` (null where there is none),
            ``p_holm`` (null where rows do not compare) and ``metric`` of the rows of one axis
            on one data set.
    """
    metric = str(frame["metric"][0])
    told = pl.when(pl.col("p_holm") <= ALPHA).then(pl.lit(TOLD)).otherwise(pl.lit(OPEN))
    shown = frame.select(
        "variant", "delta", "low", "high", told.alias("told"),
        subset=pl.col("subset").map_elements(lambda s: subset_name(s, 60), return_dtype=pl.String),
    )  # fmt: skip
    base = alt.Chart().encode(
        y=alt.Y(
            "subset:N", sort=None, title=None, axis=alt.Axis(grid=True, domain=False, ticks=False)
        ),
        x=alt.X(
            "delta:Q",
            title=f"Δ {metric_name(metric)}, row minus baseline",
            scale=alt.Scale(nice=False, padding=14),
            axis=alt.Axis(format="+.3~f", labelExpr="datum.value == 0 ? '0' : datum.label"),
        ),
    )
    zero = alt.Chart().mark_rule(color=BLACK, strokeWidth=1).encode(x=alt.datum(0))
    line = base.mark_rule(color=BLUE, strokeWidth=2).encode(x=alt.X("low:Q"), x2="high:Q")
    point = base.mark_point(size=60, stroke=BLUE, strokeWidth=1.5, opacity=1).encode(
        fill=alt.Fill(
            "told:N",
            scale=alt.Scale(domain=[TOLD, OPEN], range=[BLUE, "white"]),
            legend=None,
        )
    )
    rows = alt.Row(
        "variant:N",
        sort=frame["variant"].unique(maintain_order=True).to_list(),
        title=None,
        header=alt.Header(labelOrient="top", labelAnchor="start", labelFontWeight="bold"),
    )
    return (
        alt.layer(zero, line, point, data=values(shown))
        .properties(width=WIDTH, height=alt.Step(17))
        .facet(row=rows)
        .properties(spacing=6)
    )


def _forest_alt(frame: pl.DataFrame, base: str) -> str:
    ordered = frame.sort("delta")
    told = int((frame["p_holm"] <= ALPHA).sum())
    low, high = ordered.row(0, named=True), ordered.row(-1, named=True)
    ends = (
        f"{one['delta']:+.3f} ({one['variant']} on {subset_name(one['subset'])})"
        for one in (low, high)
    )
    return (
        f"Forest plot of {len(frame)} paired differences in {metric_name(low['metric'])} to "
        f"{base}, from {' to '.join(ends)}; {told} of them told apart from 0."
    )
