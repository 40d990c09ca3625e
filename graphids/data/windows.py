"""Which messages make a window and what label it carries.

Works on one capture file at a time: a window never holds messages of two captures, so that vehicles
and recordings do not mix.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

MAX_WINDOW = 65_536
"""Longest window, in messages: up to here the sums behind the features are exact in float64."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Capture:
    """The columns of one capture that windows need, in order of time."""

    time_ns: NDArray[np.int64]
    """Time of each message ``[N]``, nanoseconds, never descending."""
    arbitration_id: NDArray[np.uint32]
    """Arbitration id of each message ``[N]``."""
    payload: NDArray[np.uint8]
    """Payload bytes ``[N, 8]``, absent ones 0."""
    attack: NDArray[np.bool_]
    """Whether a message is part of an attack ``[N]``; one without a label counts as benign."""
    attack_type: NDArray[np.uint8]
    """Attack code of each message ``[N]``; it counts on attack messages alone."""

    @classmethod
    def from_messages(cls, messages: pl.DataFrame) -> Capture:
        """Reads a message table; messages with equal times keep the order of the file."""
        time_ns = messages["time_ns"].to_numpy()
        capture = cls(
            time_ns=time_ns,
            arbitration_id=messages["arbitration_id"].to_numpy(),
            payload=np.ascontiguousarray(messages["payload"].to_numpy().reshape(-1, 8)),
            attack=messages["attack"].fill_null(value=False).to_numpy(),
            attack_type=messages["attack_type"].to_numpy(),
        )
        if bool((time_ns[1:] < time_ns[:-1]).any()):
            return capture._take(np.argsort(time_ns, kind="stable"))
        return capture

    def _take(self, rows: NDArray[np.int64]) -> Capture:
        """The messages at ``rows``."""
        return Capture(
            time_ns=self.time_ns[rows],
            arbitration_id=self.arbitration_id[rows],
            payload=self.payload[rows],
            attack=self.attack[rows],
            attack_type=self.attack_type[rows],
        )


def check_window(window: int, stride: int) -> None:
    """Refuses a window or a stride that cannot be cut.

    Raises:
        ValueError: if the window has fewer than 2 messages (a graph needs an edge) or more than
            ``MAX_WINDOW``, or if the stride is not in ``1 .. window``.
    """
    if not 2 <= window <= MAX_WINDOW:
        raise ValueError(f"window must be 2 to {MAX_WINDOW} messages (got {window})")
    if stride < 1:
        raise ValueError(f"stride must be at least 1 message (got {stride})")
    if stride > window:
        raise ValueError(
            f"stride ({stride}) exceeds window ({window}): messages would be skipped; "
            f"use a stride of at most {window}"
        )


def num_windows(num_messages: int, window: int, stride: int) -> int:
    """Complete windows of a capture; an incomplete tail makes none."""
    return max(0, (num_messages - window) // stride + 1)


def overlap_reach(window: int, stride: int) -> int:
    """How many windows before a window share messages with it."""
    return -(-window // stride) - 1


def window_rows(values: NDArray, window: int, stride: int) -> NDArray:
    """The rows of each window ``[G, window, ...]``, a read-only view of ``values`` ``[N, ...]``."""
    count = num_windows(len(values), window, stride)
    if count == 0:
        return np.empty((0, window, *values.shape[1:]), dtype=values.dtype)
    rows = np.lib.stride_tricks.sliding_window_view(values, window, axis=0)
    return np.moveaxis(rows, -1, 1)[: (count - 1) * stride + 1 : stride]


def window_labels(
    capture: Capture, window: int, stride: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Label and attack type of each window.

    Returns:
        ``y`` ``[G]``, 1 where any message is an attack, and ``attack_type`` ``[G]``, the most
        frequent code among the attack messages (the smallest of equally frequent ones), 0 without.
    """
    first = np.arange(num_windows(len(capture.attack), window, stride)) * stride
    y = _count_in_windows(capture.attack, first, window) > 0
    codes = np.unique(capture.attack_type[capture.attack])
    if len(codes) == 0:
        return y.astype(np.int64), np.zeros(len(first), dtype=np.int64)
    counts = np.stack(
        [
            _count_in_windows(capture.attack & (capture.attack_type == code), first, window)
            for code in codes
        ]
    )
    attack_type = np.where(y, codes[counts.argmax(axis=0)], 0)
    return y.astype(np.int64), attack_type.astype(np.int64)


def _count_in_windows(
    flags: NDArray[np.bool_], first: NDArray[np.int64], window: int
) -> NDArray[np.int64]:
    """How many messages of each window are flagged ``[G]``."""
    running = np.concatenate(([0], np.cumsum(flags, dtype=np.int64)))
    return running[first + window] - running[first]
