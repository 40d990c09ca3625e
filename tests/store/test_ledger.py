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
