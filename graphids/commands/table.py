"""``table``: a table of a grid, from what its runs committed."""

from __future__ import annotations

import sys
from pathlib import Path

from analysis.render import DATA, FORMATS, as_sheets, render
from analysis.render.terminal import to_terminal
from analysis.tables import Asked, make_table
from analysis.tables.decisions import parse_policies
from graphids.commands.errors import RequestError, as_request
from graphids.commands.names import grid_name

FOR_PROGRAMS, FOR_READERS = "metrics", "ablation"
"""Kinds that are meant where none is named: all metrics in long form, or the paired table."""


def main(
    *,
    grid: str,
    store: Path,
    style: str | None,
    kind: str | None = None,
    metric: str = Asked.metric,
    dataset: str | None = None,
    subset: str | None = None,
    policy: str | None = None,
    lead_in: float = Asked.lead_in_seconds,
    allow_mixed: bool = False,
) -> int:
    """Prints a table in a format, or for a terminal where none is given."""
    if style is not None and style not in FORMATS:
        raise RequestError(f"--format takes {', '.join(FORMATS)} (got {style!r})")
    with as_request():
        asked = Asked(
            metric=metric,
            dataset=dataset,
            subset=subset,
            policies=parse_policies(policy),
            lead_in_seconds=lead_in,
            allow_mixed=allow_mixed,
        )
        wanted = kind or (FOR_PROGRAMS if style in DATA else FOR_READERS)
        table = make_table(store, grid_name(grid), wanted, asked)
        if style is None:
            to_terminal(as_sheets(table), table.notes)
        else:
            sys.stdout.buffer.write(render(table, style))
            sys.stdout.buffer.flush()
    return 0
