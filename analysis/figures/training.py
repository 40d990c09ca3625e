"""Losses of every row epoch by epoch: whether training had settled when it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from io import BytesIO
from typing import Any

import altair as alt
import polars as pl
from altair.typing import ChartType

from analysis.figures.figure import Figure
from analysis.figures.results import Results
from analysis.figures.style import BLUE, RED, legend_below, panels, values
from graphids.store.outputs import SHORT
from graphids.store.results import HISTORY_FILE

AT_MOST = 16
"""Rows with a panel each."""
LOSSES: Mapping[str, str] = {"train_loss": "training", "val_loss": "validation"}
HISTORY: Mapping[str, Any] = {
    "variant": pl.String, "seed": pl.Int64, "epoch": pl.Int64, "part": pl.String,
    "value": pl.Float64,
}  # fmt: skip


def training_figures(results: Results) -> Iterator[Figure]:
    """Training curves of each data set."""
    for dataset in results.datasets:
        frame = history_frame(results, dataset)
        name = results.name("training", dataset)
        title = f"Training curves{results.on(dataset)}"
        rows = frame["variant"].unique(maintain_order=True).to_list()
        if not rows:
            caption = "No row has committed the losses of its epochs: there is no curve."
            yield Figure(name=name, title=title, caption=caption)
            continue
        chosen = frame.filter(pl.col("variant").is_in(rows[:AT_MOST]))
        left = f" Shown are the first {AT_MOST} of {len(rows)} rows." if rows[AT_MOST:] else ""
        yield Figure(
            name=name,
            title=title,
            caption="Loss of each epoch, a line a seed; losses of different rows are different "
            f"quantities, and so each panel has its own scale.{left}",
            chart=training(chosen),
            alt=_alt(chosen),
        )


def history_frame(results: Results, dataset: str) -> pl.DataFrame:
    """Losses of the committed trials of a data set, in table order, as ``HISTORY``.

    Raises:
        DamagedOutputError: A committed file is not what its manifest says.
    """
    study = results.study
    rows = study.rows.filter(dataset=dataset).sort("position", "seed", maintain_order=True)
    parts = [pl.DataFrame(schema=HISTORY)]
    seen: set[tuple[str, str]] = set()
    for variant, seed, key in rows.select("variant", "seed", "fingerprint").iter_rows():
        told = study.manifests.get(key)
        if told is None or (variant, key) in seen:
            continue
        seen.add((variant, key))
        content = study.outputs.read(study.folders[key[:SHORT]], HISTORY_FILE, told)
        if content is None:
            continue
        losses = pl.read_parquet(BytesIO(content)).filter(pl.col("metric").is_in(list(LOSSES)))
        parts.append(
            losses.drop_nulls("value").select(
                pl.lit(variant).alias("variant"),
                pl.lit(seed, dtype=pl.Int64).alias("seed"),
                "epoch",
                pl.col("metric").replace_strict(LOSSES, return_dtype=pl.String).alias("part"),
                "value",
            )
        )
    return pl.concat(parts)


def training(frame: pl.DataFrame) -> ChartType:
    """A panel a row, a line a (part, seed).

    Args:
        frame: As ``HISTORY``, rows in the order of their panels.
    """
    parts = alt.Scale(domain=list(LOSSES.values()), range=[BLUE, RED])
    strokes = alt.Scale(domain=list(LOSSES.values()), range=[[1, 0], [5, 2]])
    legend = legend_below(lines=True)

    def draw(variant: str, first: bool, head: str) -> ChartType:
        own = frame.filter(variant=variant)
        few = own["epoch"].n_unique() < 2
        base = alt.Chart(values(own), title=head)
        mark = base.mark_point(filled=True) if few else base.mark_line(strokeWidth=1.4, opacity=0.9)
        drawn: ChartType = mark.encode(
            x=alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, tickCount=4, format="d")),
            y=alt.Y(
                "value:Q",
                title="loss" if first else None,
                scale=alt.Scale(zero=False, nice=4),
                axis=alt.Axis(tickCount=4, format=".3~g"),
            ),
            color=alt.Color("part:N", scale=parts, legend=legend),
            strokeDash=alt.StrokeDash("part:N", scale=strokes, legend=legend),
            detail="seed:N",
        ).properties(width=145, height=100)
        return drawn

    titles = {variant: variant for variant in frame["variant"].unique(maintain_order=True)}
    return panels(titles, draw, columns=4, width=24)


def _alt(frame: pl.DataFrame) -> str:
    ends = frame.sort("epoch", maintain_order=True).group_by(
        "variant", "part", "seed", maintain_order=True
    )
    last = ends.agg(pl.col("value").last(), first=pl.col("value").first())
    means = last.group_by("variant", "part", maintain_order=True).agg(
        pl.col("first", "value").mean()
    )
    told = "; ".join(
        f"{variant} {part} {first:.3g} to {value:.3g}"
        for variant, part, first, value in means.iter_rows()
    )
    return f"Loss against epoch in a panel for each row, from the first to the last epoch: {told}."
