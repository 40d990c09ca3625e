"""What happened to each trial of a run, one JSON line an event; written by the driver alone.

Outputs are the truth about results; the ledger tells the story: who ran when, on which worker, and
what failed. A last line that a crash cut off is ignored.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphids.store.files import read_json, write_json

ENDED = ("done", "failed", "rescheduled", "probed", "probe_failed")
"""Events after which a worker is free."""


@dataclass(frozen=True)
class Ledger:
    """The events of the runs of one store."""

    root: Path
    """Folder of the store."""

    def append(self, run: str, event: str, **details: Any) -> None:
        """Adds one event to a run."""
        line = json.dumps({"time": time.time(), "run": run, "event": event, **details})
        path = self._events(run)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+b") as file:
            # A line that a full disk tore must not swallow this one.
            if file.seek(0, os.SEEK_END):
                file.seek(-1, os.SEEK_END)
                line = line if file.read(1) == b"\n" else "\n" + line
            file.write(f"{line}\n".encode())

    def events(self, run: str | None = None) -> Iterator[dict[str, Any]]:
        """Events of one run, or of all runs in the order of their start."""
        pattern = f"{run}.jsonl" if run else "*.jsonl"
        for path in sorted((self.root / "ledger").glob(pattern)):
            yield from _whole(path.read_bytes())

    def size(self, run: str) -> int:
        """Bytes of what a run has told so far."""
        try:
            return self._events(run).stat().st_size
        except FileNotFoundError:
            return 0

    def ended_since(self, run: str, size: int) -> bool:
        """Whether a trial or a probe of a run has ended since it had told so many bytes."""
        # Opened each time: a network file system may tell an old size for a minute.
        try:
            with self._events(run).open("rb") as file:
                file.seek(size)
                return any(event["event"] in ENDED for event in _whole(file.read()))
        except FileNotFoundError:
            return False

    def fail(self, fingerprint: str, failure: dict[str, Any]) -> None:
        """Keeps why a trial failed, until it is run again."""
        write_json(self._failure(fingerprint), failure)

    def failure(self, fingerprint: str) -> dict[str, Any] | None:
        """Why a trial failed when it last ran; ``None`` where it did not."""
        try:
            failure: dict[str, Any] = read_json(self._failure(fingerprint))
        except FileNotFoundError:
            return None
        return failure

    def failures(self) -> set[str]:
        """The first twelve characters of the fingerprint of every trial with a failure kept."""
        folder = self.root / "failures"
        return {path.stem for path in folder.glob("*.json")} if folder.is_dir() else set()

    def forgive(self, fingerprint: str) -> None:
        """Forgets a failure, because the trial runs again or was committed."""
        self._failure(fingerprint).unlink(missing_ok=True)

    def _events(self, run: str) -> Path:
        """File of one run's events."""
        return self.root / "ledger" / f"{run}.jsonl"

    def _failure(self, fingerprint: str) -> Path:
        """File of one trial's failure."""
        return self.root / "failures" / f"{fingerprint[:12]}.json"


def _whole(told: bytes) -> Iterator[dict[str, Any]]:
    """Events of lines that are whole: a crash or a full disk may have cut one off."""
    for line in told.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            continue
