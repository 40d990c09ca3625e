"""The ledger as a waiting worker reads it: while the driver writes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from graphids.store.ledger import ENDED, Ledger


@pytest.mark.parametrize("event", [*ENDED, "started", "probing"])
def test_an_end_is_seen_once_its_line_is_whole(tmp_path: Path, event: str) -> None:
    ledger = Ledger(tmp_path)
    assert not ledger.ended_since("run", ledger.size("run"))
    ledger.append("run", "done")
    told = ledger.size("run")
    assert not ledger.ended_since("run", told)
    assert ledger.ended_since("run", 0)
    path = tmp_path / "ledger" / "run.jsonl"
    before = path.read_bytes()
    ledger.append("run", event)
    line = path.read_bytes()[len(before) :]
    path.write_bytes(before + line[: len(line) // 2])
    assert not ledger.ended_since("run", told)
    path.write_bytes(before + line)
    assert ledger.ended_since("run", told) == (event in ENDED)
    assert not ledger.ended_since("another run", 0)


def test_a_line_that_a_full_disk_tore_swallows_no_other(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.append("run", "started")
    path = tmp_path / "ledger" / "run.jsonl"
    told = ledger.size("run")
    with path.open("a") as file:
        file.write('{"time": 1.0, "event": "resch')
    ledger.append("run", "done")
    assert [event["event"] for event in ledger.events("run")] == ["started", "done"]
    assert ledger.ended_since("run", told)


def test_an_old_size_hides_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network file system may tell it for a minute."""
    ledger = Ledger(tmp_path)
    ledger.append("run", "started")
    told = ledger.size("run")
    monkeypatch.setattr(Ledger, "size", lambda self, run: told)
    ledger.append("run", "done")
    assert ledger.ended_since("run", told)
