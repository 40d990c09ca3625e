"""What the rows of a table were trained and tested on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from analysis.tables.study import Study
from analysis.tables.table import Table
from graphids.grid.grid import FLOOR

TRAIN = "train"
CAPTURES = "captures"
SCHEMA: dict[str, Any] = {
    "dataset": pl.String,
    "subset": pl.String,
    "captures": pl.Int64,
    "messages": pl.Int64,
    "windows": pl.Int64,
    "attack_windows": pl.Int64,
    "attack_ratio": pl.Float64,
    "attacks": pl.List(pl.String),
    "num_ids": pl.Int64,
    "always_attack_f1": pl.Float64,
    "digest": pl.String,
}


def dataset_summary(study: Study, cells: pl.DataFrame) -> Table:
    """Training captures and each test subset of every prepared data set.

    Columns: ``SCHEMA``. ``messages`` are those that were kept of the captures; ``attack_ratio`` is
    the share of attack windows, and ``always_attack_f1`` what flagging every window reaches;
    ``attack_windows`` and ``attacks`` are of test subsets, where rows have been tested.
    """
    keys = study.rows.drop_nulls("prepare").unique(["dataset", "prepare"], maintain_order=True)
    prepared = study.more_manifests(keys["prepare"])
    records = [
        record
        for dataset, key in keys.select("dataset", "prepare").iter_rows()
        if key in prepared
        for record in _summary(study, cells, dataset, key, prepared[key])
    ]
    found = pl.DataFrame(records, schema=SCHEMA).sort("dataset", maintain_order=True)
    notes = []
    if found.select("dataset", "subset").is_duplicated().any():
        notes.append("a data set stands here once for each way in which the grid prepares it")
    notes += [f"{told['dataset']}: {note}" for told in prepared.values() for note in _notes(told)]
    return Table(kind="dataset_summary", frame=found, notes=tuple(notes))


def _summary(
    study: Study, cells: pl.DataFrame, dataset: str, key: str, manifest: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """The training captures and each test subset of one prepared data set."""
    meta = manifest["meta"]
    tested = cells.filter(dataset=dataset, prepare=key).drop_nulls("n_windows")
    floor = cells.filter(dataset=dataset, prepare=key, variant=FLOOR)
    attacks = study.metrics.filter(pl.col("attack") != "all")
    own = attacks.filter(pl.col("fingerprint").is_in(tested["fingerprint"].unique().to_list()))
    for subset, names in meta.get("captures", {}).items():
        if subset != TRAIN and not subset.startswith(study.asked.subset or ""):
            continue
        rows = tested.filter(subset=subset)
        windows = None if rows.is_empty() else int(rows["n_windows"][0])
        found = None if rows.is_empty() else int(rows["n_attacks"][0])
        if subset == TRAIN:
            parts = meta.get("sizes", {}).get("parts", {})
            windows = parts.get(CAPTURES, {}).get("graphs")
        yield {
            "dataset": dataset,
            "subset": subset,
            "captures": len(names),
            "messages": _kept(meta.get("rows", {}), names),
            "windows": windows,
            "attack_windows": found,
            "attack_ratio": found / windows if windows and found is not None else None,
            "attacks": own.filter(split=subset)["attack"].unique().sort().to_list(),
            "num_ids": meta.get("num_ids") if subset == TRAIN else None,
            "always_attack_f1": floor.filter(subset=subset)["f1"].mean(),
            "digest": str(manifest["dataset_digest"])[:12],
        }


def _kept(rows: Mapping[str, Mapping[str, int]], names: list[str]) -> int | None:
    """Messages of some captures that were kept; none where one is not told."""
    return sum(rows[name]["kept"] for name in names) if set(names) <= set(rows) else None


def _notes(manifest: Mapping[str, Any]) -> list[str]:
    """What a prepared data set says of itself."""
    return list(manifest["meta"].get("notes", []))
