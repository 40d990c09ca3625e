"""Whether a score that looks like a probability is one: predicted against observed shares."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import polars as pl
from altair.typing import ChartType

from analysis.figures.figure import Figure
from analysis.figures.results import Results, Scored, scored, shown
from analysis.figures.style import BLUE, GREY, panels, values
from graphids.core.metrics import ECE_BINS, expected_calibration_error

BINS: Mapping[str, Any] = {
    "variant": pl.String, "predicted": pl.Float64, "observed": pl.Float64, "windows": pl.Int64,
}  # fmt: skip
ERRORS: Mapping[str, Any] = {"variant": pl.String, "ece": pl.Float64}


def reliability_figures(results: Results) -> Iterator[Figure]:
    """The reliability diagram of each data set."""
    for dataset in results.datasets:
        rows = shown(results, dataset)
        bins, errors = reliability_frames(list(scored(results, dataset, rows)))
        name = results.name("reliability", dataset)
        title = f"Reliability of scores as probabilities{results.on(dataset)}"
        if bins.is_empty():
            caption = "No shown row has test scores that all lie in [0, 1]: none is a probability."
            yield Figure(name=name, title=title, caption=caption)
            continue
        others = [row for row in rows.names if row not in set(errors["variant"])]
        left = f" No probabilities: {', '.join(others)}." if others else ""
        worst = errors.sort("ece", descending=True)
        told = ", ".join(f"{row} {ece:.3f}" for row, ece in worst.iter_rows())
        yield Figure(
            name=name,
            title=title,
            caption=f"Share of attack windows against mean score in {ECE_BINS} bins of equal width,"
            " over the windows of all test subsets and seeds; the area of a point is its number of "
            "windows, grey is perfect. ECE: expected calibration error, the mean gap, of each seed "
            f"and averaged.{left}{rows.told}",
            chart=reliability(bins, errors),
            alt=f"Reliability diagram, a panel a row. Expected calibration error: {told}.",
        )


def reliability_frames(trials: Sequence[Scored]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Bins and errors of the rows whose scores are probabilities.

    Returns:
        ``BINS``: mean score, share of attacks and windows of each bin that has any, over all test
        windows of the seeds; ``ERRORS``: mean over seeds of the expected calibration error.
    """
    found: dict[str, list[tuple[float | None, pl.DataFrame]]] = {}
    for trial in trials:
        test = trial.scores.filter(pl.col("split") != "validation")
        error = expected_calibration_error(test["score"].to_numpy(), test["label"].to_numpy())
        found.setdefault(trial.variant, []).append((error, test.select("score", "label")))
    bins, errors = [pl.DataFrame(schema=BINS)], []
    for variant, parts in found.items():
        known = [error for error, _ in parts if error is not None]
        if len(known) < len(parts):
            continue
        errors.append((variant, float(np.mean(known))))
        place = (pl.col("score") * ECE_BINS).floor().clip(upper_bound=ECE_BINS - 1).alias("bin")
        each = (
            pl.concat([part for _, part in parts])
            .group_by(place)
            .agg(
                predicted=pl.col("score").mean(),
                observed=(pl.col("label") > 0).mean(),
                windows=pl.len().cast(pl.Int64),
            )
        )
        bins.append(each.sort("bin").select(pl.lit(variant).alias("variant"), *list(BINS)[1:]))
    return pl.concat(bins), pl.DataFrame(errors, schema=ERRORS, orient="row")


def reliability(bins: pl.DataFrame, errors: pl.DataFrame) -> ChartType:
    """A panel a row: its bins, and the diagonal of scores that are what they say.

    Args:
        bins: As ``BINS``.
        errors: As ``ERRORS``.
    """
    most = float(bins["windows"].cast(pl.Float64).to_numpy().max())
    known = dict(errors.iter_rows())
    ticks = [0, 0.25, 0.5, 0.75, 1]
    scale = alt.Scale(domain=[0, 1], nice=False, padding=6)

    def draw(variant: str, first: bool, head: str) -> ChartType:
        x = alt.X(
            "predicted:Q",
            title="mean score",
            scale=scale,
            axis=alt.Axis(values=ticks, format=".2~f"),
        )
        title = "share of attack windows" if first else None
        y_axis = alt.Axis(values=ticks, format=".2~f", labels=first)
        y = alt.Y("observed:Q", title=title, scale=scale, axis=y_axis)
        area = alt.Size(
            "windows:Q", scale=alt.Scale(domain=[0, most], range=[14, 320]), legend=None
        )
        ends = [{"predicted": end, "observed": end} for end in (0, 1)]
        own = alt.Chart(values(bins.filter(variant=variant)))
        return alt.layer(
            alt.Chart(alt.Data(values=ends)).mark_line(color=GREY, strokeWidth=1).encode(x=x, y=y),
            own.mark_line(color=BLUE, strokeWidth=1.4).encode(x=x, y=y),
            own.mark_circle(color=BLUE, opacity=0.75).encode(x=x, y=y, size=area),
            title=head,
        ).properties(width=150, height=150)

    titles = {variant: f"{variant}: ECE {error:.3f}" for variant, error in known.items()}
    return panels(titles, draw, columns=4, width=26)
