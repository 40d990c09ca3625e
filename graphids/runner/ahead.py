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
"""Imports torch and all that comes with it, and nothing of Ray: two threads that imported parts of
one library could meet half-made modules."""


@contextmanager
def local_ray(*, dashboard: bool) -> Iterator[None]:
    """A local Ray for the block, and the libraries imported.

    The main thread starts Ray: its processes die with the thread that made them, and signals come
    here.
    """
    with ThreadPoolExecutor(1) as pool, uncollected():
        libraries = pool.submit(importlib.import_module, LIBRARIES)
        start_ray(None, dashboard=dashboard)
        libraries.result()
    try:
        yield
    finally:
        ray.shutdown()


def start_ray(address: str | None, *, dashboard: bool) -> Any:
    """Joins the cluster at ``address``, or starts one on loopback; how Ray describes it.

    Without an address, a Ray that runs in this process already is taken.
    """
    on_terminate = signal.getsignal(signal.SIGTERM)
    context = ray.init(
        address=address or "local",
        include_dashboard=None if address else dashboard,
        dashboard_host="127.0.0.1",
        log_to_driver=False,
        logging_level=logging.WARNING,
        ignore_reinit_error=not address,
    )
    if threading.current_thread() is threading.main_thread():
        # Ray puts a handler of its own in place, which aborts the process.
        signal.signal(signal.SIGTERM, on_terminate)
    return context
