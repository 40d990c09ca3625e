"""``query``: SQL over what a store holds."""

from __future__ import annotations

import sys
from pathlib import Path

from analysis.query import query
from analysis.render import FORMATS, as_sheets, render
from analysis.render.terminal import to_terminal
from graphids.commands.errors import RequestError, as_request


def main(*, sql: str, store: Path, style: str | None) -> int:
    """Prints the answer in a format, or for a terminal where none is given."""
    if style is not None and style not in FORMATS:
        raise RequestError(f"--format takes {', '.join(FORMATS)} (got {style!r})")
    with as_request():
        table = query(store, sql)
        if style is None:
            to_terminal(as_sheets(table), table.notes)
        else:
            sys.stdout.buffer.write(render(table, style))
            sys.stdout.buffer.flush()
    return 0
