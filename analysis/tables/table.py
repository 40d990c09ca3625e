"""A table as a value: what kind it is, its cells in full precision, and what stands below it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table of a grid, before it is text."""

    kind: str
    """Name of the kind, such as ``ablation``."""
    frame: pl.DataFrame
    """One record a row, in full precision; what is undefined is null."""
    notes: tuple[str, ...] = ()
    """What a reader has to know: what is missing, how rows were selected, how far to trust it."""
