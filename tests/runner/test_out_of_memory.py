"""Trials that run out of memory: tried again with more, at most twice, neighbours untouched."""

from __future__ import annotations

import json
import random
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from command_line import run, status
from ray.tune.search import Searcher
from safetensors.torch import load_file

from graphids.commands.loading import load_grid, plan_grid
from graphids.runner.forecast import Forecast
from graphids.runner.jobs import Job, Knowledge
from graphids.runner.packing import GIB, MOST_RETRIES, Device
from graphids.runner.plan import Plan
from graphids.runner.reservation import Reservations
from graphids.runner.search import ReadyTrials
from graphids.store.ledger import Ledger
from graphids.store.outputs import OutputStore

HUNGRY_GRID = Path(__file__).with_name("hungry_grid.py")
MESSAGE = "OutOfMemoryError: a trial that took more than its share"


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The hungry grid, for tests that look at decisions alone."""
    return plan_grid(load_grid(str(HUNGRY_GRID)), None, tmp_path_factory.mktemp("planned"))


@dataclass(frozen=True)
class Finished:
    """A run of the hungry grid."""

    store: Path
    marks: Path
    result: subprocess.CompletedProcess[str]

    def events(self, row: str) -> list[dict[str, Any]]:
        """What the ledger tells of the last trial of a row, in order."""
        events = Ledger(self.store).events()
        return [event for event in events if event.get("label", "").split(" ")[1:2] == [row]]

    def output(self, row: str) -> Path:
        """Folder of what the last trial of a row handed on."""
        (folder,) = self.store.glob(f"outputs/*-{row}-sim_small-*")
        return folder

    def manifest(self, row: str) -> dict[str, Any]:
        """What was written down of that output."""
        found: dict[str, Any] = json.loads((self.output(row) / "manifest.json").read_text())
        return found

    def attempts(self, row: str) -> int:
        """How often the last trial of a row began, as it counted itself."""
        (fingerprint,) = {event["fingerprint"] for event in self.events(row)}
        return (self.marks / fingerprint[:12]).stat().st_size


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The one run behind the tests of outputs and of the ledger."""
    store, marks = tmp_path_factory.mktemp("store"), tmp_path_factory.mktemp("marks")
    return Finished(store, marks, run(HUNGRY_GRID, store, "--set", f"eat.marks={marks}"))


def test_the_grid_goes_on_and_what_always_fails_becomes_a_failed_row(finished: Finished) -> None:
    assert finished.result.returncode == 1, finished.result.stdout + finished.result.stderr
    found = status(HUNGRY_GRID, finished.store)
    # 100, 200, 300, twice and after_twice; always; after_always.
    assert found["states"] == {"done": 5, "running": 0, "pending": 0, "failed": 1, "skipped": 1}
    (failure,) = found["failures"]
    assert (failure["kind"], failure["error"]) == ("oom", MESSAGE)
    assert finished.attempts("always") == MOST_RETRIES + 1
    assert [e["event"] for e in finished.events("always")] == [
        "started", "rescheduled", "started", "rescheduled", "started", "failed",
    ]  # fmt: skip


def test_a_trial_comes_back_with_a_larger_share_and_its_history_is_kept(
    finished: Finished,
) -> None:
    manifest, events = finished.manifest("twice"), finished.events("twice")
    assert finished.attempts("twice") == manifest["attempts"] == 3
    assert [event["event"] for event in events] == [
        "started", "rescheduled", "started", "rescheduled", "started", "done",
    ]  # fmt: skip
    again = [event for event in events if event["event"] == "rescheduled"]
    assert [(event["attempt"], event["error"]) for event in again] == [(1, MESSAGE), (2, MESSAGE)]
    reserved = [event["reserved"]["reserved_bytes"] for event in again]
    most = manifest["reserved_bytes"]
    had_all = [event["reserved"]["reserved_bytes"] == most for event in again]
    for before, after, whole in zip(
        reserved, [*reserved[1:], manifest["reserved_bytes"]], had_all, strict=True
    ):
        assert after > before or (whole and after == before)


@pytest.mark.parametrize("row", ["100", "200", "300"])
def test_neighbours_run_once_and_hand_on_what_they_would_alone(
    finished: Finished, plan: Plan, row: str
) -> None:
    trial = next(trial for trial in plan.trials.values() if trial.label.split(" ")[1] == row)
    alone = cast("Any", trial.stage).numbers(trial.seed)
    found = load_file(finished.output(row) / "numbers.safetensors")["x"]
    assert torch.equal(found, alone)
    assert finished.manifest(row)["attempts"] == finished.attempts(row) == 1
    assert [event["event"] for event in finished.events(row)] == ["started", "done"]


def test_more_cores_than_there_are_end_a_run_before_it_starts(tmp_path: Path) -> None:
    result = run(HUNGRY_GRID, tmp_path, "--set", "eat.cpus=1000")
    assert result.returncode == 2, result.stdout + result.stderr
    assert "fit no device of this cluster" in result.stderr
    assert "needs 1000 cores, and a node has" in result.stderr
    assert "Traceback" not in result.stderr
    assert not {event["event"] for event in Ledger(tmp_path).events()} & {"started", "done"}


@pytest.mark.parametrize("seed", range(20))
def test_every_hungry_trial_has_its_attempts_whoever_else_runs(plan: Plan, seed: int) -> None:
    """Jobs end in any order, and the searcher is asked no more once it has said FINISHED."""
    rng = random.Random(seed)
    failures = {key: rng.choice([0, 0, 1, 2, 3]) for key in plan.trials}
    begun: Counter[str] = Counter()
    knowledge = Knowledge(
        is_committed=lambda key: begun[key] > failures[key],
        failure=lambda key: {"kind": rng.choice(["oom", "died"])},
    )
    search = ReadyTrials(plan, (), plan.trials, knowledge)
    drive(search, begun, rng, slots=rng.randint(1, 4))
    doomed = {key for key, times in failures.items() if times > MOST_RETRIES}
    behind = {k for k, t in plan.trials.items() if set(t.upstream.values()) & doomed}
    assert search.failed == doomed - behind
    assert search.skipped == behind
    assert search.done == set(plan.trials) - doomed - behind
    for key in set(plan.trials) - behind:
        assert begun[key] == min(failures[key], MOST_RETRIES) + 1


def drive(search: ReadyTrials, begun: Counter[str], rng: random.Random, *, slots: int) -> None:
    """Fills slots until the searcher has finished, and ends running jobs at random."""
    names, asked = count(), True
    while asked or search.running:
        while asked and len(search.running) < slots:
            found = search.suggest(f"t{next(names)}")
            if found is None:
                break
            asked = found != Searcher.FINISHED
            if isinstance(found, dict):
                begun.update(found["fingerprints"])
        if search.running:
            ended = rng.choice(list(search.running))
            keys = search.running[ended].keys
            failed = not all(search.knowledge.is_committed(key) for key in keys)
            search.on_trial_complete(ended, error=failed)


def test_attempts_count_where_the_probe_of_a_shape_failed(plan: Plan) -> None:
    """A probe of what is too large fails as well, and the trial runs on an estimate."""
    key = next(iter(plan.trials))
    knowledge = Knowledge(unmeasured=lambda key: key, failure=lambda key: {"kind": "oom"})
    search = ReadyTrials(plan, (), [key], knowledge)
    found = []
    for name in "abcd":
        found.append(cast("Mapping[str, Any]", search.suggest(name)))
        search.on_trial_complete(name, error=True)
    assert [bool(config["probe"]) for config in found] == [True, False, False, False]
    assert [config["attempt"] for config in found[1:]] == [0, 1, 2]


@pytest.mark.parametrize("cores", [1, 2, 5, 16])
@pytest.mark.parametrize("total", [1 * GIB, 4 * GIB, 13 * GIB, 80 * GIB])
@pytest.mark.parametrize("accelerated", [False, True])
def test_each_attempt_has_a_larger_share_until_it_is_alone(
    plan: Plan, tmp_path: Path, accelerated: bool, total: int, cores: int
) -> None:
    """Also where cores allow no more trials, and where a share was rounded up before."""
    device = Device(
        name="a device",
        accelerated=accelerated,
        total_bytes=total,
        cores=cores,
        process_bytes=500 * 2**20,
    )
    reservations = Reservations(Forecast(plan, OutputStore(tmp_path), device))
    key = next(iter(plan.trials))
    found = [
        reservations.config(Job(keys=(key,), label="eat", attempt=attempt))["reserved"]
        for attempt in range(MOST_RETRIES + 1)
    ]
    for before, after in pairwise(found):
        whole = before["reserved_bytes"] == total
        assert whole or after["reserved_bytes"] > before["reserved_bytes"]
        assert after["reserved_bytes"] >= before["reserved_bytes"]
    assert found[-1]["reserved_bytes"] == total
