"""One run writes a store at a time: a lease file with an owner, a heartbeat and a fencing number.

A holder that is dead on this host is taken over at once; one on another host after three missed
heartbeats. The fencing number rises with each holder, so that a late commit of the former one is
refused.
"""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType

from graphids.store.files import read_json, write_json

HEARTBEAT_S = 10.0
STALE_S = 3 * HEARTBEAT_S


class StoreHeldError(Exception):
    """Another run holds the store."""


class LeaseLostError(Exception):
    """The store went to another run; this one must not commit."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a store."""

    host: str
    pid: int
    started: str
    """Start of the process in the kernel's clock ticks: a reused process id has another one."""
    run: str
    fencing: int
    heartbeat: float
    """Seconds since the epoch."""

    @property
    def name(self) -> str:
        """The holder as messages name it."""
        return f"run {self.run} (process {self.pid} on {self.host})"


class Lease:
    """Holds a store while the context is entered."""

    def __init__(self, root: Path, run: str) -> None:
        self.path = root / "lease.json"
        self.run = run
        self.fencing = 0
        self._stop = threading.Event()
        self._beat = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        with gate(self.path.parent):
            holder = read_holder(self.path)
            if holder is not None and is_alive(holder):
                age = time.time() - holder.heartbeat
                raise StoreHeldError(
                    f"the store {self.path.parent} is held by {holder.name}, last heard of "
                    f"{age:.0f} s ago; wait for it to end, end it, or give another --store"
                )
            self.fencing = next_fencing(self.path.with_suffix(".fencing"), holder)
            self._write()
        self._beat.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._beat.join()
        with gate(self.path.parent):
            if self._is_ours():
                self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        """Writes who holds the store and that it lives."""
        pid = os.getpid()
        holder = Holder(
            host=socket.gethostname(),
            pid=pid,
            started=process_start(pid) or "",
            run=self.run,
            fencing=self.fencing,
            heartbeat=time.time(),
        )
        write_json(self.path, asdict(holder))

    def _is_ours(self) -> bool:
        """Whether the lease file still names this run."""
        holder = read_holder(self.path)
        return holder is not None and holder.fencing == self.fencing

    def _keep(self) -> None:
        """Renews the heartbeat until the lease ends or another run has taken it."""
        while not self._stop.wait(HEARTBEAT_S):
            try:
                with gate(self.path.parent):
                    if not self._is_ours():
                        return
                    self._write()
            except OSError:
                # A full disk or a hiccup of the file system: the next beat may get through.
                continue


@contextmanager
def gate(root: Path) -> Iterator[None]:
    """Held while a lease is read and written; the kernel frees it when a process dies."""
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lease.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_holder(path: Path) -> Holder | None:
    """Who holds the store by its lease file; ``None`` where nobody does or the file is torn."""
    try:
        return Holder(**read_json(path))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def next_fencing(path: Path, holder: Holder | None) -> int:
    """A fencing number above every earlier one; it outlives the lease of its holder."""
    try:
        last = int(read_json(path))
    except (FileNotFoundError, ValueError, TypeError):
        last = 0
    number = max(last, holder.fencing if holder else 0) + 1
    write_json(path, number)
    return number


def check_fencing(root: Path, fencing: int) -> None:
    """Raises ``LeaseLostError`` where the store has another holder than that of ``fencing``."""
    holder = read_holder(root / "lease.json")
    if holder is None or holder.fencing != fencing:
        owner = holder.name if holder else "nobody"
        raise LeaseLostError(
            f"the store {root} is now held by {owner}; this output is not committed"
        )


def is_alive(holder: Holder) -> bool:
    """Whether a holder lives: by its process on this host, by its heartbeat on another."""
    if holder.host == socket.gethostname():
        return process_start(holder.pid) == holder.started
    return time.time() - holder.heartbeat < STALE_S


def process_start(pid: int) -> str | None:
    """When a process began, in clock ticks since the machine's start; ``None`` where it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    state, *rest = stat.rpartition(")")[2].split()
    # A zombie holds nothing: its parent has merely not read its exit status yet.
    return None if state == "Z" else rest[18]
