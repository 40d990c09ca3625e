"""``table``, ``why`` and ``query`` as other programs call them."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest
from command_line import ROOT, call, command

FIELDS = {
    "grid", "variant", "axis", "level", "baseline", "dataset", "subset", "metric", "mean", "std",
    "n",
}  # fmt: skip


def synthetic() -> ModuleType:
    """The generator of stores, which lies beside the tests of the analysis."""
    if "synthetic" not in sys.modules:
        path = ROOT / "tests" / "analysis" / "synthetic.py"
        spec = importlib.util.spec_from_file_location("synthetic", path)
        assert spec is not None
        assert spec.loader is not None
        sys.modules["synthetic"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["synthetic"])
    return sys.modules["synthetic"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = synthetic().Store(scores=True).write(tmp_path_factory.mktemp("store"))
    return root


def test_json_without_a_kind_has_exactly_the_fields_that_others_read(store: Path) -> None:
    rows = json.loads(call("table", "g", "--store", store, "--json").stdout)
    assert all(set(row) == FIELDS for row in rows)
    assert not any("second" in row["metric"] or "bytes" in row["metric"] for row in rows)
    assert (rows[-1]["variant"], rows[-1]["axis"], rows[-1]["std"]) == ("always_attack", None, None)


def test_every_format_comes_to_standard_output(store: Path) -> None:
    arguments = ("table", "g", "--store", store, "--kind", "leaderboard", "--format")
    assert call(*arguments, "md").stdout.startswith("**sim / test_01")
    assert call(*arguments, "html").stdout.startswith("<!DOCTYPE html>")
    assert r"\toprule" in call(*arguments, "latex").stdout
    assert call(*arguments, "csv").stdout.startswith("variant,n_seeds,mean")
    content = subprocess.run(command(*arguments, "parquet"), capture_output=True, check=True).stdout
    rows = json.loads(call(*arguments, "json").stdout)
    assert pl.read_parquet(io.BytesIO(content)).to_dicts() == rows


def test_rows_that_do_not_compare_end_with_code_2(tmp_path: Path) -> None:
    made = synthetic()
    made.Store(rows=made.LOSSES, run="run-1", digest="old").write(tmp_path)
    made.Store(rows=(made.LOSSES[0], made.FLOOR_ROW), run="run-2", digest="new").write(tmp_path)
    refused = call("table", "g", "--store", tmp_path)
    assert refused.returncode == 2
    assert "its captures have changed between runs" in refused.stderr
    shown = call("table", "g", "--store", tmp_path, "--allow-mixed")
    assert shown.returncode == 0
    assert "focal ‡" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--kind", "podium"), "--kind takes metrics, ablation"),
        (("--metric", "wins"), "--metric takes f1"),
        (("--policy", "guess"), "--policy takes fixed, max_f1"),
        (("--format", "pdf"), "--format takes md, html, latex, csv, parquet, json"),
    ],
)
def test_a_wrong_word_ends_with_code_2_and_the_right_ones(
    store: Path, arguments: tuple[str, str], message: str
) -> None:
    found = call("table", "g", "--store", store, *arguments)
    assert (found.returncode, message in found.stderr) == (2, True), found.stderr


def test_a_policy_is_shown_with_its_lead_in(store: Path) -> None:
    arguments = ("--policy", "centred", "--lead-in", 3, "--subset", "test_02")
    shown = call("table", "g", "--store", store, *arguments).stdout
    assert "median_centred" in shown
    assert "3 s, 12 windows" in shown
    rows = json.loads(call("table", "g", "--store", store, "--json", *arguments).stdout)
    assert set(rows[0]) == FIELDS | {
        "policy", "lead_in_seconds", "lead_in_windows", "contamination", "saturated",
    }  # fmt: skip


def test_why_and_query_answer(store: Path) -> None:
    told = call("why", "g", "focal", "--store", store)
    assert "Difference to the baseline ce:" in told.stdout
    found = json.loads(call("why", "g", "focal", "--store", store, "--json").stdout)
    assert len(found["trials"]) == 3
    sql = "select stage, count(*) as n from trials group by stage order by stage"
    rows = json.loads(call("query", sql, "--store", store, "--json").stdout)
    assert rows[0] == {"stage": "baseline", "n": 1}
    assert call("why", "g", "nobody", "--store", store).returncode == 2
    assert call("query", "select nothing from trials", "--store", store).returncode == 2


def test_reading_loads_neither_torch_nor_ray_nor_what_it_does_not_show() -> None:
    code = (
        "import sys, graphids.commands.table, graphids.commands.why, graphids.commands.query; "
        "print({'torch', 'ray', 'scipy.stats', 'great_tables'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


STARTER = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=sys.stderr)
"""
"""Runs a command and tells the peak of its resident memory in KiB."""


@pytest.mark.slow
def test_ten_thousand_trials_fit_into_a_gibibyte(tmp_path: Path) -> None:
    made = synthetic()
    datasets = tuple(f"set_{i}" for i in range(5))
    made.Store(rows=made.many_rows(201), datasets=datasets, seeds=range(10)).write(tmp_path)
    arguments = command("table", "g", "--store", tmp_path, "--kind", "ablation", "--json")
    with (tmp_path / "out.json").open("w") as out:
        # A process inherits the peak of the one that starts it, so a small one stands between.
        between = subprocess.run(
            [sys.executable, "-c", STARTER, *map(str, arguments)],
            stdout=out, stderr=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
    assert len(json.loads((tmp_path / "out.json").read_text())) == 201 * len(datasets) * 2
    assert int(between.stderr.split()[-1]) < 2**20
