"""One run writes a store at a time: a lease file with an owner, a heartbeat and a fencing number.

A holder that is dead on this host is taken over at once; one on another host after three missed
heartbeats. The fencing number rises with each holder, so that a late commit of the former one is
refused.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
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
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _Gate(self.path.with_suffix(".lock")):
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
        holder = read_holder(self.path)
        if holder is not None and holder.fencing == self.fencing:
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

    def _keep(self) -> None:
        """Renews the heartbeat until the lease ends or another run has taken it."""
        while not self._stop.wait(HEARTBEAT_S):
            holder = read_holder(self.path)
            if holder is not None and holder.fencing != self.fencing:
                return
            self._write()


class _Gate:
    """Held for the moment of taking a lease, so that two runs never take it at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.token = uuid.uuid4().hex

    def __enter__(self) -> None:
        for _ in range(100):
            try:
                with self.path.open("x") as file:
                    file.write(self.token)
            except FileExistsError:
                self._clear_if_stale()
                time.sleep(0.05)
            else:
                return
        raise StoreHeldError(f"{self.path} did not become free within 5 s; remove it and try again")

    def __exit__(self, *_: object) -> None:
        self.path.unlink(missing_ok=True)

    def _clear_if_stale(self) -> None:
        """A gate is held for milliseconds: one that is seconds old was left by a killed run."""
        try:
            age = time.time() - self.path.stat().st_mtime
        except FileNotFoundError:
            return
        if age > 2.0:
            self.path.unlink(missing_ok=True)


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
