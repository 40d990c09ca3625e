"""The name of a grid without importing it, for the verbs that read results alone."""

from __future__ import annotations

import ast
from pathlib import Path

from graphids.commands.errors import RequestError


def grid_name(grid: str) -> str:
    """Name of a grid: as given, or as a user's own file declares it in ``Grid(name=...)``."""
    if not grid.endswith(".py"):
        return grid
    path = Path(grid)
    if not path.is_file():
        raise RequestError(
            f"there is no file {path}; give the path of a grid file, or a grid's name"
        )
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("Grid"):
            for keyword in node.keywords:
                if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
                    return str(keyword.value.value)
    raise RequestError(f'{path} has no Grid(name="..."); give the name of its grid instead')
