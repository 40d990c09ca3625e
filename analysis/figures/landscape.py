"""How the loss rises around trained weights: a sharp minimum forgets under the smallest change."""

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
from analysis.figures.style import panels, values

AT_MOST = 6
"""Detectors with a panel each."""
BANDS: Mapping[str, tuple[float, str]] = {
    "below": (1.0, "#E69F00"), "to 1.1": (1.1, "#08306b"), "to 1.25": (1.25, "#08519c"),
    "to 1.5": (1.5, "#2171b5"), "to 2": (2.0, "#4292c6"), "to 3": (3.0, "#6baed6"),
    "to 5": (5.0, "#9ecae1"), "to 10": (10.0, "#c6dbef"), "to 100": (100.0, "#deebf7"),
    "above": (np.inf, "#f7fbff"),
}  # fmt: skip
"""Bands of the loss as a multiple of that at the trained weights: upper end and colour."""
POINTS: Mapping[str, Any] = {
    "row": pl.String, "x": pl.Float64, "y": pl.Float64, "loss": pl.Float64, "times": pl.Float64,
}  # fmt: skip


def landscape_figures(results: Results) -> Iterator[Figure]:
    """Every landscape that the grid asks for, on each data set."""
    title = "Loss around the trained weights"
    yield from analysed_figures(results, "landscape", title, "loss landscapes", _figure)


def _figure(results: Results, dataset: str, found: Sequence[Analysed]) -> Iterator[Figure]:
    """One figure, a panel a detector."""
    chosen = found[:AT_MOST]
    frame = landscape_frame(chosen)
    windows = max(int(one.meta["windows"]) for one in chosen)
    yield Figure(
        name=results.name("landscape", dataset),
        title=f"Loss around the trained weights{results.on(dataset)}",
        caption=f"Loss ({_losses(chosen)}) in a plane of two random directions through the "
        f"trained weights (circle), over at most {windows} training windows, {told_seeds(chosen)}: "
        "as a multiple of the loss in the middle, orange where it is lower. A step of 1 is as "
        "long as the weights, filter by filter, so that networks of different scale compare. A "
        "loss of training that a checkpoint does not keep, such as one that draws towards a "
        f"teacher, gives way to the plain one of the detector's kind. {_grey(frame)}"
        + shown_of(len(chosen), len(found), "detectors"),
        chart=landscape(frame),
        alt=_alt(frame),
    )


def landscape_frame(found: Sequence[Analysed]) -> pl.DataFrame:
    """Loss at each point, and as a multiple of that in the middle, as ``POINTS``.

    ``x`` is the step along the first direction, ``y`` that along the second. A loss that is not
    finite is null, and so is every multiple of a middle that is no positive number.
    """
    parts = [pl.DataFrame(schema=POINTS)]
    for one in found:
        steps, loss = one.tensors["steps"], one.tensors["loss"]
        loss = np.where(np.isfinite(loss), loss, np.nan)
        x, y = np.meshgrid(steps, steps, indexing="ij")
        middle = float(loss[len(steps) // 2, len(steps) // 2])
        columns = {
            "row": heading(one, "detector", found),
            "x": x.ravel(),
            "y": y.ravel(),
            "loss": loss.ravel(),
            "times": loss.ravel() / middle if middle > 0 else np.full(loss.size, np.nan),
        }
        parts.append(pl.DataFrame(columns, schema=POINTS).fill_nan(None))
    return pl.concat(parts)


def landscape(frame: pl.DataFrame) -> ChartType:
    """A panel a detector, a cell a point.

    Args:
        frame: As ``POINTS``.
    """
    uppers = [upper for upper, _ in BANDS.values()]
    known = frame["times"].is_not_null()
    times = frame["times"].fill_null(1.0).to_numpy()
    # The middle itself is no part of what lies below it, whatever rounding says.
    bands = np.where(times == 1.0, 1, np.searchsorted(uppers, times))
    named = pl.Series([list(BANDS)[i] for i in bands], dtype=pl.String)
    frame = frame.with_columns(band=pl.when(known).then(named))
    present = [band for band in BANDS if band in set(frame["band"])]
    scale = alt.Scale(domain=present, range=[BANDS[band][1] for band in present])
    legend = alt.Legend(
        orient="bottom", title="loss, times that in the middle", symbolType="square",
        symbolStrokeColor="#999999", symbolStrokeWidth=0.5, columns=len(present), titleLimit=300,
    )  # fmt: skip

    def draw(row: str, first: bool, head: str) -> ChartType:
        own = frame.filter(row=row)
        half = float(np.diff(np.unique(own["x"].to_numpy())).min()) / 2
        squares = own.with_columns(
            x1=pl.col("x") - half, x2=pl.col("x") + half,
            y1=pl.col("y") - half, y2=pl.col("y") + half,
        )  # fmt: skip
        ends = [float(own["x"].to_numpy().min()) - half, float(own["x"].to_numpy().max()) + half]
        unit = alt.Scale(domain=ends, nice=False)
        axis = alt.Axis(values=[-1, -0.5, 0, 0.5, 1], format=".2~f", grid=False)
        x = alt.X("x1:Q", title="first direction", scale=unit, axis=axis)
        y_title = "second direction" if first else None
        y = alt.Y("y1:Q", title=y_title, scale=unit, axis=axis)
        base = alt.Chart(values(squares)).encode(x=x, x2="x2:Q", y=y, y2="y2:Q")
        middle = alt.Chart(alt.Data(values=[{"x1": 0.0, "y1": 0.0}]))
        return alt.layer(
            base.transform_filter("!isValid(datum.times)").mark_rect(fill="#bbbbbb"),
            base.transform_filter("isValid(datum.times)")
            .mark_rect(strokeWidth=0.4)
            .encode(
                fill=alt.Fill("band:N", scale=scale, legend=legend),
                stroke=alt.Stroke("band:N", scale=scale, legend=None),
            ),
            middle.mark_point(size=55, color="white", strokeWidth=1.6).encode(x=x, y=y),
            title=head,
        ).properties(width=190, height=190)

    told = dict(frame.filter(x=0.0, y=0.0).select("row", "loss").iter_rows())
    titles = {
        row: f"{row}: {'not finite' if value is None else f'{value:.3g}'} in the middle"
        for row, value in told.items()
    }
    return panels(titles, draw, columns=3, width=34)


def _losses(found: Sequence[Analysed]) -> str:
    """The losses that were evaluated, each with its detectors where there are several."""
    rows: dict[str, list[str]] = {}
    for one in found:
        rows.setdefault(one.meta["loss"], []).append(heading(one, "detector", found))
    if len(rows) == 1:
        return next(iter(rows))
    return "; ".join(f"{loss} of {', '.join(of)}" for loss, of in rows.items())


def _grey(frame: pl.DataFrame) -> str:
    """What a cell without a colour is."""
    if frame.filter(pl.col("loss").is_not_null() & pl.col("times").is_null()).is_empty():
        return "Grey: not finite."
    return "Grey: not finite, or no multiple, where the middle is no positive number."


def _alt(frame: pl.DataFrame) -> str:
    told = []
    for (row,), own in frame.group_by("row", maintain_order=True):
        middle = own.filter(x=0.0, y=0.0)["loss"][0]
        known = own["loss"].drop_nulls().to_numpy()
        if middle is None:
            told.append(f"{row} has no finite loss in the middle")
            continue
        low, high = known.min(), known.max()
        told.append(f"{row} {middle:.3g} in the middle, from {low:.3g} to {high:.3g} around it")
    return f"Heat maps of the loss around trained weights: {'; '.join(told)}."
