"""Messages for benchmarks, and what every one of them needs: equal outputs, one thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import polars as pl
import torch
from threadpoolctl import threadpool_limits

from graphids.data.messages import message_table

WINDOW = 100
CODE = 2
"""Attack code of all attack messages; what a file named ``fuzzing`` stands for."""
GRAPH = ("x", "arbitration_id", "edge_index", "edge_attr", "y", "attack_type")
"""What a window graph holds, whoever builds it."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Holds torch and the linear algebra behind numpy and scipy to one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(before)


def traffic(num_messages: int, *, ids: int = 45) -> pl.DataFrame:
    """Messages of ids of unequal rate, with random, slow and constant bytes; 30 nodes a window."""
    rng = np.random.default_rng(0)
    rate = 1 / np.arange(1, ids + 1)
    known = np.sort(rng.choice(2048, ids, replace=False))
    payload = rng.integers(0, 256, (num_messages, 8), dtype=np.uint8)
    payload[:, 4:6] = rng.integers(0, 3, (num_messages, 2))
    payload[:, 6:] = 17
    return message_table(
        time_ns=np.cumsum(rng.integers(100_000, 900_000, num_messages)),
        arbitration_id=known[rng.choice(ids, num_messages, p=rate / rate.sum())],
        dlc=np.full(num_messages, 8),
        payload=payload,
        attack=rng.random(num_messages) < 0.002,
        code=CODE,
    )


def assert_close(ours: Any, theirs: Any, names: Iterable[str]) -> None:
    """Whether two graphs hold the same; statistics may differ by rounding."""
    for name in names:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-5)


def assert_equal(ours: Any, theirs: Any, names: Iterable[str]) -> None:
    """Whether two batches hold the same, bit by bit."""
    for name in names:
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=0)
