"""Starts Ray while the libraries of a run are imported: both take seconds, neither needs the other.

What is imported here is light, so that Ray comes first.
"""

from __future__ import annotations

import importlib
import logging
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import ray

from graphids.imports import uncollected

LIBRARIES = "graphids.stages"
"""Imports torch and all that comes with it, and nothing of Ray that ``import ray`` has not: two
threads that imported parts of one library could meet half-made modules."""
TERMINATED = 128 + signal.SIGTERM
"""Exit code of a process that was asked to end."""


@contextmanager
def local_ray(*, dashboard: bool) -> Iterator[None]:
    """A local Ray for the block, and the libraries imported.

    The main thread starts Ray: its processes die with the thread that made them, and signals come
    here. A Ray that runs in this process already is taken, and left.
    """
    ours = not ray.is_initialized()
    try:
        with ThreadPoolExecutor(1) as pool, uncollected():
            libraries = pool.submit(importlib.import_module, LIBRARIES)
            start_ray(None, dashboard=dashboard)
            libraries.result()
        yield
    finally:
        if ours:
            ray.shutdown()


def start_ray(address: str | None, *, dashboard: bool) -> Any:
    """Joins the cluster at ``address``, or starts one on loopback; how Ray describes it.

    Without an address, a Ray that runs in this process already is taken.
    """
    with handlers_kept():
        try:
            return ray.init(
                address=address or "local",
                include_dashboard=None if address else dashboard,
                dashboard_host="127.0.0.1",
                log_to_driver=False,
                logging_level=logging.WARNING,
                ignore_reinit_error=not address,
            )
        except SystemExit as ended:
            # Only Ray's own handlers of SIGTERM exit here, with codes of their own.
            raise SystemExit(TERMINATED) from ended


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Has the process's own handlers of signals back after the block: Ray and Tune leave theirs."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            # None stands for one that Python knows nothing of, and cannot put back.
            if handler is not None:
                signal.signal(number, handler)
