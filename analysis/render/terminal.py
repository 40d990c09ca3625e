"""A table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from analysis.render.cells import Sheet

GAP = "  "
RULE = "─"


def to_terminal(
    sheets: Sequence[Sheet], notes: Sequence[str], console: Console | None = None
) -> None:
    """Prints one table a section, and the notes below them.

    Lines are laid out here and only printed by rich, whose own tables take a second for a thousand
    rows. A line that is wider than the terminal is the terminal's to wrap, so that nothing is cut.
    """
    out = console or Console(highlight=False)
    for sheet in sheets:
        head, rule, *rows = lines(sheet)
        out.print(Text(sheet.title, style="bold"), soft_wrap=True)
        out.print(Text(f"{head}\n{rule}", style="bold"), soft_wrap=True)
        if rows:
            out.print(Text("\n".join(rows)), soft_wrap=True)
        out.print()
    for note in notes:
        out.print(Text(note), soft_wrap=not out.is_terminal)


def lines(sheet: Sheet) -> list[str]:
    """Headings, a rule and the rows of a section, each column as wide as its widest cell."""
    table = [sheet.headings, *sheet.rows]
    columns = list(zip(*table, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    shown = [
        GAP.join(
            _padded(cell, width, left=left)
            for cell, width, left in zip(row, widths, sheet.left, strict=True)
        ).rstrip()
        for row in table
    ]
    return [shown[0], GAP.join(RULE * width for width in widths), *shown[1:]]


def _padded(cell: str, width: int, *, left: bool) -> str:
    space = " " * (width - cell_len(cell))
    return cell + space if left else space + cell
