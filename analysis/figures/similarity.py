"""Which layers of a student resemble which of its teacher: CKA as heat maps with numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import polars as pl
from altair.typing import ChartType

from analysis.figures.analysed import Analysed, analysed_figures, heading, shown_of, told_seeds
from analysis.figures.figure import Figure
from analysis.figures.results import Results
from analysis.figures.style import USUAL, panels, values

AT_MOST = 8
"""Pairs of networks with a panel each."""
SHADES = ("#f2f7fc", "#85bcdc", "#08519c")
"""Colours of 0, of a half and of 1."""
DARK = 0.65
"""Similarity from which a number is white."""
LAYERS = ("teacher", "student")
CELLS: Mapping[str, Any] = {
    "pair": pl.String, "of_teacher": pl.String, "of_student": pl.String, "teacher": pl.String,
    "student": pl.String, "value": pl.Float64,
}  # fmt: skip


def similarity_figures(results: Results) -> Iterator[Figure]:
    """Every pair of networks that the grid compares, on each data set."""
    title = "Similarity of layers"
    yield from analysed_figures(results, "similarity", title, "similar layers", _figure)


def _figure(results: Results, dataset: str, found: Sequence[Analysed]) -> Iterator[Figure]:
    """One figure, a panel a pair."""
    chosen = found[:AT_MOST]
    frame = similarity_frame(chosen)
    windows = max(int(one.meta["windows"]) for one in chosen)
    yield Figure(
        name=results.name("similarity", dataset),
        title=f"Similarity of layers{results.on(dataset)}",
        caption="Unbiased linear CKA of every layer of one network (rows) with every layer of "
        f"another one (columns) over at most {windows} validation windows, {told_seeds(chosen)}: "
        "1 where both tell windows apart alike, about 0 where they have nothing in common. Nodes "
        "of a window are averaged; the last layer is what the head reads, or the latent nodes."
        + shown_of(len(chosen), len(found), "pairs"),
        chart=similarity(frame),
        alt=_alt(frame),
    )


def similarity_frame(found: Sequence[Analysed]) -> pl.DataFrame:
    """Similarity of each pair of layers, in their order, as ``CELLS``; null where undefined."""
    records = []
    for one in found:
        teacher, student = heading(one, "teacher", found), heading(one, "student", found)
        pair = f"{student} beside {teacher}"
        rows, columns = one.meta["teacher_layers"], one.meta["student_layers"]
        records += [
            (pair, teacher, student, row, column, None if np.isnan(value) else float(value))
            for row, line in zip(rows, one.tensors["cka"], strict=True)
            for column, value in zip(columns, line, strict=True)
        ]
    return pl.DataFrame(records, schema=CELLS, orient="row")


def similarity(frame: pl.DataFrame) -> ChartType:
    """A panel a pair, a cell a pair of layers.

    Args:
        frame: As ``CELLS``.
    """
    shown = frame.with_columns(
        text=pl.col("value").map_elements(_number, return_dtype=pl.String).fill_null("n/a")
    )
    scale = alt.Scale(range=list(SHADES), domain=[0, 1], clamp=True)
    bare = alt.Axis(domain=False, ticks=False, labelAngle=0)

    def draw(pair: str, first: bool, head: str) -> ChartType:
        own = shown.filter(pair=pair)
        orders = {key: own[key].unique(maintain_order=True).to_list() for key in LAYERS}
        base = alt.Chart(values(own)).encode(
            x=alt.X("student:N", sort=orders["student"], title=own["of_student"][0], axis=bare),
            y=alt.Y("teacher:N", sort=orders["teacher"], title=own["of_teacher"][0], axis=bare),
        )
        cell = base.mark_rect(stroke="white", strokeWidth=1.5).encode(
            color=alt.Color("value:Q", scale=scale, legend=None)
        )
        empty = base.mark_rect(stroke="white", strokeWidth=1.5, fill="#eeeeee")
        text = base.mark_text(fontSize=USUAL).encode(
            text="text:N",
            color=alt.condition(
                f"isValid(datum.value) && datum.value > {DARK}",
                alt.value("white"),
                alt.value("#222222"),
            ),
        )
        return alt.layer(empty, cell, text, title=head).properties(
            width=alt.Step(54), height=alt.Step(30)
        )

    titles = {pair: pair for pair in frame["pair"].unique(maintain_order=True)}
    return panels(titles, draw, columns=2, width=44).configure_view(stroke=None)


def _number(value: float) -> str:
    """Two decimals; a rounded 0 has no sign."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def _alt(frame: pl.DataFrame) -> str:
    told = []
    for pair in frame["pair"].unique(maintain_order=True):
        known = frame.filter(pair=pair).drop_nulls("value").sort("value", descending=True)
        if known.is_empty():
            told.append(f"{pair}: undefined")
            continue
        best = known.row(0, named=True)
        told.append(
            f"{pair}: from {known['value'][-1]:.2f} to {best['value']:.2f} ({best['teacher']} with "
            f"{best['student']})"
        )
    return f"Heat maps of similarity of layers. {'; '.join(told)}."
