"""Designs: how axes become variants. Each returns a tuple, so an odd study concatenates them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import product

from graphids.grid.axis import Axis, Level
from graphids.grid.grid import Grid, Variant
from graphids.grid.trial import StageLike


def one_at_a_time(baseline: StageLike, *axes: Axis, name: str | None = None) -> tuple[Variant, ...]:
    """The baseline, then for each axis a variant per further level: one factor changed at a time.

    Args:
        baseline: Stage with the baseline's settings.
        axes: Axes; the first level of each is the baseline's.
        name: Name of the baseline's row; where it is not given, the first level's name if there is
            one axis, else "baseline".

    Raises:
        ValueError: for an unknown field, a first level that changes the baseline, or no axis.
    """
    _check_axes(baseline, axes)
    single = axes[0] if len(axes) == 1 else None
    rows = [
        Variant(
            name=name or (single.levels[0].name if single else "baseline"),
            stage=baseline,
            axis=single.name if single else None,
            level=single.levels[0].name if single else None,
            baseline=True,
        )
    ]
    for axis in axes:
        rows += [
            Variant(name=level.name, stage=level.apply(baseline), axis=axis.name, level=level.name)
            for level in axis.levels[1:]
        ]
    return tuple(rows)


def full_factorial(baseline: StageLike, *axes: Axis) -> tuple[Variant, ...]:
    """Every combination of levels; the combination of first levels is the baseline.

    Raises:
        ValueError: for an unknown field, a first level that changes the baseline, or no axis.
    """
    _check_axes(baseline, axes)
    rows: list[Variant] = []
    for levels in product(*(axis.levels for axis in axes)):
        stage = baseline
        for level in levels:
            stage = level.apply(stage)
        label = "+".join(level.name for level in levels)
        rows.append(
            Variant(
                name=label,
                stage=stage,
                axis="+".join(axis.name for axis in axes),
                level=label,
                baseline=not rows,
            )
        )
    return tuple(rows)


def union(grids: Iterable[Grid]) -> tuple[Variant, ...]:
    """Every variant of several grids; one that comes again under its name stands once.

    Of several baselines that end in the same stage the first stays one.

    Raises:
        ValueError: if two grids give one name to different rows.
    """
    rows: dict[str, Variant] = {}
    compared: set[str] = set()
    for grid in grids:
        for variant in grid.variants:
            known = rows.get(variant.name)
            if known is not None and known.stage != variant.stage:
                raise ValueError(
                    f"grid {grid.name!r} has a row {variant.name!r} that differs from an earlier "
                    "grid's row of that name; rename one of them"
                )
            if known is None:
                first = variant.baseline and variant.stage.name not in compared
                rows[variant.name] = replace(variant, baseline=first)
            if rows[variant.name].baseline:
                compared.add(variant.stage.name)
    return tuple(rows.values())


def _check_axes(baseline: StageLike, axes: tuple[Axis, ...]) -> None:
    """Applies every level once, so that a wrong field name fails where the grid is declared."""
    if not axes:
        raise ValueError("a design needs at least one axis; for a single row use Variant(...)")
    for axis in axes:
        _check_first_level(baseline, axis.name, axis.levels[0])
        for level in axis.levels:
            level.apply(baseline)


def _check_first_level(baseline: StageLike, axis: str, level: Level) -> None:
    """Refuses a first level that is not the baseline's: the delta would have no zero."""
    if level.apply(baseline) != baseline:
        raise ValueError(
            f"the first level of axis {axis!r} is {level.name!r}, which changes the baseline "
            f"({dict(level.edits)}); put the baseline's own level first"
        )
