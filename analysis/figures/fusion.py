"""How fusions use what they fuse: the weight of the classifier, and the gate among experts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import altair as alt
import polars as pl
from altair.typing import ChartType

from analysis.figures.figure import Figure
from analysis.figures.results import Results
from analysis.figures.style import BLACK, BLUE, COLOURS, RED, WIDTH, legend_below, values

CLASSES: Mapping[str, str] = {
    "mean_alpha_benign": "benign windows", "mean_alpha_attack": "attack windows",
    "alpha": "all windows alike",
}  # fmt: skip
"""Diagnostics of a fusion that are weights of the classifier, and what they are means over."""
USAGE = re.compile(r"expert_usage_(\d+)")
WEIGHTS: Mapping[str, Any] = {
    "variant": pl.String, "seed": pl.Int64, "kind": pl.String, "value": pl.Float64,
}  # fmt: skip


def alpha_figures(results: Results) -> Iterator[Figure]:
    """Fusion weights by class, on each data set."""
    for dataset in results.datasets:
        frame = diagnostics_frame(results, dataset, CLASSES)
        name = results.name("alpha", dataset)
        title = f"Weight of the classifier in the fusion{results.on(dataset)}"
        if frame.is_empty():
            caption = (
                "No committed row blends two detectors by a weight: there is no alpha to show."
            )
            yield Figure(name=name, title=title, caption=caption)
            continue
        yield Figure(
            name=name,
            title=title,
            caption="Alpha by the class of the window: 0 takes the autoencoder alone, 1 the "
            "classifier alone. A small sign is a seed, a large one the mean; a fusion that tells "
            "the classes apart has two different ones.",
            chart=alpha(frame),
            alt=f"Mean alpha over seeds: {_told(frame)}.",
        )


def gate_figures(results: Results) -> Iterator[Figure]:
    """Use of the experts, on each data set."""
    for dataset in results.datasets:
        told = diagnostics_frame(results, dataset, None)
        frame = told.filter(pl.col("kind").str.contains(f"^{USAGE.pattern}$")).with_columns(
            pl.col("kind").str.extract(USAGE.pattern).cast(pl.Int64)
        )
        name = results.name("gate", dataset)
        title = f"Use of the experts{results.on(dataset)}"
        if frame.is_empty():
            caption = "No committed row is a mixture of experts: there is no gate to show."
            yield Figure(name=name, title=title, caption=caption)
            continue
        shares = frame.select(
            "variant", "seed", pl.format("expert {}", "kind").alias("kind"), "value"
        )
        yield Figure(
            name=name,
            title=title,
            caption="Mean weight of each expert over windows, a bar a seed; one expert alone means "
            "that the gate has collapsed.",
            chart=gate(shares),
            alt=f"Mean weight over seeds: {_told(shares)}.",
        )


def diagnostics_frame(
    results: Results, dataset: str, kinds: Mapping[str, str] | None
) -> pl.DataFrame:
    """Diagnostics of the committed fusions of a data set, in table order, as ``WEIGHTS``.

    Args:
        results: The rows and their results.
        dataset: Data set.
        kinds: Diagnostics that are wanted and what each is called; none takes all by their names.
    """
    study = results.study
    records = []
    for variant, seed, key in (
        study.rows.filter(dataset=dataset)
        .sort("position", "seed", maintain_order=True)
        .unique(["variant", "fingerprint"], keep="first", maintain_order=True)
        .select("variant", "seed", "fingerprint")
        .iter_rows()
    ):
        found = study.manifests.get(key, {}).get("meta", {}).get("diagnostics", {})
        for kind, value in found.items():
            if kinds is None or kind in kinds:
                called = kind if kinds is None else kinds[kind]
                records.append((variant, seed, called, value))
    return pl.DataFrame(records, schema=WEIGHTS, orient="row")


def alpha(frame: pl.DataFrame) -> ChartType:
    """A line a row: its weight on benign and on attack windows.

    Args:
        frame: As ``WEIGHTS``, ``kind`` one of the values of ``CLASSES``.
    """
    present = [kind for kind in CLASSES.values() if kind in set(frame["kind"])]
    hues = dict(zip(CLASSES.values(), (BLUE, RED, BLACK), strict=True))
    signs = dict(zip(CLASSES.values(), ("circle", "square", "diamond"), strict=True))
    order = frame["variant"].unique(maintain_order=True).to_list()
    means = frame.group_by("variant", "kind", maintain_order=True).agg(pl.col("value").mean())
    y = alt.Y("variant:N", sort=order, title=None, axis=alt.Axis(grid=True))
    legend, unit = legend_below(), alt.Scale(domain=[0, 1])
    sign: dict[str, Any] = {
        "y": y,
        "x": alt.X("value:Q", title="alpha, weight of the classifier", scale=unit),
        "color": alt.Color(
            "kind:N", legend=legend,
            scale=alt.Scale(domain=present, range=[hues[kind] for kind in present]),
        ),
        "shape": alt.Shape(
            "kind:N", legend=legend,
            scale=alt.Scale(domain=present, range=[signs[kind] for kind in present]),
        ),
    }  # fmt: skip
    span = means.group_by("variant", maintain_order=True).agg(
        low=pl.col("value").min(), high=pl.col("value").max()
    )
    line = alt.Chart(values(span)).mark_rule(color="#999999", strokeWidth=1.5)
    return alt.layer(
        line.encode(y=y, x="low:Q", x2="high:Q"),
        alt.Chart(values(frame)).mark_point(filled=True, size=22, opacity=0.6).encode(**sign),
        alt.Chart(values(means)).mark_point(filled=True, size=90, opacity=1).encode(**sign),
    ).properties(width=WIDTH, height=alt.Step(22))


def gate(frame: pl.DataFrame) -> ChartType:
    """A bar a (row, seed), a piece an expert.

    Args:
        frame: As ``WEIGHTS``, ``kind`` the name of an expert.
    """
    experts = sorted(frame["kind"].unique(), key=lambda name: int(name.split()[-1]))
    hues = [COLOURS[i % len(COLOURS)] for i in range(len(experts))]
    order = {name: i for i, name in enumerate(experts)}
    shown = frame.with_columns(
        bar=pl.format("{}, seed {}", "variant", "seed"),
        order=pl.col("kind").replace_strict(order, return_dtype=pl.Int64),
    )
    chart: ChartType = (
        alt.Chart(values(shown))
        .mark_bar(stroke="white", strokeWidth=1)
        .encode(
            y=alt.Y("bar:N", sort=shown["bar"].unique(maintain_order=True).to_list(), title=None),
            x=alt.X("value:Q", stack="zero", title="mean weight", scale=alt.Scale(domain=[0, 1])),
            color=alt.Color(
                "kind:N", scale=alt.Scale(domain=experts, range=hues), legend=legend_below()
            ),
            order="order:Q",
        )
        .properties(width=WIDTH, height=alt.Step(18))
    )
    return chart


def _told(frame: pl.DataFrame) -> str:
    means = frame.group_by("variant", "kind", maintain_order=True).agg(pl.col("value").mean())
    return "; ".join(
        f"{variant}, {kind}: {value:.3f}" for variant, kind, value in means.iter_rows()
    )
