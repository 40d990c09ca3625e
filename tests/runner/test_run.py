"""Whole runs, as a user starts them: dataflow, failures, kills, a second driver, a second run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from command_line import call, command, run, status, times

from graphids.store.ledger import Ledger

OWN_GRID = Path(__file__).with_name("own_grid.py")


def variant_of(text: str, tmp_path: Path, name: str = "small.py") -> Path:
    """The own grid with its variants replaced by ``text``."""
    source = OWN_GRID.read_text()
    head = source[: source.index("GRID = Grid(")]
    path = tmp_path / name
    path.write_text(
        f'{head}\nGRID = Grid(name="small", variants=({text}), '
        'datasets=("sim_small",), seeds=(0, 1))\n'
    )
    return path


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A store in which the own grid ran once."""
    store = tmp_path_factory.mktemp("store")
    return store, run(OWN_GRID, store)


def test_failures_become_rows_and_the_rest_goes_on(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    store, result = finished
    assert result.returncode == 1, result.stdout + result.stderr
    found = status(OWN_GRID, store)
    # prepare; add 0.0, 0.3, 1.5 and double; bug and nan fail, after_bug is skipped.
    assert found["states"] == {"done": 5, "running": 0, "pending": 0, "failed": 2, "skipped": 1}
    assert sorted(failure["kind"] for failure in found["failures"]) == ["bug", "nan"]
    assert "KeyError: 'a stage that raises'" in result.stdout
    assert "bug on sim_small, seed 0: failed: KeyError" in result.stdout
    assert (
        "nan on sim_small, seed 0: failed: FloatingPointError: train_loss is nan" in result.stdout
    )
    assert "after_bug on sim_small, seed 0: skipped: upstream failed" in result.stdout


def test_outputs_reach_later_stages_through_one_read_a_node(
    finished: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    store, _ = finished
    (event,) = [e for e in Ledger(store).events() if e["event"] == "handoffs"]
    assert event["reads"], "no output went through the object store"
    assert set(event["reads"].values()) == {1}
    doubled = [
        json.loads(p.read_text())["meta"]
        for p in store.glob("outputs/double-doubled-*/manifest.json")
    ]
    assert len(doubled) == 1


def test_the_grid_is_a_dataflow_and_a_second_run_trains_nothing(tmp_path: Path) -> None:
    rows = (
        "*one_at_a_time(BASELINE, Axis.of('seconds', 0.0, 0.1)),"
        "Variant(name='doubled', stage=Double(add=BASELINE)),"
    )
    grid, store = variant_of(rows, tmp_path), tmp_path / "store"
    first = run(grid, store)
    assert first.returncode == 0, first.stdout + first.stderr
    spans = times(store)
    starts = [spans[f"double doubled sim_small seed {seed}"][0] for seed in (0, 1)]
    inputs_there = [spans[f"add 0.0 sim_small seed {seed}"][1] for seed in (0, 1)]
    others_end = max(spans[f"add 0.1 sim_small seed {seed}"][1] for seed in (0, 1))
    assert all(there <= start for there, start in zip(inputs_there, starts, strict=True))
    assert min(starts) < others_end, "it waited for trials that it does not read"
    before = {p: p.stat().st_mtime_ns for p in store.rglob("outputs/*/*")}
    again = run(grid, store)
    assert again.returncode == 0
    assert {p: p.stat().st_mtime_ns for p in store.rglob("outputs/*/*")} == before
    assert "7 committed, 0 to run" in again.stdout
    assert "Ray:" not in again.stdout, "a run with nothing to do starts no Ray"


def test_only_failed_runs_just_those(tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    flag.touch()
    rows = (
        "Variant(name='good', stage=Add(), baseline=True),"
        f"Variant(name='bad', stage=Add(fault='file:{flag}')),"
        f"Variant(name='behind', stage=Double(add=Add(fault='file:{flag}'))),"
    )
    grid, store = variant_of(rows, tmp_path), tmp_path / "store"
    assert run(grid, store).returncode == 1
    before = times(store)
    flag.unlink()
    result = run(grid, store, "--only", "failed")
    assert result.returncode == 0, result.stdout + result.stderr
    new = set(times(store)) - set(before)
    assert new == {
        f"{name} sim_small seed {s}" for name in ("add bad", "double behind") for s in (0, 1)
    }
    assert status(grid, store)["failures"] == []


def test_kill_and_restart_repeats_nothing_and_ends_in_the_same_table(tmp_path: Path) -> None:
    rows = "*one_at_a_time(BASELINE, Axis.of('seconds', 0.0, 0.5, 1.0, 1.5, 2.0, 2.5)),"
    grid = variant_of(rows, tmp_path)
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    assert run(grid, undisturbed).returncode == 0
    driver = subprocess.Popen(
        command("run", grid, "--store", killed, "--no-dashboard", "--verbose", 0),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    wait_for(lambda: len(times(killed)) >= 4 or driver.poll() is not None)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    before = {p: p.read_text() for p in killed.glob("outputs/*/manifest.json")}
    assert 4 <= len(before) < 13
    assert run(grid, killed).returncode == 0
    assert {p: p.read_text() for p in before} == before, "a committed trial was written again"
    tables = [call("table", grid, "--store", s, "--json").stdout for s in (undisturbed, killed)]
    assert tables[0] == tables[1]
    assert json.loads(tables[0])


def test_a_second_driver_is_refused_with_the_holder_named(tmp_path: Path) -> None:
    rows = "*one_at_a_time(BASELINE, Axis.of('seconds', 0.0, 40.0)),"
    grid, store = variant_of(rows, tmp_path), tmp_path / "store"
    driver = subprocess.Popen(
        command("run", grid, "--store", store, "--no-dashboard", "--verbose", 0),
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: started_one_of(store, "add 40.0") or driver.poll() is not None)
        assert status(grid, store)["states"]["running"] >= 1
        refused = run(grid, store)
        assert refused.returncode == 5
        assert f"process {driver.pid}" in refused.stderr
    finally:
        driver.send_signal(signal.SIGTERM)
        code = driver.wait(timeout=60)
    assert code == 143
    quick = variant_of("*one_at_a_time(BASELINE, Axis.of('seconds', 0.0)),", tmp_path, "quick.py")
    assert run(quick, store).returncode == 0, "the store is free after SIGTERM"


def started_one_of(store: Path, label: str) -> bool:
    """Whether the ledger tells of a started trial whose label begins so."""
    events = Ledger(store).events()
    return any(e["event"] == "started" and e["label"].startswith(label) for e in events)


def wait_for(condition: Any, seconds: float = 90.0) -> None:
    """Waits until a condition holds; a run that never gets there fails the assertion after it."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("plan", "smok"), "did you mean 'smoke'"),
        (("plan", "smoke", "--set", "classify.model.cnov=gat"), "did you mean 'conv'"),
        (("plan", "smoke", "--set", "classify.fit.max_epochs=many"), "valid integer"),
        (("plan", "smoke", "--set", "clasify.loss=ce"), "it has attention, autoencode"),
        (("plan", "smoke", "--seeds", "a-b"), "--seeds takes"),
        (("plan", "smoke", "--datasets", "nowhere"), "nowhere"),
        (("plan", "first", "--datasets", "hcrl_sa"), "--data"),
        (("table", "never_run"), "no run of grid 'never_run'"),
        (("run", "missing.py"), "missing.py"),
    ],
)
def test_bad_requests_end_with_code_2_and_the_way_out(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    found = call(*arguments, "--store", tmp_path)
    assert found.returncode == 2
    assert message in found.stderr
    assert "Traceback" not in found.stderr
