"""SQL over a store: its results, scores, plans and trials as tables, read when a question asks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from analysis.tables.table import Table
from graphids.store.outputs import OutputStore
from graphids.store.results import (
    METRICS_SCHEMA,
    PLAN_SCHEMA,
    SCORES_FILE,
    SCORES_SCHEMA,
    read_metrics,
)

TRIALS_SCHEMA: dict[str, Any] = {
    "fingerprint": pl.String, "label": pl.String, "stage": pl.String, "version": pl.Int64,
    "dataset": pl.String, "dataset_digest": pl.String, "seed": pl.Int64, "run": pl.String,
    "commit": pl.String, "device": pl.String, "host": pl.String, "worker": pl.Int64,
    "started": pl.Float64, "ended": pl.Float64, "seconds": pl.Float64,
    "predicted_seconds": pl.Float64, "peak_bytes": pl.Int64, "predicted_bytes": pl.Int64,
    "reserved_bytes": pl.Int64, "attempts": pl.Int64, "parameters": pl.Int64, "epochs": pl.Int64,
    "threshold": pl.Float64, "threshold_rule": pl.String, "threshold_note": pl.String,
    "settings": pl.String, "upstream": pl.String, "versions": pl.String, "meta": pl.String,
}  # fmt: skip
"""One row a committed trial; settings, inputs, versions and the rest of it as JSON."""
AS_JSON = ("settings", "upstream", "versions", "meta")
OF_META = ("parameters", "epochs", "threshold", "threshold_rule", "threshold_note")


def query(root: Path, sql: str) -> Table:
    """The answer to a question in SQL.

    ``results``: one row a (trial, split, attack or "all", metric). ``scores``: one row a window of
    a trial. ``plan``: one row a (grid, run, variant, data set, seed, trial of its chain).
    ``trials``: one row a committed trial. All are joined by ``fingerprint``. A table that the
    question does not name is not read; of ``scores`` only the columns that it needs.

    Args:
        root: Folder of the store.
        sql: One ``select``, in the SQL of polars.

    Raises:
        FileNotFoundError: There is no store.
        ValueError: The question is not understood; says why.
        DamagedOutputError: A committed file is not what its manifest says.
    """
    if not root.is_dir():
        raise FileNotFoundError(f"there is no store {root}; give its folder as --store")
    named = {name for name in TABLES if re.search(rf"\b{name}\b", sql, re.IGNORECASE)}
    try:
        context = pl.SQLContext({name: TABLES[name](root) for name in named})
        frame = context.execute(sql, eager=True)
    except PolarsError as error:
        raise ValueError(
            f"the question was not understood: {str(error).splitlines()[0]}; the tables are "
            f"{', '.join(TABLES)}, and `select * from trials limit 1` shows the columns of one"
        ) from error
    return Table(kind="query", frame=frame)


def results(root: Path) -> pl.LazyFrame:
    """Metrics of every committed trial."""
    outputs = OutputStore(root)
    found = {folder: outputs.manifest(folder) for folder in outputs.committed().values()}
    return read_metrics(outputs, found).select(list(METRICS_SCHEMA)).lazy()


def scores(root: Path) -> pl.LazyFrame:
    """Scores of every committed trial, with its fingerprint; the files are checked, then scanned.

    Raises:
        DamagedOutputError: A file is not what its manifest says.
    """
    outputs, keys = OutputStore(root), {}
    for folder in outputs.committed().values():
        manifest = outputs.manifest(folder)
        if outputs.read(folder, SCORES_FILE, manifest) is not None:
            keys[str(folder / SCORES_FILE)] = manifest["fingerprint"]
    if not keys:
        return pl.LazyFrame(schema={"fingerprint": pl.String, **SCORES_SCHEMA})
    scan = pl.scan_parquet(list(keys), include_file_paths="path")
    return scan.with_columns(
        fingerprint=pl.col("path").replace_strict(keys, return_dtype=pl.String)
    ).select("fingerprint", *SCORES_SCHEMA)


def plan(root: Path) -> pl.LazyFrame:
    """Plans of every run of every grid."""
    paths = sorted((root / "plans").glob("*/*.parquet"))
    return pl.scan_parquet(paths) if paths else pl.LazyFrame(schema=PLAN_SCHEMA)


def trials(root: Path) -> pl.LazyFrame:
    """Manifests of every committed trial."""
    outputs = OutputStore(root)
    told = [_trial(outputs.manifest(folder)) for folder in outputs.committed().values()]
    return pl.LazyFrame(told, schema=TRIALS_SCHEMA)


TABLES: Mapping[str, Callable[[Path], pl.LazyFrame]] = {
    "results": results,
    "scores": scores,
    "plan": plan,
    "trials": trials,
}
"""What a question may name."""


def _trial(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest as one flat row."""
    meta = manifest["meta"]
    rest = {key: value for key, value in meta.items() if key not in OF_META}
    row = {name: manifest.get(name) for name in TRIALS_SCHEMA}
    row |= {name: meta.get(name) for name in OF_META} | {"meta": rest}
    return row | {name: json.dumps(row[name], sort_keys=True) for name in AS_JSON}
