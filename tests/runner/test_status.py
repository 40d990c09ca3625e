"""What ``status`` says of a trial while the run that holds the store tells its events."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from graphids.commands.status import trial_states
from graphids.store.lease import Lease
from graphids.store.ledger import ENDED, Ledger

KEY, OTHER = "a" * 64, "b" * 64
TRIALS = pl.DataFrame({"fingerprint": [KEY, OTHER], "upstream": [[], [KEY]]})


def states(store: Path) -> list[str]:
    return list(trial_states(TRIALS, store, Ledger(store)).values())


@pytest.mark.parametrize("end", ENDED)
def test_a_trial_runs_from_its_start_to_its_end_and_again(tmp_path: Path, end: str) -> None:
    ledger = Ledger(tmp_path)
    with Lease(tmp_path, "r"):
        ledger.append("r", "started", fingerprint=KEY)
        assert states(tmp_path) == ["running", "pending"]
        ledger.append("r", end, fingerprint=KEY)
        assert states(tmp_path) == ["pending", "pending"]
        ledger.append("r", "started", fingerprint=KEY)
        assert states(tmp_path) == ["running", "pending"]
    assert states(tmp_path) == ["pending", "pending"]


@pytest.mark.parametrize("end", ["probed", "probe_failed"])
def test_a_probe_of_a_shape_ends_no_trial(tmp_path: Path, end: str) -> None:
    ledger = Ledger(tmp_path)
    with Lease(tmp_path, "r"):
        ledger.append("r", "started", fingerprint=KEY)
        ledger.append("r", "probing", shape="s", label="probe")
        ledger.append("r", end, shape="s", label="probe")
        assert states(tmp_path) == ["running", "pending"]
