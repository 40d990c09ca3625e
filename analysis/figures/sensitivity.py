"""What a threshold decides: F1 and false alarms for every threshold that validation could give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import polars as pl
from altair.typing import ChartType

from analysis.figures.figure import Figure
from analysis.figures.results import Results, Scored, Shown, scored, shown
from analysis.figures.style import GREY, USUAL, colours, dashes, legend_below, subset_name, values
from graphids.core.metrics import checked, decision_metrics

LOWEST = 0.5
"""Quantile of validation scores below which no useful threshold lies."""
QUANTILES = np.linspace(LOWEST, 1.0, 51)
DECIDED: Mapping[str, str] = {"f1": "F1", "fpr": "false alarms"}
SENSITIVITY: Mapping[str, Any] = {
    "variant": pl.String, "subset": pl.String, "metric": pl.String, "seed": pl.Int64,
    "quantile": pl.Float64, "value": pl.Float64, "chosen": pl.Boolean,
}  # fmt: skip


def sensitivity_figures(results: Results) -> Iterator[Figure]:
    """Threshold sensitivity of the shown rows, on each data set."""
    for dataset in results.datasets:
        rows = shown(results, dataset)
        frame = sensitivity_frame(list(scored(results, dataset, rows)))
        name = results.name("sensitivity", dataset)
        title = f"Sensitivity to the threshold{results.on(dataset)}"
        if frame.is_empty():
            caption = "No shown row has scores of validation and of a test subset yet."
            yield Figure(name=name, title=title, caption=caption)
            continue
        yield Figure(
            name=name,
            title=title,
            caption="F1 of the attack class and share of false alarms among benign windows, if the "
            "threshold lay at that quantile of the validation scores; mean over seeds. Points: the "
            f"thresholds that were chosen there.{rows.told}",
            chart=sensitivity(frame, rows),
            alt=_alt(frame, rows),
        )


def sensitivity_frame(trials: Sequence[Scored]) -> pl.DataFrame:
    """Metrics of each trial at each of ``QUANTILES``, and at its own threshold (``chosen``).

    Returns:
        ``SENSITIVITY``; values that the labels of a subset leave undefined are left out. The
        quantile of a chosen threshold is the share of validation windows below it.
    """
    records: list[tuple[Any, ...]] = []
    for trial in trials:
        held = trial.scores.filter(split="validation")["score"].to_numpy()
        if held.size == 0:
            continue
        cuts = [(float(q), float(np.quantile(held, q)), False) for q in QUANTILES]
        if trial.threshold is not None:
            below = float((held < trial.threshold).mean())
            cuts.append((below, trial.threshold, True))
        test = trial.scores.filter(pl.col("split") != "validation")
        for (subset,), part in test.group_by("split", maintain_order=True):
            scores, attacks = checked(part["score"].to_numpy(), part["label"].to_numpy())
            for quantile, cut, chosen in cuts:
                found = decision_metrics(scores, attacks, cut)
                records += [
                    (trial.variant, subset, name, trial.seed, quantile, found[name], chosen)
                    for name in DECIDED
                ]
    frame = pl.DataFrame(records, schema=SENSITIVITY, orient="row")
    return frame.drop_nulls("value")


def sensitivity(frame: pl.DataFrame, rows: Shown) -> ChartType:
    """F1 at the left and false alarms at the right, test subsets below one another.

    Args:
        frame: As ``SENSITIVITY``.
        rows: The rows in it.
    """
    subsets = frame["subset"].unique().sort().to_list()
    lines = (
        frame.filter(~pl.col("chosen"))
        .group_by("variant", "subset", "metric", "quantile", maintain_order=True)
        .agg(pl.col("value").mean())
    )
    points = frame.filter(pl.col("chosen") & (pl.col("quantile") >= LOWEST))
    scale = alt.Scale(domain=[LOWEST, 1.0], nice=False, padding=4)
    legend = legend_below(lines=True)
    color = alt.Color("variant:N", scale=colours(rows.names, rows.baselines), legend=legend)
    dash = alt.StrokeDash("variant:N", scale=dashes(rows.names, rows.baselines), legend=legend)

    def draw(subset: str, metric: str) -> ChartType:
        axis = alt.Axis(
            format=".1f", values=[0.5, 0.6, 0.7, 0.8, 0.9, 1.0], labels=subset == subsets[-1]
        )
        title = "quantile of validation scores" if subset == subsets[-1] else None
        x = alt.X("quantile:Q", title=title, scale=scale, axis=axis)
        y = alt.Y(
            "value:Q",
            title=DECIDED[metric],
            scale=alt.Scale(domain=[0, 1], nice=False, padding=4),
            axis=alt.Axis(values=[0, 0.5, 1], format=".1~f"),
        )
        one = pl.col("subset").eq(subset) & pl.col("metric").eq(metric)
        line = alt.Chart(values(lines.filter(one))).mark_line(strokeWidth=1.7)
        point = alt.Chart(values(points.filter(one))).mark_point(
            filled=True, size=42, opacity=1, stroke="white", strokeWidth=0.7
        )
        head = subset_name(subset) if metric == "f1" else " "
        if lines.filter(one).is_empty():
            return _undefined(head)
        return alt.layer(
            line.encode(x=x, y=y, color=color, strokeDash=dash),
            point.encode(x=x, y=y, color=color),
            title=head,
        ).properties(width=300, height=82)

    return alt.concat(
        *(draw(s, m) for s in subsets for m in DECIDED), columns=len(DECIDED)
    ).properties(spacing={"row": 4, "column": 20})


def _undefined(head: str) -> ChartType:
    """A panel that says why it is empty."""
    said = alt.Chart(alt.Data(values=[{"text": "undefined: the subset lacks a class"}]))
    return (
        said.mark_text(color=GREY, fontSize=USUAL)
        .encode(text="text:N", x=alt.value(150), y=alt.value(41))
        .properties(width=300, height=82, title=head)
    )


def _alt(frame: pl.DataFrame, rows: Shown) -> str:
    best = (
        frame.filter(metric="f1")
        .group_by("variant", "chosen", "subset", "seed", maintain_order=True)
        .agg(pl.col("value").max())
        .group_by("variant", "chosen", maintain_order=True)
        .agg(pl.col("value").mean())
    )
    known = {(variant, chosen): value for variant, chosen, value in best.iter_rows()}
    told = "; ".join(
        f"{row} {known[row, True]:.2f} of {known[row, False]:.2f}"
        for row in rows.names
        if (row, True) in known and (row, False) in known
    )
    return (
        f"F1 and false alarms of {', '.join(rows.names)} against the quantile of the threshold, a "
        "panel for each test subset. F1 at the chosen threshold, of the best over the quantiles: "
        f"{told}."
    )
