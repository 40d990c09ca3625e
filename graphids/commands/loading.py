"""From names and flags to a grid and its plan."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, get_type_hints

import pydantic

import grids
from graphids.commands.errors import RequestError, as_request
from graphids.data.datasets import open_dataset
from graphids.grid.edits import edit_stages
from graphids.grid.grid import Grid, Variant
from graphids.grid.settings import field_value
from graphids.grid.trial import chain
from graphids.runner.expansion import make_plan
from graphids.runner.plan import DatasetInfo, Plan

AnyVariant = TypeVar("AnyVariant", bound=Variant)


def load_grid(name: str) -> Grid:
    """A shipped grid by name, or the ``GRID`` of a user's own file.

    Raises:
        RequestError: if there is no such grid, or the file declares none.
    """
    if name.endswith(".py"):
        module = _load_file(Path(name))
    elif name in grids.NAMES:
        module = importlib.import_module(f"grids.{name}")
    else:
        close = get_close_matches(name, grids.NAMES, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(grids.NAMES)}"
        raise RequestError(
            f"no grid is called {name!r}; {hint} (or give a path to your own .py file)"
        )
    found = vars(module).get("GRID")
    if not isinstance(found, Grid):
        raise RequestError(f"{module.__file__} declares no GRID = Grid(...); add one")
    return found


def narrow(
    grid: Grid, seeds: str | None, datasets: str | None, settings: Sequence[str] | None
) -> Grid:
    """A grid with other seeds, datasets or settings than it declares."""
    if seeds:
        grid = replace(grid, seeds=parse_seeds(seeds))
    if datasets:
        grid = replace(grid, datasets=tuple(datasets.split(",")))
    for setting in settings or ():
        grid = _override(grid, setting)
    return grid


def requested_plan(
    name: str,
    data: Path | None,
    store: Path,
    seeds: str | None,
    datasets: str | None,
    settings: Sequence[str] | None,
) -> Plan:
    """The plan of a grid as the flags of ``plan`` and ``run`` ask for it.

    Raises:
        RequestError: if the grid, a flag or a capture is refused.
    """
    with as_request():
        return plan_grid(narrow(load_grid(name), seeds, datasets, settings), data, store)


def plan_grid(grid: Grid, data: Path | None, store: Path) -> Plan:
    """Opens the datasets of a grid and expands it; digests of raw files are cached in the store."""
    infos = []
    for name in grid.datasets:
        dataset = open_dataset(name, data, digest_cache=store / "cache" / "digests.json")
        infos.append(DatasetInfo(name=name, digest=dataset.digest, notes=dataset.notes))
    return make_plan(grid, infos, data)


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from ``0-4`` or ``0,2,5``, or both mixed.

    Raises:
        RequestError: if a part is no number or range.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or (last and not last.isdigit()):
            raise RequestError(
                f"--seeds takes numbers and ranges such as 0-4 or 0,2,5 (got {text!r})"
            )
        seeds += range(int(first), int(last or first) + 1)
    return tuple(seeds)


def _load_file(path: Path) -> ModuleType:
    """A user's own grid file as a module."""
    if not path.is_file():
        raise RequestError(
            f"there is no file {path}; give the path of a grid file, or a grid's name"
        )
    # A name of its own: a file called queue.py must not take the place of the module.
    name = f"own_grid_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise RequestError(f"{path} cannot be loaded as Python")
    module = importlib.util.module_from_spec(spec)
    # Its classes are pickled by value for the workers, which needs the module to be known by name.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _override(grid: Grid, setting: str) -> Grid:
    """A grid with one setting of one kind of stage replaced in every variant and analysis."""
    path, equals, text = setting.partition("=")
    stage_name, dot, field_path = path.strip().partition(".")
    if not equals or not dot:
        raise RequestError(
            f"--set takes STAGE.FIELD=VALUE, such as classify.model.heads=8 (got {setting!r})"
        )
    declared = (*grid.variants, *grid.analyses)
    names = sorted({stage.name for one in declared for stage in chain(one.stage)})
    if stage_name not in names:
        raise RequestError(
            f"grid {grid.name!r} has no stage {stage_name!r}; it has {', '.join(names)}"
        )

    def edited(row: AnyVariant) -> AnyVariant:
        stage = edit_stages(
            row.stage, stage_name, field_path, lambda stage: _parse(stage, field_path, text)
        )
        return replace(row, stage=stage)

    return replace(
        grid,
        variants=tuple(map(edited, grid.variants)),
        analyses=tuple(map(edited, grid.analyses)),
    )


def _parse(settings: object, path: str, text: str) -> Any:
    """A value from the command line, checked against the type of the field at ``path``."""
    *parents, last = path.split(".")
    for parent in parents:
        settings = field_value(settings, parent)
    field_value(settings, last)
    kind = get_type_hints(type(settings))[last]
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    try:
        return pydantic.TypeAdapter(kind).validate_python(value)
    except pydantic.ValidationError as error:
        reasons = "; ".join(entry["msg"] for entry in error.errors())
        raise RequestError(f"--set {path}={text}: {reasons}") from error
