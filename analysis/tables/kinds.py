"""The kinds of tables: what each one is called, answers, and is made by."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from analysis.tables.decisions import cells as read_cells
from analysis.tables.guard import differences as find_differences
from analysis.tables.mixed import mark, refuse
from analysis.tables.remarks import missing, remarks
from analysis.tables.study import Asked, read_study
from analysis.tables.table import Table

Maker = Callable[..., Table]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of table."""

    name: str
    """Name, as ``--kind`` takes it."""
    answers: str
    """What it shows."""
    module: str
    """Module below ``analysis.tables`` with a function of that name."""
    compares: bool = True
    """Whether its rows are compared with one another: then they must be comparable."""

    def maker(self) -> Maker:
        """The function that makes it from a study and its cells.

        Its module is imported when it is asked for: some need ``scipy.stats``, which alone takes
        longer to import than a table that does not may take.
        """
        module = importlib.import_module(f"analysis.tables.{self.module}")
        found: Maker = vars(module)[self.name]
        return found


KINDS: tuple[Kind, ...] = (
    Kind(name="metrics", answers="every metric in long form", module="ablation"),
    Kind(name="ablation", answers="paired differences to the baseline", module="ablation"),
    Kind(name="leaderboard", answers="rows by their mean, best first", module="ranking"),
    Kind(name="effect_size", answers="every pair of rows of an axis", module="ranking"),
    Kind(name="expected_max", answers="best value to expect of 1, 2, ... seeds", module="ranking"),
    Kind(name="tie_candidates", answers="rows that the best does not beat", module="ranking"),
    Kind(name="main_results", answers="all metrics on known ground", module="outcomes"),
    Kind(name="test_results", answers="rows on every test subset", module="outcomes"),
    Kind(name="per_attack", answers="AUROC of each attack alone", module="outcomes"),
    Kind(name="kd_transfer", answers="what students take over from teachers", module="transfer"),
    Kind(name="thresholds", answers="rows under every threshold policy", module="cutoffs"),
    Kind(name="cost", answers="memory, time and size", module="cost", compares=False),
    Kind(name="dataset_summary", answers="what rows were tested on", module="data", compares=False),
)
"""Every kind, in the order of the command line's help."""


def kind(name: str) -> Kind:
    """The kind of a name.

    Raises:
        ValueError: There is none.
    """
    for known in KINDS:
        if known.name == name:
            return known
    raise ValueError(f"--kind takes {', '.join(known.name for known in KINDS)} (got {name!r})")


def make_table(root: Path, grid: str, name: str, asked: Asked | None = None) -> Table:
    """A table of a grid, from what its runs committed.

    Args:
        root: Folder of the store.
        grid: Name of the grid.
        name: Kind of the table.
        asked: Which part of the results it shows.

    Raises:
        FileNotFoundError: if no run of the grid was planned in this store.
        ValueError: An unknown kind, data set, subset or policy, or rows that do not compare
            (``MixedRowsError``).
        DamagedOutputError: if a committed file is not what its manifest says.
    """
    chosen = kind(name)
    study = read_study(root, grid, asked)
    cells = read_cells(study)
    found = find_differences(study, cells) if chosen.compares else ()
    if not study.asked.allow_mixed:
        refuse(found)
    table = chosen.maker()(study, cells)
    below = remarks(study, cells, found) if chosen.compares else (*study.told, *missing(study))
    if table.frame.is_empty():
        below = ("there is nothing to show in this table yet", *below)
    return replace(table, frame=mark(table.frame, found), notes=(*table.notes, *below))


def ablation_table(root: Path, grid: str, **asked: Any) -> Table:
    """The ablation table of a grid: ``make_table`` with the settings of ``Asked`` by name."""
    return make_table(root, grid, "ablation", Asked(**asked))
