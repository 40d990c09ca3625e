"""Tables of a report alone: its design, what was predicted and measured, where rows are from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from analysis.tables.cost import trial_costs
from analysis.tables.decisions import threshold_facts
from analysis.tables.study import Study
from analysis.tables.table import Table
from graphids.store.outputs import SHORT

DESIGN: Mapping[str, Any] = {
    "variant": pl.String, "role": pl.String, "axis": pl.String, "level": pl.String,
    "stage": pl.String, "also_called": pl.List(pl.String), "committed": pl.Int64,
    "planned": pl.Int64,
}  # fmt: skip
TRIALS: Mapping[str, Any] = {
    "variant": pl.String, "dataset": pl.String, "seed": pl.Int64, "fingerprint": pl.String,
    "run": pl.String, "commit": pl.String, "device": pl.String, "threshold": pl.Float64,
    "rule": pl.String,
}  # fmt: skip


def design(study: Study) -> Table:
    """Every row of the grid: ``DESIGN``, less what no row has.

    ``committed`` and ``planned`` are trials of the row itself, over data sets and seeds.
    """
    role = pl.when(pl.col("baseline")).then(pl.lit("baseline")).otherwise(pl.col("role"))
    done = pl.col("fingerprint").str.head(SHORT).is_in(list(study.folders))
    frame = (
        study.rows.group_by("position", "variant", maintain_order=True)
        .agg(
            role.first().alias("role"),
            pl.col("axis", "level", "stage").first(),
            pl.col("aliases").first().alias("also_called"),
            pl.col("fingerprint").filter(done).n_unique().cast(pl.Int64).alias("committed"),
            pl.col("fingerprint").n_unique().cast(pl.Int64).alias("planned"),
        )
        .sort("position")
        .select(list(DESIGN))
    )
    said = [
        name
        for name, kind in DESIGN.items()
        if name in ("variant", "role") or _holds_something(frame[name], kind)
    ]
    return Table(kind="rows of the grid", frame=frame.select(said))


def _holds_something(column: pl.Series, kind: Any) -> bool:
    """Whether any row has a value there; an empty list is none."""
    known = column.drop_nulls()
    return len(known) > 0 and (not isinstance(kind, pl.List) or bool((known.list.len() > 0).any()))


def predicted(study: Study) -> Table:
    """Predicted against measured memory and time of every committed trial that has a prediction.

    Columns: ``trial``, ``predicted_bytes``, ``peak_bytes``, ``bytes_ratio`` (measured by
    predicted), ``predicted_seconds``, ``seconds``, ``seconds_ratio``, ``attempts``.
    """
    told = study.more_manifests(study.plan["fingerprint"].unique(maintain_order=True))
    labels = pl.DataFrame(
        [(key, manifest["label"]) for key, manifest in told.items()],
        schema={"fingerprint": pl.String, "trial": pl.String},
        orient="row",
    )
    known = labels.join(trial_costs(told), on="fingerprint", maintain_order="left").filter(
        pl.any_horizontal(pl.col("predicted_bytes", "predicted_seconds").is_not_null())
    )
    frame = known.select(
        "trial",
        "predicted_bytes",
        "peak_bytes",
        bytes_ratio=pl.col("peak_bytes") / pl.col("predicted_bytes"),
        predicted_seconds="predicted_seconds",
        seconds="seconds",
        seconds_ratio=pl.col("seconds") / pl.col("predicted_seconds"),
        attempts="attempts",
    )
    return Table(kind="predicted against measured", frame=frame)


def trials(study: Study) -> Table:
    """Where every row is from, a trial a record: ``TRIALS``; the fingerprint's first characters."""
    records = []
    columns = ("variant", "dataset", "seed", "fingerprint")
    rows = study.rows.unique(["variant", "dataset", "fingerprint"], maintain_order=True)
    for variant, dataset, seed, key in rows.select(columns).iter_rows():
        told = study.manifests.get(key)
        if told is None:
            continue
        rule, value, _ = threshold_facts(told)
        shared = told.get("seed") is None
        records.append(
            (
                variant, dataset, None if shared else seed, key[:SHORT], told.get("run"),
                told.get("commit"), told.get("device"), value, rule,
            )
        )  # fmt: skip
    frame = pl.DataFrame(records, schema=TRIALS, orient="row")
    return Table(kind="trials of the rows", frame=frame)


def versions(study: Study) -> list[str]:
    """Versions of what the trials depend on, each combination once."""
    found = {
        ", ".join(f"{name} {version}" for name, version in told.get("versions", {}).items())
        for told in study.manifests.values()
    }
    return sorted(text for text in found if text)


def digests(study: Study) -> list[str]:
    """Whole digest of the captures of each data set."""
    pairs = study.rows.select("dataset", "dataset_digest").unique(maintain_order=True)
    return [f"{dataset}: captures of digest {digest}" for dataset, digest in pairs.iter_rows()]
