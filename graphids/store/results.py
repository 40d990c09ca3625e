"""Results and plans as Parquet in long form: schemas, writing, and reading across the store.

Results are keyed by fingerprint, so joining them to a plan counts nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

METRICS_FILE = "metrics.parquet"
SCORES_FILE = "scores.parquet"
HISTORY_FILE = "history.parquet"

METRICS_SCHEMA: dict[str, Any] = {
    "fingerprint": pl.String,
    "split": pl.String,
    "attack": pl.String,
    "metric": pl.String,
    "value": pl.Float64,
}
"""One row a (trial, split, attack type or "all", metric); an undefined value is null."""

SCORES_SCHEMA: dict[str, Any] = {
    "split": pl.String,
    "capture": pl.String,
    "first_message": pl.Int64,
    "label": pl.Int8,
    "attack_type": pl.Int16,
    "score": pl.Float64,
}
"""One row a window: where it lies, what it is, how anomalous it was found."""

HISTORY_SCHEMA: dict[str, Any] = {"epoch": pl.Int64, "metric": pl.String, "value": pl.Float64}
"""One row a (epoch, metric) of a trial's training."""

PLAN_SCHEMA: dict[str, Any] = {
    "grid": pl.String,
    "design": pl.String,
    "run": pl.String,
    "position": pl.Int64,
    "variant": pl.String,
    "axis": pl.String,
    "level": pl.String,
    "aliases": pl.List(pl.String),
    "baseline": pl.Boolean,
    "dataset": pl.String,
    "dataset_digest": pl.String,
    "seed": pl.Int64,
    "stage": pl.String,
    "role": pl.String,
    "label": pl.String,
    "fingerprint": pl.String,
    "upstream": pl.List(pl.String),
}
"""One row a (variant, dataset, seed, trial of its chain).

The tabulated trial has the role ``row``, or ``reference`` where nothing is compared with it.
"""


def write_parquet(path: Path, frame: pl.DataFrame, schema: Mapping[str, Any]) -> None:
    """Writes a frame in exactly the columns and types of ``schema``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.select(pl.col(name).cast(kind) for name, kind in schema.items()).write_parquet(path)


def metric_rows(
    fingerprint: str, split: str, values: Mapping[str, float | None], attack: str = "all"
) -> list[dict[str, Any]]:
    """Rows of the metrics table for one split."""
    return [
        {
            "fingerprint": fingerprint,
            "split": split,
            "attack": attack,
            "metric": metric,
            "value": value,
        }
        for metric, value in values.items()
    ]


def read_metrics(folders: Iterable[Path]) -> pl.DataFrame:
    """Metrics of several committed outputs in one frame."""
    paths = [folder / METRICS_FILE for folder in folders]
    frames = [pl.read_parquet(path) for path in paths if path.is_file()]
    return pl.concat(frames) if frames else pl.DataFrame(schema=METRICS_SCHEMA)


def plan_path(root: Path, grid: str, run: str) -> Path:
    """Where the plan of one run lies."""
    return root / "plans" / grid / f"{run}.parquet"


def read_plans(root: Path, grid: str) -> pl.DataFrame:
    """The plan of a grid: its latest design, every row of it that any run has planned.

    Runs of another design (other variants or settings) are left out, and so are runs on captures
    that have changed since: their rows would stand under the same names with other meanings.

    Raises:
        FileNotFoundError: if no run of the grid was planned in this store.
    """
    paths = sorted((root / "plans" / grid).glob("*.parquet"))
    if not paths:
        known = sorted(p.name for p in (root / "plans").glob("*")) or ["none"]
        raise FileNotFoundError(
            f"no run of grid {grid!r} in the store {root}; it has runs of: {', '.join(known)}"
        )
    plans = pl.concat([pl.read_parquet(path) for path in paths]).sort(
        "run", descending=True, maintain_order=True
    )
    same = plans.filter(pl.col("design") == plans["design"][0])
    for keys, newest in (
        (["dataset"], "dataset_digest"),
        (["variant", "dataset", "seed"], "run"),
    ):
        latest = same.unique(subset=keys, keep="first", maintain_order=True)
        same = same.join(latest.select(*keys, newest), on=[*keys, newest], how="semi")
    return same.sort("position", "dataset", "seed", maintain_order=True)
