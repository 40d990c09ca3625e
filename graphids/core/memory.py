"""The device that a trial runs on and the memory that it took; the only calls of ``torch.cuda``."""

from __future__ import annotations

import resource

import torch


def trial_device() -> torch.device:
    """The GPU that was assigned to this process, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def reset_peak() -> None:
    """Starts a new peak measurement; on a CPU the process's peak cannot be reset."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_bytes() -> int:
    """Peak bytes: tensors on the GPU where there is one, else the process's resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
