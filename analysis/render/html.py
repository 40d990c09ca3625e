"""A table as a page of HTML, by great_tables; the page needs no other file."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

import polars as pl
from great_tables import GT

from analysis.render.cells import Sheet

OPEN, CLOSE = "\ue000", "\ue001"
"""Signs of no script, around the place of a text. Whether great_tables escapes a text depends on
its version; so it lays out places, and the texts are set in here, escaped once."""


def to_html(sheets: Sequence[Sheet], notes: Sequence[str], title: str) -> str:
    """A page with one table a section, and the notes as a list below."""
    tables = "\n".join(sheet_html(sheet, f"sheet{i}") for i, sheet in enumerate(sheets))
    below = "\n".join(f"<li>{html.escape(note)}</li>" for note in notes)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{html.escape(title)}</title>\n</head>\n<body>\n{tables}\n"
        f"<ul>\n{below}\n</ul>\n</body>\n</html>\n"
    )


def sheet_html(sheet: Sheet, name: str) -> str:
    """One section as a ``div`` with its style.

    Args:
        sheet: The section.
        name: Its id in the page.
    """
    texts = [sheet.title, *sheet.headings, *(cell for row in sheet.rows for cell in row)]
    places = [f"{OPEN}{i}{CLOSE}" for i in range(len(texts))]
    width = len(sheet.headings)
    columns = [f"c{i}" for i in range(width)]
    cells = pl.DataFrame(
        {column: places[1 + width + i :: width] for i, column in enumerate(columns)},
        schema=dict.fromkeys(columns, pl.String),
    )
    left = [column for column, is_left in zip(columns, sheet.left, strict=True) if is_left]
    table = (
        GT(cells, id=name)
        .tab_header(title=places[0])
        .cols_label(dict(zip(columns, places[1 : 1 + width], strict=True)))
        .cols_align(align="right", columns=[column for column in columns if column not in left])
        .cols_align(align="left", columns=left)
        .tab_options(table_font_names=["system-ui", "sans-serif"], table_margin_left="0")
    )
    page = str(table.as_raw_html())
    return re.sub(f"{OPEN}(\\d+){CLOSE}", lambda place: html.escape(texts[int(place[1])]), page)
