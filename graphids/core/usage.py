"""What a trial used of its device, measured from its first to its last moment."""

from __future__ import annotations

import ctypes
import gc
from dataclasses import dataclass

from graphids.core.memory import peak_bytes, release_cached, reset_peak, trial_device
from graphids.core.resident import (
    reset_resident_peak,
    resident_bytes,
    resident_peak_bytes,
    shared_bytes,
)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """A measurement that has begun."""

    resident: int
    """Resident memory at the start."""
    shared: int
    """What of it a file or shared memory backed."""

    @classmethod
    def start(cls) -> Usage:
        """Gives back what earlier trials of this process left, and starts the peaks anew."""
        gc.collect()
        # What is alive between two trials stays: the next collection need not look at libraries.
        gc.freeze()
        release_cached()
        _trim_heap()
        reset_peak()
        reset_resident_peak()
        return cls(resident=resident_bytes(), shared=shared_bytes())

    def peak_bytes(self) -> int:
        """Peak so far: of the tensors on a GPU, without one of private memory above the start.

        Pages of a mapped dataset or a library are not private: all processes of a node share them.
        """
        if trial_device().type == "cuda":
            return peak_bytes()
        mapped = max(0, shared_bytes() - self.shared)
        return max(0, resident_peak_bytes() - self.resident - mapped)


def _trim_heap() -> None:
    """Gives free pages back to the system, where the C library can.

    What a trial grows by is then its own, not what the one before had left.
    """
    library = ctypes.CDLL(None)
    try:
        trim = library.malloc_trim
    except AttributeError:
        return
    trim(0)
