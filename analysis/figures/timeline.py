"""What a run did when, and how many trials ran beside one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import altair as alt
import polars as pl
from altair.typing import ChartType

from analysis.figures.figure import Figure
from analysis.figures.results import Results
from analysis.figures.style import BLACK, COLOURS, GREY, WIDTH, legend_below, values

UNITS = ((3600.0, "hours"), (60.0, "minutes"), (1.0, "seconds"))
"""Units of time, the largest first; one is taken from two of it."""
HUES = (*COLOURS, BLACK, GREY)
SPANS: Mapping[str, Any] = {
    "stage": pl.String, "host": pl.String, "lane": pl.Int64, "started": pl.Float64,
    "ended": pl.Float64, "trials": pl.Int64,
}  # fmt: skip


def timeline_figures(results: Results) -> Iterator[Figure]:
    """The run that committed most of the grid's trials."""
    study = results.study
    told = study.more_manifests(study.plan["fingerprint"].unique(maintain_order=True))
    run, frame = timeline_frame(told)
    if frame.is_empty():
        caption = "No committed trial tells when it ran."
        yield Figure(name="timeline", title="Timeline of the run", caption=caption)
        return
    seconds = float(frame["ended"].to_numpy().max())
    others = len(told) - int(frame["trials"].sum())
    more = f" {others} committed trials are of other runs." if others else ""
    busy = float((frame["ended"] - frame["started"]).sum()) / seconds
    trials = int(frame["trials"].sum())
    yield Figure(
        name="timeline",
        title=f"Timeline of run {run}",
        caption=f"{trials} trials in {_clock(seconds)}, {busy:.1f} jobs at once on average; a bar "
        "is a job, and seeds of a short trial may share one. Bars of a line followed one another; "
        f"what lies above one another ran at once.{more}",
        chart=timeline(frame),
        alt=f"Gantt chart of {trials} trials over {_clock(seconds)}: {_stages(frame)}.",
    )


def timeline_frame(manifests: Mapping[str, Mapping[str, Any]]) -> tuple[str, pl.DataFrame]:
    """Jobs of the run with most trials, in lanes that hold one job at a time.

    Trials that began at one moment in one process are one job. Hosts are numbered.

    Returns:
        Name of the run and ``SPANS``, in seconds from its first trial; empty where no manifest
        tells a time.
    """
    schema = {
        "run": pl.String, "host": pl.String, "worker": pl.Int64, "stage": pl.String,
        "started": pl.Float64, "ended": pl.Float64,
    }  # fmt: skip
    records = [{name: told.get(name) for name in schema} for told in manifests.values()]
    trials = pl.DataFrame(records, schema=schema).drop_nulls(["run", "started", "ended"])
    if trials.is_empty():
        return "", pl.DataFrame(schema=SPANS)
    counts = trials.group_by("run").len().sort("len", "run", descending=True)
    run = str(counts["run"][0])
    jobs = (
        trials.filter(run=run)
        .group_by("host", "worker", "started", "stage", maintain_order=True)
        .agg(pl.col("ended").max(), trials=pl.len().cast(pl.Int64))
        .sort("started", "ended")
    )
    zero = float(jobs["started"].to_numpy().min())
    hosts: dict[str | None, str] = {}
    free: dict[str, list[float]] = {}
    spans = []
    for host, started, ended, stage, n in jobs.select(
        "host", "started", "ended", "stage", "trials"
    ).iter_rows():
        name = hosts.setdefault(host, f"host {len(hosts) + 1}")
        lanes = free.setdefault(name, [])
        lane = next((i for i, end in enumerate(lanes) if end <= started), len(lanes))
        lanes[lane : lane + 1] = [ended]
        spans.append((stage, name, lane + 1, started - zero, ended - zero, n))
    return run, pl.DataFrame(spans, schema=SPANS, orient="row").sort("host", "lane", "started")


def timeline(frame: pl.DataFrame) -> ChartType:
    """A bar a job, coloured by its stage.

    Args:
        frame: As ``SPANS``.
    """
    size, unit = _unit(float(frame["ended"].to_numpy().max()))
    stages = frame.sort("started")["stage"].unique(maintain_order=True).to_list()
    hues = [HUES[i % len(HUES)] for i in range(len(stages))]
    several = frame["host"].n_unique() > 1
    head = pl.format("{} / {}", "host", "lane") if several else pl.col("lane").cast(pl.String)
    shown = frame.with_columns(
        pl.col("started", "ended") / size, head.alias("lane"), order=pl.int_range(pl.len())
    )
    chart: ChartType = (
        alt.Chart(values(shown))
        .mark_bar(stroke="white", strokeWidth=0.6, height=14)
        .encode(
            x=alt.X(
                "started:Q",
                title=f"{unit} since the first trial",
                scale=alt.Scale(nice=False),
                axis=alt.Axis(tickCount=8),
            ),
            x2="ended:Q",
            y=alt.Y(
                "lane:N",
                sort=shown["lane"].unique(maintain_order=True).to_list(),
                title=None if several else "at once",
            ),
            color=alt.Color(
                "stage:N", scale=alt.Scale(domain=stages, range=hues), legend=legend_below()
            ),
        )
        .properties(width=WIDTH + 100, height=alt.Step(18))
    )
    return chart


def _unit(seconds: float) -> tuple[float, str]:
    """The unit in which a time is short, in seconds, and its name."""
    return next(((size, name) for size, name in UNITS if seconds >= 2 * size), UNITS[-1])


def _clock(seconds: float) -> str:
    size, unit = _unit(seconds)
    return f"{seconds / size:.1f} {unit}"


def _stages(frame: pl.DataFrame) -> str:
    each = frame.group_by("stage", maintain_order=True).agg(
        pl.col("trials").sum(), seconds=(pl.col("ended") - pl.col("started")).sum()
    )
    return "; ".join(
        f"{stage} {n} trial{'s' * (n > 1)}, {_clock(s)}" for stage, n, s in each.iter_rows()
    )
