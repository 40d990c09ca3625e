"""What a better result costs: F1 against parameters, latency and time of training."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import altair as alt
import numpy as np
import polars as pl
from altair.typing import ChartType

from analysis.figures.figure import Figure
from analysis.figures.placing import Box, leader, place
from analysis.figures.results import Results, averages
from analysis.figures.style import BLACK, BLUE, GREY, SMALL, legend_below, metric_name, values
from analysis.tables.cost import cost
from analysis.tables.study import Study

QUALITY = "f1"
NAMED = 20
"""Rows up to which every point has its name; beyond, only the front and the baseline."""
WIDTH, HEIGHT = 600, 250
ROLES = ("baseline", "row", "reference")
FRONT = "front"
NEEDED = ("states", "autoencoder", "classifier")
"""What a trial reads of others that it needs again for every window that it judges."""
EXTRACT = "extract"
"""A stage without parameters of its own."""


@dataclass(frozen=True, kw_only=True)
class Price:
    """A cost that rows are compared at."""

    column: str
    """Column of the cost table."""
    name: str
    """What it is called, with its unit."""
    noun: str
    """What a row has that has it."""


PRICES = (
    Price(
        column="parameters",
        name="parameters, of a fusion with those of its detectors",
        noun="parameters",
    ),
    Price(
        column="latency_p50_ms",
        name="latency of a window from its graph to its score, median, in milliseconds",
        noun="a measured latency",
    ),
    Price(
        column="chain_seconds",
        name="seconds of training and testing, with everything upstream",
        noun="a measured time of its whole chain",
    ),
)


def pareto_figures(results: Results) -> Iterator[Figure]:
    """F1 against each cost, on each data set."""
    costs = (
        cost(results.study, results.cells)
        .frame.drop("parameters")
        .join(parameters(results.study), on=["dataset", "variant"], how="left")
    )
    for dataset in results.datasets:
        scores = averages(results.cells.filter(dataset=dataset), QUALITY)
        for price in PRICES:
            yield _figure(results, dataset, price, scores, costs.filter(dataset=dataset))


def _figure(
    results: Results, dataset: str, price: Price, scores: pl.DataFrame, costs: pl.DataFrame
) -> Figure:
    """One cost on one data set."""
    name = f"pareto-{price.column.replace('_', '-')}-{results.datasets.index(dataset)}"
    title = f"{metric_name(QUALITY)} against {price.name.partition(',')[0]}{results.on(dataset)}"
    frame = pareto_frame(scores, costs, price)
    if frame.is_empty():
        caption = f"No row that was tested everywhere has {price.noun}: there is nothing to weigh."
        return Figure(name=name, title=title, caption=caption)
    left = sorted(set(scores["variant"]) - set(frame["variant"]))
    more = f" Without {price.noun}: {', '.join(left)}." if left else ""
    few = "" if len(frame) <= NAMED else " Named are the front and the baseline."
    front = frame.filter(FRONT)
    told = "; ".join(
        f"{row['variant']} {row['quality']:.3f} at {row['price']:,.4g}"
        for row in front.iter_rows(named=True)
    )
    return Figure(
        name=name,
        title=title,
        caption=f"Mean over test subsets of the mean {metric_name(QUALITY)} over seeds, against "
        f"{price.name} (logarithmic). The line is the front: rows that no other row beats at their "
        f"cost.{few}{more}",
        chart=pareto(frame, price.name),
        alt=f"{metric_name(QUALITY)} of {len(frame)} rows against {price.name}. The front: {told}.",
    )


def parameters(study: Study) -> pl.DataFrame:
    """Parameters that a row needs to judge a window: ``dataset``, ``variant``, ``parameters``.

    A fusion needs its detectors; a student needs no teacher. The most of any seed; null where a
    part of it is not committed or has none.
    """
    schema = {"dataset": pl.String, "variant": pl.String, "parameters": pl.Int64}
    counts: dict[str, int | None] = {}
    rows = [
        (dataset, variant, _needed(study, key, counts))
        for dataset, variant, key in study.rows.select(*list(schema)[:2], "fingerprint").iter_rows()
    ]
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    return frame.group_by(list(schema)[:2], maintain_order=True).agg(pl.col("parameters").max())


def _needed(study: Study, key: str, counts: dict[str, int | None]) -> int | None:
    """Parameters of a trial and of the detectors that it reads; counted once in ``counts``."""
    if key not in counts:
        told = study.more_manifests([key]).get(key)
        if told is None:
            return None
        own = 0 if told["stage"] == EXTRACT else told["meta"].get("parameters")
        sources = [source for role, source in told["upstream"].items() if role in NEEDED]
        parts = [own, *(_needed(study, source, counts) for source in sources)]
        known = [part for part in parts if part is not None]
        counts[key] = sum(known) if len(known) == len(parts) else None
    return counts[key]


def pareto_frame(scores: pl.DataFrame, costs: pl.DataFrame, price: Price) -> pl.DataFrame:
    """Rows with their quality and cost: ``variant``, ``role``, ``price``, ``quality``, ``front``.

    A row is on the front where no other has a quality as high at a lower cost, or a higher one at
    the same cost. Rows without the cost are left out; the cheapest comes first.

    Args:
        scores: As ``averages`` gives them, of one data set.
        costs: The cost table of that data set.
        price: Which cost.
    """
    role = pl.when(pl.col("baseline")).then(pl.lit("baseline")).otherwise(pl.col("role"))
    joined = scores.join(
        costs.select("variant", price=pl.col(price.column).cast(pl.Float64)), on="variant"
    )
    known = joined.filter(pl.col("price") > 0.0).select(
        "variant", role.alias("role"), "price", quality="value"
    )
    ordered = known.sort("price", "quality", descending=[False, True], maintain_order=True)
    before = pl.col("quality").cum_max().shift(1)
    return ordered.with_columns((before.is_null() | (pl.col("quality") > before)).alias(FRONT))


def pareto(frame: pl.DataFrame, price: str) -> ChartType:
    """Points with their names, and the front as a line of steps.

    Args:
        frame: As ``pareto_frame`` gives it.
        price: What the cost is called, with its unit.
    """
    x_ends, y_ends = _ends(frame["price"].log10()), _ends(frame["quality"])
    pixels = [
        (WIDTH * _share(math.log10(x), x_ends), HEIGHT * _share(y, y_ends))
        for x, y in frame.select("price", "quality").iter_rows()
    ]
    every = len(frame) <= NAMED
    names = [
        variant if every or front or role == "baseline" else ""
        for variant, front, role in frame.select("variant", FRONT, "role").iter_rows()
    ]
    steps = [pixel for pixel, front in zip(pixels, frame[FRONT], strict=True) if front]
    centres = place(pixels, names, WIDTH, HEIGHT, _step_boxes(steps))
    labels = [
        {"name": name, "x": x, "y": HEIGHT - y}
        for name, (x, y) in zip(names, centres, strict=True)
        if name
    ]
    ends = [leader(*three) for three in zip(pixels, names, centres, strict=True)]
    leaders = [
        {"x": x, "y": HEIGHT - y, "x2": end[0], "y2": HEIGHT - end[1]}
        for (x, y), name, end in zip(pixels, names, ends, strict=True)
        if name and end is not None
    ]
    domain = [10.0 ** x_ends[0], 10.0 ** x_ends[1]]
    x = alt.X(
        "price:Q",
        title=f"{price} (logarithmic)",
        scale=alt.Scale(type="log", domain=domain, nice=False),
        axis=alt.Axis(format="~s" if domain[1] >= 1000 else "~g", tickCount=6),
    )
    y = alt.Y(
        "quality:Q",
        title=metric_name(QUALITY),
        scale=alt.Scale(domain=y_ends, nice=False),
        axis=alt.Axis(format=".2f"),
    )
    present = [role for role in ROLES if role in set(frame["role"])]
    hues = {"baseline": BLACK, "row": BLUE, "reference": GREY}
    signs = {"baseline": "diamond", "row": "circle", "reference": "square"}
    legend = legend_below()
    color = alt.Scale(domain=present, range=[hues[role] for role in present])
    shape = alt.Scale(domain=present, range=[signs[role] for role in present])
    line = alt.Chart(values(frame.filter(FRONT))).mark_line(
        interpolate="step-after", color="#999999", strokeWidth=1.2
    )
    point = alt.Chart(values(frame)).mark_point(filled=True, size=60, opacity=1)
    text = alt.Chart(alt.Data(values=labels)).mark_text(fontSize=SMALL)
    aside = alt.Chart(alt.Data(values=leaders)).mark_rule(color="#999999", strokeWidth=0.6)
    text_x, text_y = alt.X("x:Q", scale=None, axis=None), alt.Y("y:Q", scale=None, axis=None)
    return alt.layer(
        line.encode(x=x, y=y),
        aside.encode(x=text_x, y=text_y, x2="x2:Q", y2="y2:Q"),
        point.encode(
            x=x,
            y=y,
            color=alt.Color("role:N", scale=color, legend=legend),
            shape=alt.Shape("role:N", scale=shape, legend=legend),
        ),
        text.encode(text="name:N", x=text_x, y=text_y),
    ).properties(width=WIDTH, height=HEIGHT)


def _step_boxes(points: Sequence[tuple[float, float]]) -> list[Box]:
    """The steps from each point to the next, as thin boxes: along, then up."""
    found = []
    for (x0, y0), (x1, y1) in pairwise(points):
        found.append(Box(left=x0, low=y0 - 1, right=x1, high=y0 + 1))
        found.append(Box(left=x1 - 1, low=y0, right=x1 + 1, high=y1))
    return found


def _ends(column: pl.Series) -> list[float]:
    """Ends of an axis with room around its values for names."""
    known = np.asarray(column.to_numpy(), dtype=np.float64)
    low, high = float(known.min()), float(known.max())
    room = 0.12 * (high - low) or 0.5
    return [low - room, high + room]


def _share(value: float, ends: list[float]) -> float:
    return (value - ends[0]) / (ends[1] - ends[0])
