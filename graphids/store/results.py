"""Results and plans as Parquet in long form: schemas, writing, and reading across the store.

Results are keyed by fingerprint, so joining them to a plan counts nothing twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import polars as pl

from graphids.store.outputs import OutputStore

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
    "start_ns": pl.Int64,
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

The tabulated trial has the role ``row``, or ``reference`` where nothing is compared with it. A look
at what rows have trained is the one trial of its chain here, with the role ``analysis``.
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


def read_metrics(outputs: OutputStore, manifests: Mapping[Path, Mapping[str, Any]]) -> pl.DataFrame:
    """Metrics of several committed outputs in one frame, each file checked against its manifest.

    Args:
        outputs: The store of the outputs.
        manifests: Manifest of each output by its folder; an output without metrics adds none.

    Raises:
        DamagedOutputError: A file is missing, or not what its manifest says.
    """
    contents = (outputs.read(folder, METRICS_FILE, told) for folder, told in manifests.items())
    found = [content for content in contents if content is not None]
    # One call for all: opened one by one, thousands of small files take most of a table's time.
    return pl.read_parquet(found) if found else pl.DataFrame(schema=METRICS_SCHEMA)


def read_scores(outputs: OutputStore, folder: Path, manifest: Mapping[str, Any]) -> pl.DataFrame:
    """Scores of one committed output, checked against its manifest; empty where it has none.

    Raises:
        DamagedOutputError: The file is missing, or not what its manifest says.
    """
    content = outputs.read(folder, SCORES_FILE, manifest)
    return pl.DataFrame(schema=SCORES_SCHEMA) if content is None else pl.read_parquet(content)


def plan_path(root: Path, grid: str, run: str) -> Path:
    """Where the plan of one run lies."""
    return root / "plans" / grid / f"{run}.parquet"


@dataclass(frozen=True, kw_only=True)
class PlanFacts:
    """What a plan tells beside its rows; kept in the Parquet file of the plan."""

    dropped: tuple[Mapping[str, str], ...] = ()
    """Variants that are no rows of their own: ``variant``, ``rule``, ``reason`` each."""
    notes: tuple[str, ...] = ()
    """What a reader should know of the datasets and of levels without a row."""


def plan_bytes(frame: pl.DataFrame, facts: PlanFacts) -> bytes:
    """The plan of a run as the content of its file, with its facts."""
    buffer = BytesIO()
    told = {"dropped": json.dumps(list(map(dict, facts.dropped))), "notes": json.dumps(facts.notes)}
    frame.write_parquet(buffer, metadata=told)
    return buffer.getvalue()


def read_plan_facts(path: Path) -> PlanFacts:
    """The facts in a plan's file; none where it was written without."""
    told = pl.read_parquet_metadata(path)
    return PlanFacts(
        dropped=tuple(json.loads(told.get("dropped", "[]"))),
        notes=tuple(json.loads(told.get("notes", "[]"))),
    )


def read_design(root: Path, grid: str) -> pl.DataFrame:
    """Every row of the latest design of a grid that any run has planned, newest run first.

    A row (variant, dataset, seed) that several runs planned stands here as often, and with the
    captures of each: see ``newest_captures``. Rows of another design (other variants or settings)
    are left out: they would stand under the same names with other meanings.

    Raises:
        FileNotFoundError: if no run of the grid was planned in this store.
    """
    paths = sorted((root / "plans" / grid).glob("*.parquet"))
    if not paths:
        known = sorted({path.parent.name for path in (root / "plans").glob("*/*.parquet")}) or [
            "none"
        ]
        raise FileNotFoundError(
            f"no run of grid {grid!r} in the store {root}; it has runs of: {', '.join(known)}"
        )
    plans = pl.concat([pl.read_parquet(path) for path in paths]).sort(
        "run", descending=True, maintain_order=True
    )
    return plans.filter(pl.col("design") == plans["design"][0])


def newest_captures(design: pl.DataFrame) -> pl.DataFrame:
    """The rows of a design on the captures that its latest run on each dataset has read."""
    latest = design.unique(subset="dataset", keep="first", maintain_order=True)
    keys = ["dataset", "dataset_digest"]
    return design.join(latest.select(keys), on=keys, how="semi", maintain_order="left")


def newest_rows(design: pl.DataFrame) -> pl.DataFrame:
    """Each (variant, dataset, seed) once, from the latest run that planned it, in table order."""
    keys = ["variant", "dataset", "seed"]
    latest = design.unique(subset=keys, keep="first", maintain_order=True)
    same = design.join(latest.select(*keys, "run"), on=[*keys, "run"], how="semi")
    return same.sort("position", "dataset", "seed", maintain_order=True)


def read_plans(root: Path, grid: str) -> pl.DataFrame:
    """The plan of a grid: its latest design on the newest captures, every row of it once.

    Raises:
        FileNotFoundError: if no run of the grid was planned in this store.
    """
    return newest_rows(newest_captures(read_design(root, grid)))
