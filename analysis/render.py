"""The same table as text for a terminal, Markdown, CSV and JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import polars as pl
from rich.console import Console
from rich.table import Table

from analysis.tables import AblationTable
from graphids.grid.grid import FLOOR

HEADINGS = {"f1": "F1", "mcc": "MCC", "auroc": "AUROC", "ap": "AP"}
"""Metrics that the wide form shows, with their headings."""
FILE_WIDTH = 120
"""Characters of a line where the output goes to a file or a pipe."""
COUNTS = {"n_windows": "windows", "n_attacks": "attacks"}


def to_json(table: AblationTable) -> str:
    """A list of records, one a (row, dataset, subset, metric)."""
    return json.dumps(table.rows.to_dicts(), indent=1) + "\n"


def to_csv(table: AblationTable) -> str:
    """Long form, full precision, empty where undefined."""
    return table.rows.write_csv()


def to_markdown(table: AblationTable) -> str:
    """One Markdown table a dataset and subset."""
    parts = []
    for (dataset, subset), cells in _sections(table.rows):
        headings = [*_headings(), "n"]
        parts.append(f"**{dataset} / {subset}** ({_counts(cells)})\n")
        parts.append("| " + " | ".join(headings) + " |")
        parts.append("|" + "---|" * len(headings))
        parts += ["| " + " | ".join(row) + " |" for row in _rows(cells)]
        parts.append("")
    parts += [f"- {reason}" for reason in table.notes]
    return "\n".join(parts) + "\n"


def to_terminal(table: AblationTable, console: Console | None = None) -> None:
    """Prints one table a dataset and subset, and below them what is missing."""
    console = console or _console()
    for (dataset, subset), cells in _sections(table.rows):
        shown = Table(title=f"{dataset} / {subset} ({_counts(cells)})", title_justify="left")
        for heading in [*_headings(), "n"]:
            shown.add_column(heading, justify="left" if heading == "row" else "right", no_wrap=True)
        for row in _rows(cells):
            shown.add_row(*row)
        console.print(shown)
    console.print("mean ± standard deviation over n seeds; n/a: undefined, as with a single class")
    for reason in table.notes:
        console.print(reason, style="red", markup=False)


FORMATS: Mapping[str, Callable[[AblationTable], str]] = {
    "md": to_markdown,
    "csv": to_csv,
    "json": to_json,
}


def _console() -> Console:
    """Standard output; where it is no terminal, wide enough for a table to stand whole."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=FILE_WIDTH)


def _sections(rows: pl.DataFrame) -> Iterator[tuple[tuple[str, str], pl.DataFrame]]:
    """The cells of each dataset and subset, in order."""
    for (dataset, subset), cells in rows.group_by("dataset", "subset", maintain_order=True):
        yield (str(dataset), str(subset)), cells


def _headings() -> list[str]:
    return ["row", *HEADINGS.values()]


def _counts(cells: pl.DataFrame) -> str:
    """How many windows the subset has and how many hold an attack, by the last row that knows."""
    known = {r["metric"]: r["mean"] for r in cells.iter_rows(named=True) if r["mean"] is not None}
    return ", ".join(f"{known[key]:,.0f} {name}" for key, name in COUNTS.items())


def _rows(cells: pl.DataFrame) -> Iterator[list[str]]:
    """The wide form: one row a variant."""
    for (variant, baseline), metrics in cells.group_by("variant", "baseline", maintain_order=True):
        by_name = {row["metric"]: row for row in metrics.iter_rows(named=True)}
        name = f"{variant} (baseline)" if baseline else str(variant)
        seeds = by_name["n_windows"]["n"]
        shown = [_cell(by_name[metric], seeds) for metric in HEADINGS]
        yield [name, *shown, "" if variant == FLOOR else str(seeds)]


def _cell(row: dict[str, Any], seeds: int) -> str:
    """Mean and standard deviation; with a count of its own where some seeds are undefined."""
    if row["mean"] is None:
        return "n/a"
    count = "" if row["n"] == seeds else f" (n={row['n']})"
    if row["std"] is None:
        return f"{row['mean']:.4f}{count}"
    return f"{row['mean']:.4f} ± {row['std']:.4f}{count}"
