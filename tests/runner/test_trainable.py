"""What kind of failure it was; a store that is lost or full ends a run."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import torch

from graphids.runner import execute as execution
from graphids.runner.expansion import make_plan
from graphids.runner.jobs import Knowledge
from graphids.runner.plan import DatasetInfo
from graphids.runner.progress import Progress, clock
from graphids.runner.search import MOST_RETRIES, ReadyTrials
from graphids.runner.trainable import failure_kind
from graphids.store.lease import Lease, LeaseLostError
from graphids.store.ledger import Ledger
from grids.smoke import GRID


def chained(cause: BaseException) -> BaseException:
    try:
        try:
            raise cause
        except BaseException as inner:
            raise RuntimeError("while writing the scores") from inner
    except RuntimeError as outer:
        return outer


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (KeyError("x"), "bug"),
        (FloatingPointError("loss is nan"), "nan"),
        (torch.OutOfMemoryError("CUDA out of memory"), "oom"),
        (MemoryError(), "oom"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk"),
        (chained(OSError(errno.ENOSPC, "No space left on device")), "disk"),
        (pl.exceptions.ComputeError("No space left on device (os error 28)"), "disk"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk"),
        (OSError(errno.EACCES, "Permission denied"), "bug"),
        (LeaseLostError("taken"), "lease"),
    ],
)
def test_a_failure_is_told_by_its_kind(error: BaseException, kind: str) -> None:
    assert failure_kind(error) == kind


@pytest.fixture
def search() -> ReadyTrials:
    plan = make_plan(GRID, [DatasetInfo(name="sim_small", digest="d" * 64)], None)
    return ReadyTrials(plan, (), plan.trials)


def trial_of(search: ReadyTrials) -> SimpleNamespace:
    found = search.suggest("a")
    assert isinstance(found, dict)
    return SimpleNamespace(config=found, trial_id="a")


def progress(search: ReadyTrials, root: Path, fencing: int) -> Progress:
    search.knowledge = Knowledge(failure=Ledger(root).failure)
    return Progress(Ledger(root), "run", fencing, search, dict.fromkeys(search.plan.trials, 1.0))


def test_a_worker_without_an_account_is_told_as_died(search: ReadyTrials, tmp_path: Path) -> None:
    with Lease(tmp_path, "run") as lease:
        trial = trial_of(search)
        search.attempts[trial.config["fingerprints"][0]] = MOST_RETRIES
        progress(search, tmp_path, lease.fencing).on_trial_error(0, [], trial)
    failure = Ledger(tmp_path).failure(trial.config["fingerprints"][0])
    assert failure is not None
    assert failure["kind"] == "died"
    assert search.stopped is None


def test_a_trial_out_of_memory_is_queued_again_and_its_history_kept(
    search: ReadyTrials, tmp_path: Path
) -> None:
    ledger = Ledger(tmp_path)
    with Lease(tmp_path, "run") as lease:
        trial = trial_of(search)
        key = trial.config["fingerprints"][0]
        ledger.fail(key, {"label": "x", "kind": "oom", "error": "OutOfMemoryError: 3 GiB"})
        progress(search, tmp_path, lease.fencing).on_trial_error(0, [], trial)
        search.on_trial_complete("a", error=True)
    events = [event for event in ledger.events() if event["event"] == "rescheduled"]
    assert [(event["fingerprint"], event["attempt"]) for event in events] == [(key, 1)]
    assert "3 GiB" in events[0]["error"]
    assert search.attempts == {key: 1}
    assert search.waiting[0] == key
    assert not search.failed


def test_a_run_that_lost_the_store_stops_and_writes_nothing(
    search: ReadyTrials, tmp_path: Path
) -> None:
    with Lease(tmp_path, "newer") as lease:
        trial = trial_of(search)
        progress(search, tmp_path, lease.fencing - 1).on_trial_error(0, [], trial)
    assert search.stopped == "lease"
    assert Ledger(tmp_path).failure(trial.config["fingerprints"][0]) is None
    assert list(Ledger(tmp_path).events()) == []


def test_a_full_disk_stops_the_run(search: ReadyTrials, tmp_path: Path) -> None:
    with Lease(tmp_path, "run") as lease:
        trial = trial_of(search)
        failure = {"label": "x", "kind": "disk", "error": "No space left on device"}
        Ledger(tmp_path).fail(trial.config["fingerprints"][0], failure)
        progress(search, tmp_path, lease.fencing).on_trial_error(0, [], trial)
    assert search.stopped == "disk"


def test_a_disk_that_stays_full_is_how_the_run_ends(
    search: ReadyTrials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of a run is told as well, and there is no room for it."""
    append = Ledger.append

    def no_room_at_the_end(self: Ledger, run: str, event: str, **details: Any) -> None:
        if event == "run_ended":
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, run, event, **details)

    monkeypatch.setattr(Ledger, "append", no_room_at_the_end)
    monkeypatch.setattr(execution, "_tune", lambda plan, search, *rest: search.stop("disk"))
    plan = search.plan
    assert execution.execute(plan, plan.trials, execution.RunOptions(store=tmp_path)) == 4


def test_a_started_trial_forgets_its_former_failure(search: ReadyTrials, tmp_path: Path) -> None:
    """Only then: a run that ends before its turn leaves `--only failed` something to find."""
    ledger = Ledger(tmp_path)
    with Lease(tmp_path, "run") as lease:
        trial = trial_of(search)
        key = trial.config["fingerprints"][0]
        ledger.fail(key, {"label": "x", "kind": "bug", "error": "once"})
        told = progress(search, tmp_path, lease.fencing)
        assert ledger.failure(key) is not None
        told.on_trial_start(0, [], trial)
    assert ledger.failure(key) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00 min"), (61, "1:01 min"), (3599, "59:59 min"), (7325, "2 h 02 min")],
)
def test_durations_read_as_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text
