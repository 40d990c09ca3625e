"""Plans and results: the latest design counts, and each row once."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from graphids.store.results import PLAN_SCHEMA, plan_path, read_plans, write_parquet


def plan(
    run: str, design: str, rows: list[tuple[str, str, int]], digest: str = "x"
) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "grid": "g", "design": design, "run": run, "position": 0, "variant": variant,
                "axis": None, "level": None, "baseline": True, "dataset": dataset, "seed": seed,
                "dataset_digest": digest,
                "stage": "classify", "role": "row", "label": "", "upstream": [],
                "fingerprint": f"{design}-{variant}-{dataset}-{seed}-{run}",
            }
            for variant, dataset, seed in rows
        ],
        schema=PLAN_SCHEMA,
    )  # fmt: skip


def write(root: Path, frame: pl.DataFrame) -> None:
    write_parquet(plan_path(root, "g", frame["run"][0]), frame, PLAN_SCHEMA)


def test_runs_on_other_seeds_and_datasets_add_up(tmp_path: Path) -> None:
    write(tmp_path, plan("1", "d", [("a", "x", 0), ("a", "x", 1)]))
    write(tmp_path, plan("2", "d", [("a", "x", 1), ("a", "y", 0)]))
    found = read_plans(tmp_path, "g")
    assert found.select("dataset", "seed", "run").rows() == [
        ("x", 0, "1"),
        ("x", 1, "2"),
        ("y", 0, "2"),
    ]


def test_rows_of_an_older_design_do_not_mix_in(tmp_path: Path) -> None:
    write(tmp_path, plan("1", "old", [("a", "x", 0), ("b", "x", 0)]))
    write(tmp_path, plan("2", "new", [("a", "x", 0)]))
    assert read_plans(tmp_path, "g")["fingerprint"].to_list() == ["new-a-x-0-2"]


def test_rows_on_captures_that_changed_do_not_mix_in(tmp_path: Path) -> None:
    write(tmp_path, plan("1", "d", [("a", "x", 0), ("a", "y", 0)], digest="old"))
    write(tmp_path, plan("2", "d", [("a", "x", 1)], digest="new"))
    found = read_plans(tmp_path, "g")
    assert found.select("dataset", "seed").rows() == [("x", 1), ("y", 0)]


def test_an_unknown_grid_names_those_that_have_runs(tmp_path: Path) -> None:
    write(tmp_path, plan("1", "d", [("a", "x", 0)]))
    (tmp_path / "plans" / "declared").mkdir()
    (tmp_path / "plans" / "declared" / "seeds.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match=r"it has runs of: g$"):
        read_plans(tmp_path, "other")
