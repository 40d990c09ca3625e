"""Tables as text and as data: one text for each cell, whatever the format."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from io import BytesIO

import polars as pl

from analysis.render.cells import Sheet, sheets
from analysis.render.latex import to_latex
from analysis.render.layouts import layout
from analysis.render.markdown import to_markdown
from analysis.tables.table import Table

DATA = ("csv", "parquet", "json")
"""Formats for programs: the frame in full precision."""
TEXT = ("md", "html", "latex")
"""Formats for readers: rounded, with the notes."""
FORMATS = (*TEXT, *DATA)


class MissingExtraError(ValueError):
    """A format needs a package that is not installed."""


def as_sheets(table: Table) -> tuple[Sheet, ...]:
    """The sections of a table with the text of every cell, as all formats for readers show it."""
    return sheets(table, layout(table))


def render(table: Table, style: str) -> bytes:
    """A table in one of ``FORMATS``, as it is written to a file or to standard output.

    Raises:
        ValueError: An unknown format.
        MissingExtraError: HTML without great_tables.
    """
    if style in DATA:
        return _data(table.frame, style)
    if style not in TEXT:
        raise ValueError(f"--format takes {', '.join(FORMATS)} (got {style!r})")
    shown = as_sheets(table)
    if style == "md":
        return to_markdown(shown, table.notes).encode()
    if style == "latex":
        return to_latex(shown, table.notes).encode()
    return _html(shown, table).encode()


def _data(frame: pl.DataFrame, style: str) -> bytes:
    """The frame itself: lists as text in CSV, which has none."""
    if style == "json":
        return (json.dumps(frame.to_dicts(), indent=1, default=str) + "\n").encode()
    if style == "csv":
        lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
        flat = frame.with_columns(pl.col(lists).cast(pl.List(pl.String)).list.join(", "))
        return flat.write_csv().encode()
    buffer = BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _html(shown: Sequence[Sheet], table: Table) -> str:
    """The page; its module is imported when it is asked for, because its library is an extra."""
    try:
        module = importlib.import_module("analysis.render.html")
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"HTML needs the package {error.name}: install graphids[report], or take --format md"
        ) from error
    page: str = vars(module)["to_html"](shown, table.notes, table.kind)
    return page


__all__ = ["DATA", "FORMATS", "TEXT", "MissingExtraError", "as_sheets", "render"]
