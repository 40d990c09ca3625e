"""Tables of a grid from what its runs committed, each a polars frame and what stands below it."""

from __future__ import annotations

from analysis.tables.kinds import KINDS, Kind, ablation_table, make_table
from analysis.tables.mixed import MixedRowsError
from analysis.tables.study import METRICS, Asked, Study, read_study
from analysis.tables.table import Table

__all__ = [
    "KINDS", "METRICS", "Asked", "Kind", "MixedRowsError", "Study", "Table", "ablation_table",
    "make_table", "read_study",
]  # fmt: skip
