"""The resident memory of this process and its peak, which can be reset between two trials."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

STATUS = Path("/proc/self/status")
MEMORY = Path("/proc/meminfo")
RESET = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""What the kernel takes for "forget the peak" (proc(5), clear_refs)."""


def resident_bytes() -> int:
    """Resident memory now; where the system does not tell it, the peak of the process."""
    return _read("VmRSS") or _whole_peak()


def shared_bytes() -> int:
    """Resident memory now that a file or shared memory backs; 0 where the system tells nothing."""
    return (_read("RssFile") or 0) + (_read("RssShmem") or 0)


def resident_peak_bytes() -> int:
    """Peak since the last reset; where it cannot be reset, that of the whole process."""
    return _read("VmHWM") or _whole_peak()


def reset_resident_peak() -> None:
    """Starts a new peak; does nothing where the system does not offer it."""
    with suppress(OSError):
        RESET.write_text(RESET_PEAK)


def _read(name: str) -> int | None:
    """A line of ``/proc/self/status`` in bytes; none where there is no such file."""
    if not STATUS.is_file():
        return None
    for line in STATUS.read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    return None


def _whole_peak() -> int:
    """Peak resident memory of the process since it started."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def system_bytes() -> int:
    """Memory that this machine can still give to programs; all of it where it does not tell."""
    if MEMORY.is_file():
        for line in MEMORY.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
