"""Which ids a classifier attends to, in one attack window and one benign window beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt
import polars as pl
from altair.typing import ChartType

from analysis.figures.analysed import Analysed, analysed_figures, heading, shown_of
from analysis.figures.figure import Figure
from analysis.figures.results import Results
from analysis.figures.style import panels, subset_name, values

AT_MOST = 4
"""Classifiers with a figure each."""
SIDE = 330
"""Pixels of a panel's side, where there are not many more ids than usual."""
STEPS = (7.0, 17.0)
"""Fewest and most pixels of a cell's side."""
SHADES = ("#e3eef9", "#6baed6", "#08306b")
"""Colours of an edge that is not attended to, in between, and of one that takes all attention."""
EMPTY = "#fafafa"
CELLS: Mapping[str, Any] = {
    "window": pl.String, "target": pl.String, "source": pl.String, "share": pl.Float64,
    "messages": pl.Float64,
}  # fmt: skip


class Window(NamedTuple):
    """One window of an analysis."""

    at: int
    """Its position in the file."""
    attack: str | None
    """Type of its attack; none in a benign one."""
    split: str
    """Test subset."""
    score: float
    """Score of the classifier."""
    place: tuple[str, int, int]
    """Subset, capture and first message: the same window in every analysis."""


def attention_figures(results: Results) -> Iterator[Figure]:
    """Every classifier whose attention the grid asks for, on each data set."""
    yield from analysed_figures(results, "attention", "Attention", "attention", _figures)


def _figures(results: Results, dataset: str, found: Sequence[Analysed]) -> Iterator[Figure]:
    """A figure a classifier, of the first one's windows where it has these, else of its own."""
    chosen = found[:AT_MOST]
    left = shown_of(len(chosen), len(found), "classifiers")
    first = [window.place for window in _pair(windows(chosen[0]), ())]
    for position, one in enumerate(chosen):
        row = heading(one, "classifier", found)
        pair = _pair(windows(one), first)
        shared = [window.place for window in pair] == first
        whose = heading(chosen[0], "classifier", found) if shared else row
        same = ", as in the first figure" if shared and position else ""
        frame = attention_frame(one, pair)
        yield Figure(
            name=f"{results.name('attention', dataset)}-{position}",
            title=f"Attention of {row}{results.on(dataset)}",
            caption="Share of a node's attention (row) that goes to each node whose message came "
            "before one of its own (column), in the first convolution, mean over "
            f"{one.tensors['weights'].shape[2]} heads: a row adds up to 1, and pale is an edge "
            "that counts for little. Nodes are CAN ids, hexadecimal; the diagonal is a node's own "
            f"loop. Shown of {len(windows(one))} windows, drawn with seed {one.seed}"
            f"{same}: {_why(pair, whose)}.{left}",
            chart=attention(frame),
            alt=_alt(row, frame),
        )


def windows(one: Analysed) -> list[Window]:
    """The windows of an analysis, in their order."""
    meta, tensors = one.meta, one.tensors
    names = ("label", "attack_type", "split", "capture", "first_message", "score")
    rows = zip(*(tensors[name].tolist() for name in names), strict=True)
    return [
        Window(
            at=at,
            attack=meta["attack_names"].get(str(code), str(code)) if label else None,
            split=meta["splits"][split],
            score=score,
            place=(meta["splits"][split], capture, message),
        )
        for at, (label, code, split, capture, message, score) in enumerate(rows)
    ]


def _pair(all_windows: Sequence[Window], wanted: Sequence[tuple[str, int, int]]) -> list[Window]:
    """Those wanted where all are there, else the surest attack and a benign one after it."""
    known = {window.place: window for window in all_windows}
    same = [known[place] for place in wanted if place in known]
    if same and len(same) == len(wanted):
        return same
    attacks = [window for window in all_windows if window.attack is not None]
    if not attacks:
        return list(all_windows[:1])
    surest = max(attacks, key=lambda window: window.score)
    after = all_windows[surest.at + 1 : surest.at + 2]
    return [surest, *(window for window in after if window.attack is None)]


def _why(pair: Sequence[Window], whose: str) -> str:
    """Why these windows are shown: by whose scores they were chosen, among whose windows."""
    first, *beside = pair
    if first.attack is None:
        return f"the first of {whose}, where none of those drawn is an attack"
    told = f"the attack window with the highest score of {whose}, from {subset_name(first.split)}"
    return f"{told}, and the benign one that was drawn with it" if beside else told


def attention_frame(one: Analysed, chosen: Sequence[Window]) -> pl.DataFrame:
    """Attention between ids, as ``CELLS``, ids of each window ascending.

    Messages between the same two ids are one cell. ``messages`` is the share that the cell would
    have if each message counted alike.
    """
    tensors = one.tensors
    parts = [pl.DataFrame(schema=CELLS)]
    for window in chosen:
        nodes = slice(*tensors["node_ptr"][window.at : window.at + 2].tolist())
        edges = slice(*tensors["edge_ptr"][window.at : window.at + 2].tolist())
        ids = tensors["arbitration_id"][nodes]
        source, target = ids[tensors["edge_index"][:, edges]]
        weights = tensors["weights"][0, edges].mean(axis=1).astype(float)
        frame = pl.DataFrame({"target": target, "source": source, "share": weights})
        # The same id can be several nodes of a sequence of windows: its row stays a distribution.
        frame = frame.with_columns(
            share=pl.col("share") / pl.col("share").sum().over("target"),
            messages=1.0 / pl.len().over("target"),
        )
        summed = frame.group_by("target", "source").agg(pl.col("share", "messages").sum())
        digits = max(3, len(f"{int(ids.max()):x}"))
        hexadecimal = {int(i): f"{int(i):0{digits}x}" for i in ids}
        parts.append(
            summed.sort("target", "source").select(
                pl.lit(_title(window)).alias("window"),
                pl.col("target", "source").replace_strict(hexadecimal, return_dtype=pl.String),
                "share",
                "messages",
            )
        )
    return pl.concat(parts)


def attention(frame: pl.DataFrame) -> ChartType:
    """A panel a window, a cell a pair of ids between which there is an edge.

    Args:
        frame: As ``CELLS``.
    """
    scale = alt.Scale(range=list(SHADES), domain=[0, 1])
    legend = alt.Legend(
        orient="bottom", title="share of attention", titleOrient="left", gradientLength=200,
        direction="horizontal", values=[0, 0.25, 0.5, 0.75, 1], format=".2~f",
    )  # fmt: skip

    def draw(window: str, first: bool, head: str) -> ChartType:
        own = frame.filter(window=window)
        ids = sorted({*own["target"], *own["source"]})
        step = min(max(SIDE / len(ids), STEPS[0]), STEPS[1])
        look: dict[str, Any] = {
            "domain": False, "ticks": False, "labelFontSize": min(10.0, step - 0.5),
            "labelOverlap": False, "grid": False,
        }  # fmt: skip
        x_axis = alt.Axis(orient="top", labelAngle=-90, **look)
        order = alt.Scale(domain=ids)
        chart: ChartType = (
            alt.Chart(values(own), title=head, view=alt.ViewBackground(fill=EMPTY))
            .mark_rect(stroke="white", strokeWidth=0.6)
            .encode(
                x=alt.X("source:N", scale=order, title="attended to", axis=x_axis),
                y=alt.Y(
                    "target:N", scale=order, title="node" if first else None, axis=alt.Axis(**look)
                ),
                color=alt.Color("share:Q", scale=scale, legend=legend),
            )
            .properties(width=alt.Step(step), height=alt.Step(step))
        )
        return chart

    titles = {window: window for window in frame["window"].unique(maintain_order=True)}
    return panels(titles, draw, columns=2, width=52)


def _title(window: Window) -> str:
    kind = f"attack: {window.attack}" if window.attack is not None else "benign"
    return f"{kind}, score {window.score:.3f}"


def _alt(row: str, frame: pl.DataFrame) -> str:
    told = []
    for (window,), own in frame.group_by("window", maintain_order=True):
        received = own.group_by("source", maintain_order=True).agg(
            pl.col("share", "messages").sum()
        )
        total = float(received["share"].sum())
        most = received.sort("share", descending=True, maintain_order=True).row(0, named=True)
        told.append(
            f"{window}: {own['target'].n_unique()} ids, most attention goes to {most['source']}, "
            f"{most['share'] / total:.0%} of all where its messages alone would draw "
            f"{most['messages'] / total:.0%}"
        )
    return f"Heat maps of attention between CAN ids of {row}. {'; '.join(told)}."
