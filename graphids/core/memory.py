"""The device that a trial runs on and the memory that it took; the only calls of ``torch.cuda``."""

from __future__ import annotations

import json
import platform
import resource
import sys
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from graphids.core.card import Card, CardConstants, Exercise, measure_card, neighbour_process
from graphids.core.memory_trace import MemoryTrace


def trial_device() -> torch.device:
    """The GPU that was assigned to this process, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name(device: torch.device | str) -> str:
    """The card's name; of a CPU its architecture and how many threads torch uses."""
    device = torch.device(device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    threads = torch.get_num_threads()
    return f"{platform.machine()}, {threads} {'thread' if threads == 1 else 'threads'}"


def reset_peak() -> None:
    """Starts a new peak measurement; on a CPU the process's peak cannot be reset."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak_bytes() -> int:
    """Peak bytes: tensors on the GPU where there is one, else the process's resident memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def release_cached() -> None:
    """Gives back to the GPU what the allocator holds without a tensor in it; nothing on a CPU."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def cuda_indices() -> list[int]:
    """Every GPU that this process sees."""
    return list(range(torch.cuda.device_count()))


def synchronize(device: torch.device) -> None:
    """Waits until a GPU has done what it was given; a CPU has."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def allocated_bytes(device: torch.device) -> int:
    """Bytes of this process's tensors on a GPU; 0 on a CPU, which does not count them."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def free_bytes(device: torch.device) -> int | None:
    """Memory of a GPU that nobody uses; none for a CPU."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else None


def used_bytes(device: torch.device) -> int:
    """Memory of a GPU that any program uses, this one included.

    The driver tells it without a CUDA context where nvidia-ml-py is installed. Otherwise this
    process gets a context, and what that takes is among the bytes.
    """
    try:
        return torch.cuda.device_memory_used(device)
    except ModuleNotFoundError:
        free, total = torch.cuda.mem_get_info(device)
        return total - free


def limit_memory(most_bytes: int, device: torch.device | str | None = None) -> None:
    """Lets this process allocate at most so many bytes of its GPU; nothing on a CPU.

    An allocation beyond it raises ``torch.OutOfMemoryError``. The context of CUDA does not count.

    Raises:
        ValueError: There is not a single byte to allocate.
    """
    if most_bytes < 1:
        raise ValueError(f"most_bytes must be at least 1 (got {most_bytes})")
    device = trial_device() if device is None else torch.device(device)
    if device.type == "cuda":
        # torch counts in shares of the whole card, whoever else holds some of it.
        share = min(1.0, most_bytes / CudaCard(device).total_bytes)
        torch.cuda.set_per_process_memory_fraction(share, device)


def step_peak(
    step: Callable[[], object],
    device: torch.device | str,
    *,
    alive: Callable[[], Iterable[Tensor]] = tuple,
) -> int:
    """Peak bytes of tensors during one call, with what lives before it.

    On a GPU the allocator tells it, of the whole process. On a CPU what the call reads or makes
    counts (``MemoryTrace``).

    Args:
        step: Called once.
        device: Where its tensors are.
        alive: Gives, on a CPU, tensors that live before and that the call may free unread. It is a
            callable because a list of them would keep them.
    """
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        step()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device)
    with MemoryTrace(device, alive()) as trace:
        step()
    return trace.peak


@dataclass(frozen=True)
class CudaCard:
    """A GPU of this process, as ``graphids.core.card`` measures it."""

    device: torch.device
    """The GPU."""

    @property
    def total_bytes(self) -> int:
        """Memory of the card."""
        return torch.cuda.get_device_properties(self.device).total_memory

    @property
    def has_context(self) -> bool:
        """Whether this process takes a context's memory of it."""
        return torch.cuda.is_initialized()

    def used_bytes(self) -> int:
        """Memory that any program uses now."""
        return used_bytes(self.device)

    def reserved_bytes(self) -> int:
        """Memory that the allocator of this process holds."""
        return torch.cuda.memory_reserved(self.device) if self.has_context else 0

    def neighbour(self) -> AbstractContextManager[Exercise]:
        """A process that runs this module."""
        return neighbour_process([sys.executable, "-m", __name__, str(self.device)])


def card_constants(device: torch.device | str, card: Card | None = None) -> CardConstants:
    """What a process takes of a GPU beside its tensors, measured with a child process.

    Args:
        device: The GPU.
        card: Stands for the GPU; none is the real one.

    Raises:
        ValueError: The device is none that has such constants.
        RuntimeError: The child found no GPU.
    """
    device = torch.device(device)
    if device.type != "cuda":
        raise ValueError(f"card_constants needs a CUDA device (got {device}); a CPU has none")
    return measure_card(CudaCard(device) if card is None else card)


def exercise(device: torch.device | str) -> Exercise:
    """Trains a small network on batches of many sizes and tells what the allocator of a GPU did."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 512), nn.ReLU(), nn.Linear(512, 512), nn.Linear(512, 2))
    net.to(device)
    optimizer = torch.optim.Adam(net.parameters())
    for rows in torch.randint(1_000, 60_000, (24,)).tolist():
        optimizer.zero_grad()
        net(torch.zeros(rows, 64, device=device)).square().mean().backward()
        optimizer.step()
    del net, optimizer
    torch.cuda.synchronize(device)
    return Exercise(
        workspace_bytes=torch.cuda.memory_allocated(device),
        reserved_bytes=torch.cuda.memory_reserved(device),
        peak_allocated_bytes=torch.cuda.max_memory_allocated(device),
        peak_reserved_bytes=torch.cuda.max_memory_reserved(device),
    )


def main(device: str) -> None:
    """Does its exercise, prints it, and holds the card until standard input ends."""
    sys.stdout.write(json.dumps(asdict(exercise(device))) + "\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
