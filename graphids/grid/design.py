"""Designs: how axes become variants. Each returns a tuple, so an odd study concatenates them.

A row that a rule takes out stays in the tuple as ``Dropped``, for the plan to list.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import combinations, product

from graphids.grid.axis import Axis, Level
from graphids.grid.grid import Analysis, Dropped, Grid, Variant
from graphids.grid.trial import StageLike

INVALID = "invalid"
"""Rule that drops a combination which a stage refuses."""


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


def full_factorial(
    baseline: StageLike, *axes: Axis, drop_invalid: bool = False
) -> tuple[Variant, ...]:
    """Every combination of levels; the combination of first levels is the baseline.

    Args:
        baseline: Stage with the baseline's settings.
        axes: Axes; the first level of each is the baseline's.
        drop_invalid: Whether a combination that a stage refuses becomes a ``Dropped`` row of the
            rule "invalid". Each level alone must be valid in any case.

    Raises:
        ValueError: for an unknown field, a first level that changes the baseline, no axis, two axes
            that set one field, or a combination that a stage refuses.
    """
    _check_axes(baseline, axes)
    first, *others = product(*(axis.levels for axis in axes))
    return (
        replace(_combination(baseline, axes, first, drop_invalid=False), baseline=True),
        *(_combination(baseline, axes, levels, drop_invalid=drop_invalid) for levels in others),
    )


def pairs(
    baseline: StageLike,
    *axes: Axis,
    k: int = 2,
    name: str | None = None,
    drop_invalid: bool = False,
) -> tuple[Variant, ...]:
    """One factor at a time, then every combination of further levels of ``k`` axes: interactions.

    A row that combines has the axis ``first+second`` and the level ``x+y``.

    Args:
        baseline: Stage with the baseline's settings.
        axes: At least ``k`` axes; the first level of each is the baseline's.
        k: Axes that differ from the baseline in a row that combines, at least 2.
        name: Name of the baseline's row, "baseline" by default.
        drop_invalid: As for ``full_factorial``.

    Raises:
        ValueError: for an unknown field, a first level that changes the baseline, fewer axes than
            ``k``, two axes that set one field, or a combination that a stage refuses.
    """
    if not 2 <= k <= len(axes):
        raise ValueError(
            f"k must be at least 2 and at most the number of axes, {len(axes)} (got {k}); for rows "
            "that change one axis use one_at_a_time"
        )
    alone = one_at_a_time(baseline, *axes, name=name)
    combined = (
        _combination(baseline, group, levels, drop_invalid=drop_invalid)
        for group in combinations(axes, k)
        for levels in product(*(axis.levels[1:] for axis in group))
    )
    return (*alone, *combined)


def union(grids: Iterable[Grid]) -> tuple[Variant, ...]:
    """Every variant of several grids; one that comes again under its name stands once.

    Of several baselines that end in the same stage the first stays one. A row that one grid drops
    and another one has stays in. Analyses come last, each of all seeds where one grid asks for
    all.

    Raises:
        ValueError: if two grids give one name to different rows or analyses.
    """
    rows: dict[str, Variant] = {}
    compared: set[str] = set()
    dropped: dict[str, Dropped] = {}
    for grid in grids:
        dropped |= {row.name: row for row in grid.dropped}
        for variant in (*grid.variants, *grid.analyses):
            known = rows.get(variant.name)
            if known is not None and known.stage != variant.stage:
                raise ValueError(
                    f"grid {grid.name!r} has a row {variant.name!r} that differs from an earlier "
                    "grid's row of that name; rename one of them"
                )
            if known is None:
                first = variant.baseline and variant.stage.name not in compared
                rows[variant.name] = replace(variant, baseline=first)
            else:
                rows[variant.name] = known.also_for(variant)
            if rows[variant.name].baseline:
                compared.add(variant.stage.name)
    ordered = sorted(rows.values(), key=lambda row: isinstance(row, Analysis))
    return (*ordered, *(row for name, row in dropped.items() if name not in rows))


def _combination(
    baseline: StageLike, axes: Sequence[Axis], levels: Sequence[Level], *, drop_invalid: bool
) -> Variant:
    """The row in which each of the axes stands at its level.

    Raises:
        ValueError: if two levels set one field, or a stage refuses what they set together.
    """
    level = Level.joined(*levels)
    axis = "+".join(one.name for one in axes)
    try:
        stage = level.apply(baseline)
    except ValueError as error:
        if not drop_invalid:
            raise ValueError(
                f"{axis} = {level.name} is refused: {error}; take it out with drop_invalid=True"
            ) from error
        return Dropped(
            name=level.name,
            stage=baseline,
            axis=axis,
            level=level.name,
            rule=INVALID,
            reason=str(error),
        )
    return Variant(name=level.name, stage=stage, axis=axis, level=level.name)


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
