"""``table``: the ablation table of a grid, from what its runs committed."""

from __future__ import annotations

import sys
from pathlib import Path

from analysis.render import FORMATS, to_terminal
from analysis.tables import ablation_table
from graphids.commands.errors import RequestError, as_request
from graphids.commands.names import grid_name


def main(*, grid: str, store: Path, style: str | None) -> int:
    """Prints the table in a format, or for a terminal where none is given."""
    if style is not None and style not in FORMATS:
        raise RequestError(f"--format takes {', '.join(FORMATS)} (got {style!r})")
    with as_request():
        table = ablation_table(store, grid_name(grid))
    if style is None:
        to_terminal(table)
    else:
        sys.stdout.write(FORMATS[style](table))
    return 0
