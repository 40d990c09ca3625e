"""Rows by their mean rank over data sets, and which of them the data sets do not tell apart."""

from __future__ import annotations

from collections.abc import Iterator

import altair as alt
import polars as pl
from altair.typing import ChartType

from analysis.across import CriticalDifference, critical_difference
from analysis.figures.figure import Figure
from analysis.figures.results import Results, averages
from analysis.figures.style import BLACK, BLUE, USUAL, WIDTH, direction, metric_name, values
from analysis.statistics import ALPHA
from analysis.tables.study import LOWER_IS_BETTER

FEWEST = 2
"""Data sets below which ranks are those of one data set, and no rank plot says more than it."""


def rank_figures(results: Results) -> Iterator[Figure]:
    """The critical-difference plot of the rows that were tested on every data set."""
    metric = results.metric
    title = f"Mean rank by {metric_name(metric)} over data sets"
    table = averages(results.cells, metric)
    blocks = table["dataset"].unique(maintain_order=True).to_list()
    whole = table.filter(pl.col("dataset").n_unique().over("variant") == len(blocks))
    names = whole.sort("position")["variant"].unique(maintain_order=True).to_list()
    if len(blocks) < FEWEST or len(names) < 2:
        yield Figure(
            name="ranks",
            title=title,
            caption=f"A critical difference needs {FEWEST} rows on {FEWEST} data sets; here are "
            f"{len(names)} tested rows on {len(blocks)}.",
        )
        return
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    found = critical_difference(
        {
            name: [sign * whole.filter(variant=name, dataset=block)["value"][0] for block in blocks]
            for name in names
        }
    )
    p = "not defined" if found.p is None else f"{found.p:.3g}"
    left = results.cells["variant"].n_unique() - len(names)
    more = f" {left} rows lack a data set and are left out." if left else ""
    warning = " Below about ten data sets that p is only roughly right." if len(blocks) < 10 else ""
    yield Figure(
        name="ranks",
        title=title,
        caption=f"Rank 1 is best{direction(metric)}; a value is the mean over test subsets of the "
        f"mean over seeds, on {len(blocks)} data sets. Rows that one bar spans lie within the "
        f"critical difference of {found.difference:.2f} ranks (Nemenyi, {ALPHA}); bars mean "
        f"nothing unless Friedman's p ≤ {ALPHA} (here {p}).{warning}{more}",
        chart=ranks(found),
        alt=f"Mean ranks over {len(blocks)} data sets: "
        + ", ".join(f"{name} {rank:.2f}" for name, rank in found.ranks.items())
        + f". Critical difference {found.difference:.2f}, Friedman's p {p}.",
    )


def ranks(found: CriticalDifference) -> ChartType:
    """Rows by their mean rank, best at the top; bars at the right join rows that do not differ."""
    order = list(found.ranks)
    rows = pl.DataFrame({"variant": order, "rank": list(found.ranks.values())})
    most = max(found.ranks.values())
    joined = [group for group in found.groups if len(group) > 1]
    bars = pl.DataFrame(
        [(group[0], group[-1], 46.0 + 10.0 * i) for i, group in enumerate(joined)],
        schema={"first": pl.String, "last": pl.String, "place": pl.Float64},
        orient="row",
    )
    y = alt.Y(
        "variant:N", sort=order, title=None, scale=alt.Scale(domain=order), axis=alt.Axis(grid=True)
    )
    ends = [1.0, max(most, 1.0 + found.difference)]
    scale = alt.Scale(domain=ends, nice=False, padding=8)
    x = alt.X("rank:Q", title="mean rank", scale=scale)
    dot = alt.Chart(values(rows)).mark_point(filled=True, size=70, opacity=1, color=BLUE)
    number = alt.Chart(values(rows)).mark_text(dx=9, align="left", fontSize=USUAL)
    bar = alt.Chart(values(bars)).mark_rule(color=BLACK, strokeWidth=4)
    joins = [
        bar.transform_filter(alt.datum["place"] == place).encode(
            y=alt.Y("first:N", sort=order), y2="last:N", x=alt.value(WIDTH + place)
        )
        for place in bars["place"]
    ]
    return alt.layer(
        dot.encode(x=x, y=y), number.encode(x=x, y=y, text=alt.Text("rank:Q", format=".2f")), *joins
    ).properties(width=WIDTH, height=alt.Step(22))
