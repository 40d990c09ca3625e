"""How every figure looks: colours that colour-blind readers and a grey printer tell apart."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from typing import Any

import altair as alt
import polars as pl
from altair.typing import ChartType

from analysis.tables.study import LOWER_IS_BETTER

BLACK, GREY, BLUE, RED = "#000000", "#767676", "#0072B2", "#D55E00"
COLOURS = (BLUE, RED, "#009E73", "#E69F00", "#CC79A7", "#56B4E9")
"""Colours of Okabe and Ito (2008) without yellow, which white paper swallows; black, the eighth, is
the baseline's."""
SHADES = (BLACK, GREY, "#a6a6a6")
"""Of baselines: a grid has one for each last stage."""
DASHES = ((1, 0), (7, 3), (2, 2), (9, 2, 2, 2), (4, 1), (1, 3))
"""Dashes beside the colours: what differs by colour alone is lost in print."""
FONT = "Helvetica, Arial, 'Liberation Sans', sans-serif"
"""Fonts of one width, so that labels take the room on a page that they were given here."""
SMALL, USUAL = 10, 11
WIDTH = 520
"""Pixels of a plot that stands alone, beside its labels."""
CONFIG: Mapping[str, Any] = {
    # Every mark would carry a label of its own; the figure has one that says what it shows.
    "aria": False,
    "background": "white",
    "font": FONT,
    "lineBreak": "\n",
    "view": {"stroke": "#bbbbbb"},
    "axis": {
        "labelFontSize": USUAL, "titleFontSize": USUAL, "titleFontWeight": "normal",
        "labelLimit": 260, "gridColor": "#e6e6e6", "domainColor": "#888888",
        "tickColor": "#888888",
    },
    "legend": {
        "labelFontSize": USUAL, "titleFontSize": USUAL, "titleFontWeight": "normal",
        "labelLimit": 260, "symbolSize": 70,
    },
    "header": {
        "labelFontSize": USUAL, "titleFontSize": USUAL, "labelLimit": 300, "labelPadding": 4,
        "titleFontWeight": "normal",
    },
    "title": {"fontSize": USUAL, "fontWeight": "bold", "anchor": "start", "offset": 5,
        "frame": "group"},
    "facet": {"spacing": 14},
    "concat": {"spacing": 14},
}  # fmt: skip
"""What Vega-Lite takes for everything that a chart does not say itself."""
NAMES = {"f1": "F1", "mcc": "MCC", "auroc": "AUROC", "ap": "AP", "fpr": "FPR"}
"""Metrics that are not written as they are called."""


def metric_name(metric: str) -> str:
    """A metric as a reader writes it."""
    return NAMES.get(metric, metric.replace("_", " "))


def direction(metric: str) -> str:
    """What to say of a metric that is better where it is lower."""
    return "; lower is better" if metric in LOWER_IS_BETTER else ""


def values(frame: pl.DataFrame) -> alt.Data:
    """A frame as data inside the chart, with its nulls."""
    return alt.Data(values=frame.to_dicts())


def wrapped(text: str, width: int) -> str:
    """A text in lines of at most so many characters, where its words allow it."""
    return "\n".join(textwrap.wrap(text, width)) or text


def subset_name(subset: str, width: int = 99) -> str:
    """A test subset in words: ``01 known vehicle known attack``."""
    return wrapped(subset.removeprefix("test_").replace("_", " "), width)


def panels(
    titles: Mapping[str, str],
    draw: Callable[[str, bool, str], ChartType],
    columns: int = 3,
    width: int = 28,
) -> ChartType:
    """Small multiples that stand in rows, the last of which may be short.

    Args:
        titles: Title of each panel by what it is of.
        draw: Makes a panel from what it is of, whether it is the first of its row, and its title.
        columns: Panels of a row.
        width: Characters of a line of a title.
    """
    lines = [wrapped(title, width).split("\n") for title in titles.values()]
    drawn = []
    for i, (of, own) in enumerate(zip(titles, lines, strict=True)):
        row = lines[i - i % columns : i - i % columns + columns]
        # Titles of as many lines as their neighbours keep the plots of a row on one height.
        empty = [" "] * (max(map(len, row)) - len(own))
        drawn.append(draw(of, i % columns == 0, "\n".join((*empty, *own))))
    return alt.concat(*drawn, columns=columns)


def subset_titles(frame: pl.DataFrame) -> dict[str, str]:
    """A title for each test subset of a frame, in their order."""
    return {subset: subset_name(subset) for subset in frame["subset"].unique().sort()}


def colours(names: Sequence[str], baselines: Sequence[str]) -> alt.Scale:
    """One colour a row, black for a baseline; the same in every figure that shows these rows.

    Where a grid has baselines of several stages, further ones are grey.
    """
    return _scale(names, baselines, COLOURS, SHADES)


def dashes(names: Sequence[str], baselines: Sequence[str]) -> alt.Scale:
    """One dash a row, a whole line for the first baseline."""
    return _scale(names, baselines, DASHES, DASHES)


def _scale(
    names: Sequence[str],
    baselines: Sequence[str],
    signs: Sequence[Any],
    signs_of_baselines: Sequence[Any],
) -> alt.Scale:
    """A sign for each name, those of baselines and of other rows in turn."""
    others = [name for name in names if name not in baselines]
    given = dict(zip(others, cycle(signs), strict=False))
    given |= dict(zip(baselines, cycle(signs_of_baselines), strict=False))
    return alt.Scale(domain=list(names), range=[given[name] for name in names])


def legend_below(*, lines: bool = False) -> alt.Legend:
    """A legend in rows below the plot, without a title.

    Args:
        lines: Whether it shows strokes, whose dashes can be read, instead of points.
    """
    look: dict[str, Any] = {"symbolType": "stroke", "symbolSize": 500} if lines else {}
    return alt.Legend(
        orient="bottom", title=None, columns=4, symbolStrokeWidth=2, symbolOpacity=1, **look
    )
