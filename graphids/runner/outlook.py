"""What a whole grid is expected to take: hours, its longest path, and the disk."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from graphids.runner.forecast import Expected
from graphids.runner.packing import Device
from graphids.runner.plan import Plan

START_S = 8.0
"""Starting Ray and the first workers."""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """Expectations of a grid."""

    seconds: float
    """Wall clock of what is left to run."""
    work_seconds: float
    """Sum over its trials."""
    critical_seconds: float
    """Longest path through it: no number of devices makes it shorter."""
    disk_bytes: int
    """Outputs that it will write."""
    slots: int
    """Trials at once that the estimate assumes."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, hours where a reader thinks in hours."""
        return {
            "hours": self.seconds / 3600,
            "work_hours": self.work_seconds / 3600,
            "critical_path_hours": self.critical_seconds / 3600,
            "disk_bytes": self.disk_bytes,
            "slots": self.slots,
        }


def outlook(
    plan: Plan, expected: Mapping[str, Expected], committed: Collection[str], device: Device
) -> Outlook:
    """What is left of a plan, run on one device by longest path first.

    Args:
        plan: The graph of trials.
        expected: What each trial is expected to need.
        committed: Fingerprints that are done.
        device: Where it runs.
    """
    left = [key for key in plan.trials if key not in committed]
    slots = max((expected[key].share.tenants for key in left), default=1)
    paths = _paths(plan, {key: expected[key].seconds for key in plan.trials}, set(left))
    work = sum(expected[key].seconds for key in left)
    return Outlook(
        seconds=(START_S + _makespan(plan, expected, left, paths, slots)) if left else 0.0,
        work_seconds=work,
        critical_seconds=max(paths.values(), default=0.0),
        disk_bytes=sum(expected[key].demand.output_bytes or 0 for key in left),
        slots=min(slots, device.cores),
    )


def _paths(plan: Plan, seconds: Mapping[str, float], left: Collection[str]) -> dict[str, float]:
    """Seconds from the start of each trial that is left to the end of the grid."""
    readers = plan.dependents()
    longest: dict[str, float] = {}
    for key in reversed(list(plan.trials)):
        if key in left:
            behind = max((longest.get(reader, 0.0) for reader in readers[key]), default=0.0)
            longest[key] = seconds[key] + behind
    return longest


def _makespan(
    plan: Plan,
    expected: Mapping[str, Expected],
    left: list[str],
    paths: Mapping[str, float],
    slots: int,
) -> float:
    """Wall clock of a list schedule: a free slot takes the ready trial on the longest path.

    A trial takes the part of the device that it reserves, of which there are ``slots``.
    """
    waiting = sorted(left, key=lambda key: -paths[key])
    open_inputs = set(left)
    running: list[tuple[float, str]] = []
    now, free = 0.0, float(slots)
    while waiting or running:
        for key in list(waiting):
            part = slots / expected[key].share.tenants
            ready = not open_inputs & set(plan.trials[key].upstream.values())
            if ready and part <= free + 1e-9:
                waiting.remove(key)
                free -= part
                heapq.heappush(running, (now + expected[key].seconds, key))
        now, done = heapq.heappop(running)
        open_inputs.discard(done)
        free += slots / expected[done].share.tenants
    return now
