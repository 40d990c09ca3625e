"""Text of every cell, made once: a terminal, Markdown, HTML and LaTeX all show the same.

A layout says which columns of a frame make one column of text, and what splits a table in sections.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from analysis.tables.table import Table

Record = Mapping[str, Any]
NO_ATTACKS = "n/a (no attacks)"
NO_BENIGN = "n/a (no benign windows)"
NOT_RUN = "n/a (not run)"
UNDEFINED = "n/a"
PLACES = {"subset", "scenario"}
"""Columns that name a set of windows."""
BYTES_MIB = 2.0**20


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of text."""

    heading: str
    """What stands above it."""
    text: Callable[[Record], str]
    """What it shows of a record."""
    left: bool = False
    """Whether it is words, and stands at the left."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How a frame becomes text."""

    columns: tuple[Column, ...]
    """Columns from left to right."""
    sections: tuple[str, ...] = ()
    """Columns of the frame whose values head a section each."""


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """One section of a table as text."""

    title: str
    """What it is of."""
    headings: tuple[str, ...]
    """Above the columns."""
    left: tuple[bool, ...]
    """Whether each column stands at the left."""
    rows: tuple[tuple[str, ...], ...]
    """Cells from top to bottom."""


def sheets(table: Table, layout: Layout) -> tuple[Sheet, ...]:
    """The sections of a table, every cell as text."""
    headings = tuple(column.heading for column in layout.columns)
    left = tuple(column.left for column in layout.columns)
    return tuple(
        Sheet(
            title=title,
            headings=headings,
            left=left,
            rows=tuple(
                tuple(column.text(record) for column in layout.columns) for record in records
            ),
        )
        for title, records in _sections(table, layout)
    )


def _sections(table: Table, layout: Layout) -> Iterator[tuple[str, Sequence[Record]]]:
    """Title and records of each section, in the order of the frame."""
    heads = [name for name in layout.sections if name in table.frame.columns]
    if not heads:
        yield table.kind, table.frame.to_dicts()
        return
    for values, part in table.frame.group_by(heads, maintain_order=True):
        counts = _counts(part) if PLACES & set(heads) else ""
        yield " / ".join(str(value) for value in values) + counts, part.to_dicts()


def _counts(part: pl.DataFrame) -> str:
    """How many windows a section is about, where all its rows have as many."""
    names = ("n_windows", "n_attacks")
    if not set(names) <= set(part.columns):
        return ""
    known = part.drop_nulls(names).select(names)
    if known.is_empty():
        return ""
    first = known.row(0)
    # Rows on other windows are told below; the baseline stands first.
    return f" ({first[0]:,.0f} windows, {first[1]:,.0f} attacks)"


def number(value: float | None, digits: int = 4, *, signed: bool = False) -> str:
    """A number with so many decimals; without a minus where it rounds to 0."""
    if value is None:
        return UNDEFINED
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    return text.replace("-", "+" if signed else "") if float(text) == 0.0 else text


def missing(record: Record) -> str:
    """Why a value of a record is undefined."""
    windows, attacks = record.get("n_windows"), record.get("n_attacks")
    if windows is None and "n_windows" in record:
        return NOT_RUN
    if attacks == 0:
        return NO_ATTACKS
    if windows is not None and windows == attacks:
        return NO_BENIGN
    return UNDEFINED


def metric(name: str, digits: int = 4) -> Callable[[Record], str]:
    """Text of a metric, or why it is undefined."""
    return lambda record: missing(record) if record[name] is None else number(record[name], digits)


def plain(name: str) -> Callable[[Record], str]:
    """Text of a value as it is, empty where there is none."""

    def text(record: Record) -> str:
        value = record[name]
        if value is None:
            return ""
        if isinstance(value, bool):
            return "yes" if value else ""
        if isinstance(value, int):
            return f"{value:,}"
        if isinstance(value, float):
            return "n/a" if math.isnan(value) else f"{value:,.4g}"
        if isinstance(value, list):
            return ", ".join(map(str, value))
        return str(value)

    return text


def p_value(name: str) -> Callable[[Record], str]:
    """Text of a p-value, empty where nothing is compared."""

    def text(record: Record) -> str:
        value = record[name]
        if value is None:
            return ""
        return "< 0.0001" if value < 0.0001 else f"{value:.4f}"

    return text


def interval(low: str, high: str, *, signed: bool = False) -> Callable[[Record], str]:
    """Text of both ends of an interval, empty where there is none."""

    def text(record: Record) -> str:
        if record[low] is None or record[high] is None:
            return ""
        ends = (number(record[end], signed=signed) for end in (low, high))
        return f"[{', '.join(ends)}]"

    return text


def mebibytes(name: str) -> Callable[[Record], str]:
    """Text of a number of bytes in MiB, empty where it is not known."""
    return lambda record: "" if record[name] is None else f"{record[name] / BYTES_MIB:,.1f}"
