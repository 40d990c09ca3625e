"""Metrics of another version: computed again from scores, or refused where there are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from synthetic import FLOOR_ROW, LOSSES, Store

from analysis.tables import KINDS, MixedRowsError, make_table
from graphids.core.metrics import METRICS_VERSION
from graphids.store.files import sha256
from graphids.store.outputs import DamagedOutputError
from graphids.store.results import METRICS_FILE, SCORES_FILE

OLDER = METRICS_VERSION - 1
COST = "cost"


def aged(root: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Changes the manifests of tabulated trials, and all of their metrics to other values."""
    for path in root.glob("outputs/*/manifest.json"):
        told = json.loads(path.read_text())
        if METRICS_FILE not in told["files"]:
            continue
        change(told)
        metrics = path.parent / METRICS_FILE
        pl.read_parquet(metrics).with_columns(pl.col("value") / 2).write_parquet(metrics)
        told["files"][METRICS_FILE]["sha256"] = sha256(metrics)
        path.write_text(json.dumps(told))
    return root


def with_version(version: int | None) -> Callable[[dict[str, Any]], object]:
    if version is None:
        return lambda told: told.pop("metrics_version")
    return lambda told: told.update(metrics_version=version)


@pytest.mark.parametrize("version", [OLDER, None], ids=["older", "none"])
def test_results_of_an_older_version_give_the_same_tables(
    version: int | None, tmp_path: Path
) -> None:
    subsets = ("test_01_known", "test_02_unknown_vehicle", "test_05_suppress")
    made = Store(scores=True, subsets=subsets)
    new = made.write(tmp_path / "new")
    old = aged(made.write(tmp_path / "old"), with_version(version))
    for kind in KINDS:
        theirs, ours = (make_table(root, "g", kind.name) for root in (new, old))
        assert ours.frame.equals(theirs.frame), kind.name
        (note,) = set(ours.notes) - set(theirs.notes)
        assert note.startswith("metrics: of 13 trials, tabulated by ")
        assert f"again from the stored scores by version {METRICS_VERSION}" in note


def test_metrics_of_the_present_version_are_read_and_not_computed(tmp_path: Path) -> None:
    made = Store(scores=True)
    new, changed = made.write(tmp_path / "new"), made.write(tmp_path / "changed")
    aged(changed, lambda told: None)
    tables = [make_table(root, "g", "metrics") for root in (new, changed)]
    assert not tables[0].frame.equals(tables[1].frame)
    assert tables[0].notes == tables[1].notes


def test_one_older_trial_among_new_ones_is_computed_again(tmp_path: Path) -> None:
    made = Store(scores=True)
    plain = make_table(made.write(tmp_path / "new"), "g", "ablation").frame
    focal = replace(LOSSES[1], manifest={"metrics_version": OLDER})
    mixed = Store(scores=True, rows=(LOSSES[0], focal, *LOSSES[2:])).write(tmp_path / "mixed")
    assert make_table(mixed, "g", "ablation").frame.equals(plain)


@pytest.mark.parametrize("version", [OLDER, None, METRICS_VERSION + 1])
def test_another_version_without_scores_is_refused_by_name(
    version: int | None, tmp_path: Path
) -> None:
    focal = replace(LOSSES[1], manifest={"metrics_version": version})
    root = Store(rows=(LOSSES[0], focal, FLOOR_ROW)).write(tmp_path)
    told = "an unknown version" if version is None else f"version {version}"
    with pytest.raises(MixedRowsError, match=f"focal on sim has metrics of {told}.*ce has metrics"):
        make_table(root, "g", "ablation")
    assert make_table(root, "g", COST).frame.height == 3


def test_results_that_all_lack_scores_and_a_version_compare(tmp_path: Path) -> None:
    rows = tuple(replace(row, manifest={"metrics_version": None}) for row in LOSSES)
    table = make_table(Store(rows=rows).write(tmp_path), "g", "ablation")
    assert "mixed" not in table.frame.columns


def test_damaged_scores_are_not_computed_from(tmp_path: Path) -> None:
    root = aged(Store(scores=True).write(tmp_path), with_version(OLDER))
    path = next(root.glob(f"outputs/classify-*/{SCORES_FILE}"))
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(DamagedOutputError, match="does not match its manifest"):
        make_table(root, "g", "ablation")
