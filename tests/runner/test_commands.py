"""The verbs: fields that other programs read, and the smoke grid from start to table."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command_line import ROOT, call, run

from graphids.core.metrics import METRICS_VERSION
from graphids.data.logs import read_log
from graphids.store.files import sha256

PLAN_FIELDS = {
    "grid", "rows", "trials", "unique_trials", "committed", "to_run", "variants", "dropped",
    "detail",
}  # fmt: skip
DETAIL_FIELDS = {"fingerprint", "stage", "label", "dataset", "seed", "upstream"}
TABLE_FIELDS = {
    "grid", "variant", "axis", "level", "baseline", "dataset", "subset", "metric", "mean", "std",
    "n",
}  # fmt: skip
METRICS = {"f1", "mcc", "auroc", "ap", "precision", "recall", "fpr", "n_windows", "n_attacks"}


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which the smoke grid ran."""
    store = tmp_path_factory.mktemp("smoke")
    result = run(Path("smoke"), store)
    assert result.returncode == 0, result.stdout + result.stderr
    return store


def table(store: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(
        call("table", "smoke", "--store", store, "--json").stdout
    )
    return rows


def test_every_row_finds_attacks_on_known_ground(smoke: Path) -> None:
    found = {
        row["variant"]: row["mean"]
        for row in table(smoke)
        if row["subset"].startswith("test_01") and row["metric"] == "auroc"
    }
    assert [*found][:1] + [*found][-1:] == ["ce", "always_attack"]
    assert set(found) > {"ce", "focal", "vgae", "mlp", "weighted_avg", "random_forest"}
    assert found["always_attack"] == 0.5
    for row in ("ce", "focal", "vgae", "mlp", "weighted_avg"):
        assert found[row] > 0.7, found


def test_the_table_has_the_fields_that_others_read(smoke: Path) -> None:
    rows = table(smoke)
    assert all(set(row) == TABLE_FIELDS for row in rows)
    assert {row["metric"] for row in rows} == METRICS
    assert len({row["subset"] for row in rows}) == 6
    assert rows[0]["variant"] == "ce"
    assert rows[0]["baseline"] is True
    assert rows[0]["n"] == 2
    last = rows[-1]
    assert (last["variant"], last["axis"], last["level"], last["std"]) == (
        "always_attack", None, None, None,
    )  # fmt: skip


def test_a_subset_without_attacks_has_nulls_and_counts(smoke: Path) -> None:
    rows = [row for row in table(smoke) if row["subset"] == "test_05_suppress"]
    undefined = {"f1", "mcc", "auroc", "ap", "recall"}
    assert {row["mean"] for row in rows if row["metric"] in undefined} == {None}
    assert {row["mean"] for row in rows if row["metric"] == "n_attacks"} == {0.0}
    assert all(row["mean"] > 0 for row in rows if row["metric"] == "n_windows")


def test_an_output_can_be_checked_and_read_without_us(smoke: Path) -> None:
    folders = sorted((smoke / "outputs").iterdir())
    assert len(folders) == 33
    for folder in folders:
        manifest = json.loads((folder / "manifest.json").read_text())
        assert folder.name.endswith(manifest["fingerprint"][:12])
        for name, entry in manifest["files"].items():
            assert sha256(folder / name) == entry["sha256"]
        if manifest["stage"] in ("classify", "autoencode", "fuse"):
            scores = pl.read_parquet(folder / "scores.parquet")
            assert {"split", "capture", "first_message", "label", "score"} <= set(scores.columns)
            assert manifest["meta"]["threshold_rule"] == "max_f1"
            meta = manifest["meta"]
            assert 0.0 < meta["latency_p50_ms"] <= meta.get("latency_p99_ms", float("inf"))
            assert manifest["metrics_version"] == METRICS_VERSION


def test_the_plan_of_a_finished_grid_has_nothing_to_run(smoke: Path) -> None:
    plan = json.loads(call("plan", "smoke", "--store", smoke, "--json").stdout)
    assert set(plan) >= PLAN_FIELDS
    assert (plan["rows"], plan["trials"], plan["unique_trials"]) == (10, 82, 33)
    assert (plan["committed"], plan["to_run"]) == (33, 0)
    assert all(set(entry) >= DETAIL_FIELDS for entry in plan["detail"])
    assert plan["outlook"]["hours"] == 0.0
    for entry in plan["detail"]:
        assert entry["basis"] == "committed"
        assert entry["predicted_seconds"] > 0
        assert entry["predicted_bytes"] > 0
        assert entry["share"] == 1 / entry["per_device"]


def test_a_finished_trial_tells_what_was_predicted_reserved_and_measured(smoke: Path) -> None:
    manifests = [json.loads(p.read_text()) for p in smoke.glob("outputs/*/manifest.json")]
    for found in manifests:
        assert 0 < found["peak_bytes"] < found["reserved_bytes"]
        assert found["attempts"] == 1
        assert found["holds"] is None
        if found["stage"] in ("autoencode", "classify", "extract"):
            assert found["predicted_bytes"] > 0
            assert found["predicted_seconds"] > 0


def test_a_grid_grows_by_what_is_new_alone(smoke: Path) -> None:
    plan = json.loads(call("plan", "smoke", "--seeds", "0-2", "--store", smoke, "--json").stdout)
    assert (plan["committed"], plan["to_run"]) == (33, 9)
    heads = ("--set", "classify.model.heads=8", "--no-probe")
    changed = call("plan", "smoke", *heads, "--store", smoke, "--json")
    # Autoencoders with their analyses, simple detectors and prepared data do not depend on the
    # classifier's heads.
    assert json.loads(changed.stdout)["committed"] == 3 + 14 + 2


def test_formats_come_to_standard_output(smoke: Path) -> None:
    markdown = call("table", "smoke", "--store", smoke, "--format", "md").stdout
    assert "| ce (baseline)" in markdown
    assert "n/a" in markdown
    text = call("table", "smoke", "--store", smoke, "--format", "csv").stdout
    assert (
        text.splitlines()[0] == "grid,variant,axis,level,baseline,dataset,subset,metric,mean,std,n"
    )
    assert len(text.splitlines()) == len(table(smoke)) + 1


def test_plan_names_missing_folders_of_a_real_dataset(tmp_path: Path) -> None:
    found = call("plan", "first", "--data", tmp_path, "--store", tmp_path / "store")
    assert found.returncode == 2
    assert "hcrl_sa" in found.stderr
    folder = tmp_path / "hcrl_sa" / "train_01_attack_free"
    folder.mkdir(parents=True)
    found = call("plan", "first", "--data", tmp_path, "--store", tmp_path / "store")
    assert found.returncode == 2
    assert "train_02_with_attacks" in found.stderr


def test_list_names_the_question_of_each_grid() -> None:
    listed = call("list").stdout
    for question in (r"smoke +Does the whole chain work here\?", "first +How far do a GAT"):
        assert re.search(f"^{question}", listed, re.MULTILINE), question


def test_simulated_files_are_a_dataset_like_any_other(tmp_path: Path) -> None:
    assert call("simulate", "--out", tmp_path).returncode == 0
    files = sorted(tmp_path.glob("sim_small/*/*.csv.gz"))
    assert sum(read_log(path).height for path in files) > 150_000
    (tmp_path / "sim_small").rename(tmp_path / "mine")
    mine = ("--data", tmp_path, "--datasets", "mine", "--no-probe")
    plan = call("plan", "smoke", *mine, "--store", tmp_path / "s")
    assert plan.returncode == 0, plan.stderr


def test_paths_are_absolute_wherever_the_command_runs(tmp_path: Path) -> None:
    """A relative store must not depend on where a worker stands."""
    found = call("run", "smoke", "--dry-run", "--store", "some/where")
    assert f"Store: {Path.cwd() / 'some/where'}" in found.stdout
    assert not (ROOT / "some").exists()
