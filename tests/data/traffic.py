"""Random message tables for the tests of windows and graphs."""

from __future__ import annotations

import numpy as np
import polars as pl
from oracle import Message

from graphids.data.messages import message_table
from graphids.data.packed import PackedGraphs, build_graphs


def random_messages(
    rng: np.random.Generator,
    num_messages: int,
    *,
    ids: int = 12,
    largest_byte: int = 255,
    largest_gap_ns: int = 900_000,
    attack_rate: float = 0.05,
    code: int = 2,
) -> pl.DataFrame:
    """Messages in order of time: some bytes random, some constant, payloads of any length."""
    payload = rng.integers(0, largest_byte + 1, (num_messages, 8))
    payload[:, 3] = 7
    payload[:, 5] = rng.integers(0, 2, num_messages)
    dlc = rng.choice([0, 2, 5, 8, 8, 8], num_messages)
    payload[np.arange(8) >= dlc[:, None]] = 0
    known = rng.choice(2048, ids, replace=False)
    return message_table(
        time_ns=1_672_531_200_000_000_000
        + np.cumsum(rng.integers(0, largest_gap_ns, num_messages)),
        arbitration_id=known[rng.choice(ids, num_messages, p=rng.dirichlet(np.ones(ids)))],
        dlc=dlc,
        payload=payload,
        attack=rng.random(num_messages) < attack_rate,
        code=code,
    )


def as_oracle(messages: pl.DataFrame) -> list[Message]:
    """The same messages for the oracle."""
    columns = ("time_ns", "arbitration_id", "payload", "attack", "attack_type")
    return [
        Message(time_ns, arbitration_id, list(payload), bool(attack), attack_type)
        for time_ns, arbitration_id, payload, attack, attack_type in messages.select(
            columns
        ).iter_rows()
    ]


def random_graphs(seed: int, num_windows: int, *, window: int = 20, ids: int = 12) -> PackedGraphs:
    """Graphs of one random capture; about half of the windows hold an attack."""
    rng = np.random.default_rng(seed)
    messages = random_messages(rng, num_windows * window, ids=ids, attack_rate=0.7 / window)
    return build_graphs(messages, window, window)
