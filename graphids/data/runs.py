"""Sums and ranges over runs of consecutive rows, for a running bus and for whole captures.

The reductions of numpy are the fastest over the runs of one window and slow over many short runs;
there a sparse product and doubling take their place. Both give the same numbers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

FEW_ROWS = 1024
"""Rows up to which numpy's reductions are faster."""


def run_starts(values: NDArray) -> NDArray[np.bool_]:
    """Where a run of equal values begins, row by row of ``[g, n]``, and the end ``[g * n + 1]``."""
    starts = np.empty(values.size + 1, dtype=bool)
    starts.fill(True)
    inner = starts[:-1].reshape(values.shape)[:, 1:]
    np.not_equal(values[:, 1:], values[:, :-1], out=inner)
    return starts


def exact_sums(values: NDArray[np.float64], start: NDArray[np.int64]) -> NDArray[np.float64]:
    """Sums of integers ``[..., M, k]`` over runs ``[..., R, k]``, exact where they are below 2**53.

    Args:
        values: Whole numbers, whose order of addition does not matter.
        start: First row of each run, and the end ``[R + 1]``.
    """
    rows = values.shape[-2]
    if rows <= FEW_ROWS:
        return np.add.reduceat(values, start[:-1], axis=-2)
    member = sparse.csr_array((np.ones(rows), np.arange(rows), start), shape=(len(start) - 1, rows))
    if values.ndim == 2:
        return member @ values
    return np.stack([member @ part for part in values])


def ranges(values: NDArray[np.uint8], start: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Largest minus smallest of each column ``[M, k]`` over runs ``[R, k]``.

    A run of n rows is covered by two runs of the largest power of two up to n, whose extremes are
    found for all rows by doubling.

    Args:
        values: Bytes.
        start: First row of each run, and the end ``[R + 1]``.
    """
    if len(values) <= FEW_ROWS:
        first = start[:-1]
        return np.maximum.reduceat(values, first) - np.minimum.reduceat(values, first)
    found = np.zeros((len(start) - 1, values.shape[1]), dtype=np.uint8)
    level = np.frexp(np.diff(start).astype(np.float64))[1] - 1
    high = low = values
    for k in range(1, int(level.max()) + 1):
        half = 1 << (k - 1)
        high = np.maximum(high[:-half], high[half:])
        low = np.minimum(low[:-half], low[half:])
        runs = np.flatnonzero(level == k)
        first, last = start[runs], start[runs + 1] - 2 * half
        found[runs] = np.maximum(high[first], high[last]) - np.minimum(low[first], low[last])
    return found
