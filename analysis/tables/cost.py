"""What rows cost: parameters, memory and time, predicted and measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from analysis.tables.study import Study
from analysis.tables.table import Table

MEASURED: dict[str, Any] = {
    "peak_bytes": pl.Int64, "predicted_bytes": pl.Int64, "reserved_bytes": pl.Int64,
    "seconds": pl.Float64, "predicted_seconds": pl.Float64, "attempts": pl.Int64,
    "started": pl.Float64, "ended": pl.Float64, "run": pl.String, "host": pl.String,
    "device": pl.String,
}  # fmt: skip
"""Fields of a manifest that tell what a trial cost; one of them that it lacks is null."""
OF_META: dict[str, Any] = {
    "parameters": pl.Int64, "epochs": pl.Int64, "latency_p50_ms": pl.Float64,
    "latency_p99_ms": pl.Float64, "latency_windows": pl.Float64,
}  # fmt: skip
"""The same of what a stage tells."""
LATENCY = (
    "latency: processor time of one thread for one window, from its ready graph (of simple "
    "detectors: from its features) to its score, on the machine of the trial; a fusion with both "
    "detectors, whose percentiles are added; the 99th from 100 windows on; building the graph is "
    "not in it and costs all rows of a data set the same"
)
"""How the latency of a window was measured."""


def cost(study: Study, cells: pl.DataFrame) -> Table:
    """What each row costs on each data set, over its seeds.

    Columns: ``variant``, ``dataset``, ``device``, ``parameters``, ``epochs`` (mean), ``peak_bytes``
    (highest), ``predicted_bytes``, ``reserved_bytes``, ``seconds`` (mean), ``predicted_seconds``,
    ``chain_seconds`` (with everything upstream), ``co_tenants`` (most other trials of the run at
    once on its host), ``attempts`` (most), ``latency_p50_ms`` and ``latency_p99_ms`` (mean),
    ``latency_windows`` (fewest that they are of), ``n``.
    """
    committed = study.more_manifests(study.plan["fingerprint"].unique(maintain_order=True))
    trials = trial_costs(committed).with_columns(co_tenants=co_tenants(trial_costs(committed)))
    keys = ["position", "variant", "dataset", "seed"]
    chains = study.plan.select(*keys, "fingerprint", "role").join(
        trials.select("fingerprint", "seconds"), on="fingerprint", how="left", maintain_order="left"
    )
    chain = chains.group_by(keys, maintain_order=True).agg(
        chain_seconds=pl.when(pl.col("seconds").is_null().any())
        .then(None)
        .otherwise(pl.col("seconds").sum())
    )
    rows = study.rows.select(*keys, "fingerprint").join(chain, on=keys, maintain_order="left")
    rows = rows.join(trials, on="fingerprint", how="left", maintain_order="left")
    rows = rows.unique(["variant", "dataset", "fingerprint"], keep="first", maintain_order=True)
    frame = (
        rows.group_by("dataset", "position", "variant", maintain_order=True)
        .agg(
            pl.col("device").drop_nulls().unique(maintain_order=True).str.join(", "),
            pl.col("parameters").max(),
            pl.col("epochs").mean(),
            pl.col("peak_bytes", "predicted_bytes", "reserved_bytes").max(),
            pl.col("seconds", "predicted_seconds", "chain_seconds").mean(),
            pl.col("co_tenants", "attempts").max(),
            pl.col("latency_p50_ms", "latency_p99_ms").mean(),
            pl.col("latency_windows").min().cast(pl.Int64),
            pl.col("seconds").count().cast(pl.Int64).alias("n"),
        )
        .sort("dataset", "position", maintain_order=True)
        .select("variant", "dataset", pl.exclude("variant", "dataset", "position"))
    )
    notes: tuple[str, ...] = (
        "own trial of each row: mean over n seeds, highest of memory; chain seconds: with every "
        "trial upstream, shared or not; co tenants: most other trials of the same run at once on "
        "the same host: times of rows that ran beside others do not compare with those that did "
        "not",
    )
    if frame["latency_p50_ms"].count():
        notes += (LATENCY,)
    return Table(kind="cost", frame=frame, notes=notes)


def trial_costs(manifests: Mapping[str, Mapping[str, Any]]) -> pl.DataFrame:
    """One row a committed trial: ``fingerprint``, ``MEASURED`` and ``OF_META``."""
    records = [
        {
            "fingerprint": key,
            **{name: told.get(name) for name in MEASURED},
            **{name: told["meta"].get(name) for name in OF_META},
        }
        for key, told in manifests.items()
    ]
    return pl.DataFrame(records, schema={"fingerprint": pl.String, **MEASURED, **OF_META})


def co_tenants(trials: pl.DataFrame) -> pl.Series:
    """Most other trials of the same run on the same host at once, for each trial; null if unknown.

    Args:
        trials: ``run``, ``host``, ``started`` and ``ended`` of each trial.
    """
    most: list[int | None] = [None] * len(trials)
    known = trials.with_row_index("at").drop_nulls(["run", "host", "started", "ended"])
    for _, group in known.group_by("run", "host", maintain_order=True):
        starts, ends = np.sort(group["started"].to_numpy()), np.sort(group["ended"].to_numpy())
        # Numbers rise at starts alone. A trial that ends as another starts is no tenant beside it.
        at_start = np.searchsorted(starts, starts, side="right") - np.searchsorted(
            ends, starts, side="right"
        )
        for at, started, ended in group.select("at", "started", "ended").iter_rows():
            first = np.searchsorted(starts, started, side="right") - 1
            last = max(first + 1, int(np.searchsorted(starts, ended, side="left")))
            most[at] = max(0, int(at_start[first:last].max()) - 1)
    return pl.Series("co_tenants", most, dtype=pl.Int64)
