"""``report``: a whole study as one page that works offline, and its figures as files."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from typing import Any

import grids
from analysis.tables.study import Asked
from graphids.commands.errors import RequestError, as_request
from graphids.commands.names import grid_name
from graphids.store.files import write_atomic


def main(
    *,
    grid: str,
    out: Path,
    store: Path,
    figures: Path | None,
    metric: str,
    dataset: str | None,
    allow_mixed: bool,
) -> int:
    """Writes the page of a grid, and its figures where a folder is given.

    Raises:
        RequestError: if the results are refused, or a file cannot be written.
    """
    with as_request():
        asked = Asked(metric=metric, dataset=dataset, allow_mixed=allow_mixed)
        made = _module("analysis.report")
        report = made["read_report"](store, grid_name(grid), asked)
        page: str = made["to_page"](report, question(grid))
    try:
        write_atomic(out, page.encode())
    except OSError as error:
        raise RequestError(f"--out {out} cannot be written: {error.strerror}") from error
    drawn = sum(one.chart is not None for one in report.figures)
    sys.stdout.write(f"{out}: {drawn} figures, {len(page.encode()) / 2**20:.1f} MiB\n")
    if figures is not None:
        try:
            made["write_figures"](report, figures)
        except OSError as error:
            raise RequestError(
                f"--figures {figures} cannot be written: {error.strerror}"
            ) from error
    return 0


def question(grid: str) -> str:
    """What a grid asks: the docstring of its file, which is read and not imported.

    Args:
        grid: Name of a shipped grid, or the path of a user's own file; empty where neither is.
    """
    own = grid.endswith(".py")
    path = Path(grid) if own else Path(grids.__file__).parent / f"{grid}.py"
    if not own and grid not in grids.NAMES:
        return ""
    return ast.get_docstring(ast.parse(path.read_text())) or ""


def _module(name: str) -> dict[str, Any]:
    """The report's module, imported when it is asked for: its drawing library is an extra."""
    try:
        return vars(importlib.import_module(name))
    except ModuleNotFoundError as error:
        raise RequestError(
            f"a report needs the package {error.name}: install graphids[report]"
        ) from error
