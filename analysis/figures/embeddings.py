"""Where detectors put windows of either class: in validation, and where traffic is unknown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import altair as alt
import polars as pl
from altair.typing import ChartType

from analysis.figures.analysed import Analysed, analysed_figures, heading, shown_of
from analysis.figures.figure import Figure
from analysis.figures.results import Results
from analysis.figures.style import BLUE, RED, legend_below, panels, subset_name, values

AT_MOST = 4
"""Detectors with a figure each."""
CLASSES: Mapping[str, str] = {"benign": BLUE, "attack": RED}
"""Classes of windows, the one that is drawn first before the other."""
CAPS: Mapping[str, Literal["round", "square"]] = {"benign": "round", "attack": "square"}
"""Shape of a point, which is the cap of a line without length."""
METHODS: Mapping[str, str] = {
    "pca": "the plane of the largest variance", "tsne": "t-SNE, in which distances mean nothing",
}  # fmt: skip
POINTS: Mapping[str, Any] = {
    "split": pl.String, "class": pl.String, "attack": pl.String, "x": pl.Float64, "y": pl.Float64,
}  # fmt: skip


def embeddings_figures(results: Results) -> Iterator[Figure]:
    """Every embedding that the grid asks for, on each data set."""
    title = "Embedded windows"
    yield from analysed_figures(results, "embeddings", title, "embeddings", _figures)


def _figures(results: Results, dataset: str, found: Sequence[Analysed]) -> Iterator[Figure]:
    """A figure a detector."""
    chosen = found[:AT_MOST]
    left = shown_of(len(chosen), len(found), "detectors")
    for position, one in enumerate(chosen):
        row = heading(one, "detector", found)
        frame = embeddings_frame(one)
        yield Figure(
            name=f"{results.name('embeddings', dataset)}-{position}",
            title=f"Windows as {row} embeds them{results.on(dataset)}",
            caption=f"A point is a window ({len(frame):,} in all, drawn at random, seed "
            f"{one.seed}) in {METHODS[one.meta['method']]} of the {one.meta['dimensions']} "
            "dimensions of the embedding, one plane for all panels; benign ones are round, attacks "
            "square. Silhouette s of the classes in all dimensions, both weighed alike: 1 far "
            f"apart, 0 on top of one another.{left}",
            chart=embeddings(frame, one.meta),
            alt=_alt(row, one.meta),
        )


def embeddings_frame(one: Analysed) -> pl.DataFrame:
    """A point a window, as ``POINTS``; ``attack`` is null for a benign one."""
    splits, attacks = one.meta["splits"], one.meta["attack_names"]
    label = one.tensors["label"].tolist()
    codes = zip(label, one.tensors["attack_type"].tolist(), strict=True)
    columns = {
        "split": [splits[code] for code in one.tensors["split"].tolist()],
        "class": ["attack" if found else "benign" for found in label],
        "attack": [attacks.get(str(code), str(code)) if found else None for found, code in codes],
        "x": one.tensors["xy"][:, 0].tolist(),
        "y": one.tensors["xy"][:, 1].tolist(),
    }
    return pl.DataFrame(columns, schema=POINTS)


def embeddings(frame: pl.DataFrame, meta: Mapping[str, Any]) -> ChartType:
    """A panel a split.

    Args:
        frame: As ``POINTS``.
        meta: Facts of the analysis: the silhouette of each split, the variance of each axis.
    """
    shares = meta["explained"] or (None, None)
    names = [
        f"axis {i}" if share is None else f"axis {i} ({share:.0%} of variance)"
        for i, share in enumerate(shares, 1)
    ]
    ends = {
        axis: alt.Scale(
            domain=[float(frame[axis].to_numpy().min()), float(frame[axis].to_numpy().max())],
            nice=False,
            padding=8,
        )
        for axis in ("x", "y")
    }
    hues = alt.Scale(domain=list(CLASSES), range=list(CLASSES.values()))
    signs = alt.Scale(domain=list(CLASSES), range=["circle", "square"])
    # Lines stand for points, so that the legend needs points of its own.
    named = alt.Chart(alt.Data(values=[{"class": kind} for kind in CLASSES]))
    points = named.mark_point(filled=True, opacity=0).encode(
        color=alt.Color("class:N", scale=hues, legend=legend_below()),
        shape=alt.Shape("class:N", scale=signs, legend=legend_below()),
    )
    bare = alt.Axis(labels=False, ticks=False, grid=False)

    def draw(split: str, first: bool, head: str) -> ChartType:
        own = frame.filter(split=split)
        return alt.layer(
            *(
                # One path for all points of a class: thousands of shapes would weigh down a page.
                alt.Chart(values(_broken(own.filter(pl.col("class") == kind))))
                .mark_line(
                    color=CLASSES[kind],
                    strokeCap=cap,
                    strokeWidth=4,
                    opacity=0.6,
                    invalid="break-paths-show-domains",
                )
                .encode(
                    x=alt.X("x:Q", title=names[0], scale=ends["x"], axis=bare),
                    y=alt.Y("y:Q", title=names[1] if first else None, scale=ends["y"], axis=bare),
                    order="order:Q",
                )
                for kind, cap in CAPS.items()
            ),
            points,
            title=head,
        ).properties(width=150, height=150)

    titles = {split: _title(split, meta["silhouettes"][split]) for split in meta["splits"]}
    return panels(titles, draw, columns=4, width=24)


def _broken(frame: pl.DataFrame) -> pl.DataFrame:
    """Points with a gap after each, so that a line through them joins none."""
    points = frame.select("class", "x", "y").with_row_index("order")
    gaps = points.with_columns(pl.lit(None, pl.Float64).alias("x"), pl.col("order") + 0.5)
    both = (points.with_columns(pl.col("order").cast(pl.Float64)), gaps)
    return pl.concat(both, how="vertical_relaxed").sort("order")


def _title(split: str, silhouette: float | None) -> str:
    # A rounded 0 has no sign.
    told = "one class" if silhouette is None else f"s = {round(silhouette, 2) + 0.0:.2f}"
    return f"{subset_name(split)}: {told.replace('-', '−')}"


def _alt(row: str, meta: Mapping[str, Any]) -> str:
    told = "; ".join(_title(split, meta["silhouettes"][split]) for split in meta["splits"])
    return f"Scatter plots of windows as {row} embeds them, by class. Silhouettes: {told}."
