"""One run writes a store at a time; a dead holder is taken over at once, and fenced off."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from graphids.store.files import write_json
from graphids.store.lease import (
    STALE_S,
    Lease,
    LeaseLostError,
    StoreHeldError,
    check_fencing,
    is_alive,
    read_holder,
)

HOLD_AND_DIE = """
import os, sys
from pathlib import Path
from graphids.store.lease import Lease
Lease(Path(sys.argv[1]), "dead-run").__enter__()
os.kill(os.getpid(), 9)
"""


def test_a_second_run_is_refused_with_the_holder_named(tmp_path: Path) -> None:
    with Lease(tmp_path, "first"), pytest.raises(StoreHeldError, match="run first"):
        Lease(tmp_path, "second").__enter__()
    with Lease(tmp_path, "second") as lease:
        check_fencing(tmp_path, lease.fencing)


def test_a_killed_holder_is_taken_over_at_once_and_fenced_off(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", HOLD_AND_DIE, str(tmp_path)], check=False)
    assert killed.returncode == -9
    dead = read_holder(tmp_path / "lease.json")
    assert dead is not None
    assert dead.run == "dead-run"
    with Lease(tmp_path, "next") as lease:
        assert lease.fencing > dead.fencing
        with pytest.raises(LeaseLostError, match="run next"):
            check_fencing(tmp_path, dead.fencing)


def test_fencing_rises_over_holders_that_left_in_order(tmp_path: Path) -> None:
    numbers = []
    for name in ("a", "b", "c"):
        with Lease(tmp_path, name) as lease:
            numbers.append(lease.fencing)
    assert numbers == sorted(set(numbers))


def test_a_reused_process_id_is_not_the_holder(tmp_path: Path) -> None:
    with Lease(tmp_path, "first"):
        holder = read_holder(tmp_path / "lease.json")
    assert holder is not None
    assert not is_alive(replace(holder, started="1"))


def test_a_holder_on_another_host_lives_by_its_heartbeat(tmp_path: Path) -> None:
    with Lease(tmp_path, "here"):
        holder = read_holder(tmp_path / "lease.json")
    assert holder is not None
    elsewhere = replace(holder, host="another-host")
    assert is_alive(elsewhere)
    assert not is_alive(replace(elsewhere, heartbeat=holder.heartbeat - STALE_S - 1))


def test_a_torn_lease_file_does_not_block(tmp_path: Path) -> None:
    with Lease(tmp_path, "first"):
        holder = read_holder(tmp_path / "lease.json")
    assert holder is not None
    text = json.dumps(asdict(holder))
    (tmp_path / "lease.json").write_text(text[: len(text) // 2])
    with Lease(tmp_path, "second") as lease:
        assert lease.fencing > holder.fencing


def test_the_lease_of_another_is_not_given_back(tmp_path: Path) -> None:
    with Lease(tmp_path, "first"):
        holder = read_holder(tmp_path / "lease.json")
        assert holder is not None
        write_json(tmp_path / "lease.json", asdict(replace(holder, fencing=99, run="thief")))
    left = read_holder(tmp_path / "lease.json")
    assert left is not None
    assert left.run == "thief"


def test_of_many_at_once_one_wins(tmp_path: Path) -> None:
    won, lost = [], []
    barrier = threading.Barrier(8)
    release = threading.Event()

    def try_it(name: str) -> None:
        barrier.wait()
        try:
            with Lease(tmp_path, name):
                won.append(name)
                release.wait()
        except StoreHeldError:
            lost.append(name)
        if len(lost) == 7:
            release.set()

    threads = [threading.Thread(target=try_it, args=(str(i),)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert (len(won), len(lost)) == (1, 7)
