"""The table: statistics over seeds, rows that failed, the floor, and formats that agree."""

from __future__ import annotations

import csv
import io
import json
import statistics
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from analysis.render import to_csv, to_json, to_markdown
from analysis.tables import COLUMNS, METRICS, AblationTable, ablation_table
from graphids.grid.grid import FLOOR
from graphids.store.ledger import Ledger
from graphids.store.outputs import DamagedOutputError, OutputStore
from graphids.store.results import (
    METRICS_FILE,
    METRICS_SCHEMA,
    PLAN_SCHEMA,
    metric_rows,
    plan_path,
    write_parquet,
)

SUBSETS = ("test_01_known", "test_02_suppress")
F1 = {("ce", 0): 0.9, ("ce", 1): 0.7, ("focal", 0): 0.8}


def key(name: str, seed: int | None = None) -> str:
    return f"{name}{seed}".encode().hex().ljust(64, "0")


def plan_rows() -> list[dict[str, Any]]:
    rows = []
    for position, variant in enumerate(("ce", "focal", "mlp", FLOOR)):
        for seed in (0, 1):
            outside = variant in ("mlp", FLOOR)
            common = {
                "grid": "g", "design": "d", "run": "r", "position": position, "variant": variant,
                "axis": None if outside else "loss", "level": None if outside else variant,
                "aliases": ["none"] if variant == "ce" else [], "baseline": variant == "ce",
                "dataset": "sim", "dataset_digest": "x",
                "seed": seed, "label": "",
            }  # fmt: skip
            rows.append({**common, "stage": "prepare", "role": "upstream", "upstream": [],
                         "fingerprint": key("prepare")})  # fmt: skip
            if variant == "mlp":
                rows.append({**common, "stage": "classify", "role": "upstream",
                             "upstream": [key("prepare")],
                             "fingerprint": key("focal", 1)})  # fmt: skip
            own = {"stage": "classify", "role": "row", "fingerprint": key(variant, seed)}
            if variant == FLOOR:
                own = {"stage": "baseline", "role": "reference", "fingerprint": key(FLOOR)}
            rows.append({**common, **own, "upstream": []})
    return rows


def commit(store: OutputStore, fingerprint: str, values: dict[str, float | None]) -> Path:
    folder = store.begin(fingerprint)
    rows = [row for subset in SUBSETS for row in metric_rows(fingerprint, subset, values)]
    rows += metric_rows(fingerprint, "validation", {"f1": 0.123})
    rows += metric_rows(fingerprint, SUBSETS[0], {"auroc": 0.456}, attack="dos")
    write_parquet(folder / METRICS_FILE, pl.DataFrame(rows, schema=METRICS_SCHEMA), METRICS_SCHEMA)
    return store.commit(folder, fingerprint, "label", {})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    store = OutputStore(tmp_path)
    write_parquet(
        plan_path(tmp_path, "g", "r"), pl.DataFrame(plan_rows(), schema=PLAN_SCHEMA), PLAN_SCHEMA
    )
    counts = {"n_windows": 70.0, "n_attacks": 20.0}
    commit(store, key("prepare"), {})
    commit(store, key(FLOOR), {"f1": 0.44, "mcc": None, **counts})
    for (variant, seed), value in F1.items():
        commit(store, key(variant, seed), {"f1": value, "mcc": None, **counts})
    Ledger(tmp_path).fail(key("focal", 1), {"kind": "nan", "error": "loss is nan", "label": "x"})
    return tmp_path


def cell(
    table: AblationTable, variant: str, metric: str, subset: str = SUBSETS[0]
) -> dict[str, Any]:
    (found,) = table.rows.filter(variant=variant, metric=metric, subset=subset).to_dicts()
    return found


def test_mean_and_deviation_over_seeds(root: Path) -> None:
    table = ablation_table(root, "g")
    values = [F1["ce", 0], F1["ce", 1]]
    found = cell(table, "ce", "f1")
    assert found["mean"] == pytest.approx(statistics.mean(values))
    assert found["std"] == pytest.approx(statistics.stdev(values))
    assert (found["n"], found["baseline"], found["axis"]) == (2, True, "loss")


def test_one_seed_has_no_deviation_and_undefined_stays_null(root: Path) -> None:
    table = ablation_table(root, "g")
    assert (cell(table, "focal", "f1")["std"], cell(table, "focal", "f1")["n"]) == (None, 1)
    assert (cell(table, "ce", "mcc")["mean"], cell(table, "ce", "mcc")["n"]) == (None, 0)


def test_validation_and_per_attack_values_stay_out(root: Path) -> None:
    table = ablation_table(root, "g")
    assert set(table.rows["subset"]) == set(SUBSETS)
    assert 0.123 not in table.rows["mean"].to_list()
    assert 0.456 not in table.rows["mean"].to_list()


def test_every_row_stands_on_every_subset_baseline_first_floor_last(root: Path) -> None:
    rows = ablation_table(root, "g").rows
    assert tuple(rows.columns) == COLUMNS
    for subset in SUBSETS:
        names = rows.filter(subset=subset, metric="f1")["variant"].to_list()
        assert names == ["ce", "focal", "mlp", FLOOR]
    assert rows.height == len(SUBSETS) * 4 * len(METRICS)
    floor = cell(ablation_table(root, "g"), FLOOR, "f1")
    assert (floor["mean"], floor["std"], floor["axis"], floor["level"]) == (0.44, None, None, None)


def test_what_is_missing_is_told_with_its_reason(root: Path) -> None:
    table = ablation_table(root, "g")
    assert cell(table, "mlp", "f1")["n"] == 0
    assert table.notes == (
        "ce is also none: equal settings, one training",
        "focal on sim, seed 1: failed: loss is nan",
        "mlp on sim, seed 0: skipped: upstream failed",
        "mlp on sim, seed 1: skipped: upstream failed",
    )


def test_formats_agree_with_the_table(root: Path) -> None:
    table = ablation_table(root, "g")
    assert json.loads(to_json(table)) == table.rows.to_dicts()
    read = list(csv.DictReader(io.StringIO(to_csv(table))))
    for text, row in zip(read, table.rows.to_dicts(), strict=True):
        assert text["variant"] == row["variant"]
        assert (float(text["mean"]) if text["mean"] else None) == row["mean"]
    markdown = to_markdown(table)
    assert "| ce (baseline) | 0.8000 ± 0.1414 | n/a |" in markdown
    assert "70 windows, 20 attacks" in markdown


def test_a_grid_without_a_floor_still_has_its_rows(root: Path) -> None:
    path = plan_path(root, "g", "r")
    plan = pl.read_parquet(path).filter(pl.col("variant") != FLOOR)
    write_parquet(path, plan, PLAN_SCHEMA)
    table = ablation_table(root, "g")
    assert cell(table, "ce", "f1")["n"] == 2
    assert "70 windows" in to_markdown(table)


def test_rows_on_other_windows_than_the_floor_are_told(root: Path) -> None:
    """An axis of the windowing tests each level on its own windows: they do not pair."""
    commit(OutputStore(root), key("focal", 1), {"f1": 0.8, "n_windows": 35.0})
    table = ablation_table(root, "g")
    assert cell(table, FLOOR, "n_windows")["mean"] == 70.0
    assert any(note.startswith(f"focal on sim / {SUBSETS[0]}: ") for note in table.notes)


def test_a_reference_that_all_seeds_share_counts_once(root: Path) -> None:
    floor = cell(ablation_table(root, "g"), FLOOR, "n_windows")
    assert (floor["n"], floor["std"]) == (1, None)


def test_a_metric_undefined_in_one_seed_shows_its_own_count(root: Path) -> None:
    commit(OutputStore(root), key("focal", 1), {"f1": None, "n_windows": 70.0, "n_attacks": 20.0})
    assert "| focal | 0.8000 (n=1) |" in to_markdown(ablation_table(root, "g"))


def test_a_damaged_metrics_file_is_refused(root: Path) -> None:
    folder = OutputStore(root).find(key("ce", 0))
    assert folder is not None
    content = bytearray((folder / METRICS_FILE).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / METRICS_FILE).write_bytes(content)
    with pytest.raises(DamagedOutputError, match="does not match its manifest"):
        ablation_table(root, "g")
