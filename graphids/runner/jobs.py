"""What a searcher hands out, what it asks for that, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Job:
    """What one Tune trial does: some trials of the grid in one process, or a probe."""

    keys: tuple[str, ...]
    """Fingerprints of the trials; of a probe, the one that it is made for."""
    label: str
    """How it is called."""
    probe: str | None = None
    """Shape that is measured; none where trials run."""
    awaits: int | None = None
    """Of a job that only keeps its worker: bytes of the ledger when it was made. It waits there
    until another job has ended."""
    attempt: int = 0
    """How often it ran out of memory before."""

    def config(self) -> dict[str, Any]:
        """The job as Tune hands it to a worker, without what it reserves."""
        return {
            "fingerprints": list(self.keys),
            "label": self.label,
            "probe": self.probe,
            "awaits": self.awaits,
            "attempt": self.attempt,
        }


@dataclass(frozen=True, kw_only=True)
class Knowledge:
    """What a searcher asks while a grid runs."""

    is_committed: Callable[[str], bool] = lambda key: False
    """Asks the store, which knows better than a worker that died."""
    unmeasured: Callable[[str], str | None] = lambda key: None
    """Shape of a trial, where it has to be measured before the trial runs."""
    failure: Callable[[str], Mapping[str, Any] | None] = lambda key: None
    """Why a trial failed."""
    reserve: Callable[[Job], Mapping[str, Any]] = lambda job: {}
    """What a job reserves, as further settings of it."""
    together: bool = True
    """Whether trials that differ in their seed alone may share a process."""
    told: Callable[[], int] = lambda: 0
    """Bytes of the run's ledger."""


@dataclass
class Fate:
    """What became of the trials of a job."""

    failed: list[str] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
