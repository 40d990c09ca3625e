"""Taking rows out of a design by a rule with a name, so that no row is missing in silence."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from graphids.grid.design import INVALID
from graphids.grid.grid import Analysis, Dropped, Grid, Variant

ALIAS = "alias"
"""Rule of a plan that makes equal rows one."""
NO_ROW = "no_row"
"""Rule of a plan that leaves out an analysis of what no row trains."""


def exclude(
    variants: Iterable[Variant], name: str, when: Callable[[Variant], bool], *, reason: str
) -> tuple[Variant, ...]:
    """The variants, those that a rule takes out as ``Dropped`` in their places.

    Rows that an earlier rule took out stay as they are, and so do analyses: the plan leaves out
    those of which no row is left.

    Args:
        variants: What a design returns.
        name: Name of the rule, as the plan lists it.
        when: Tells which rows the rule takes out.
        reason: Why such a row makes no sense.

    Raises:
        ValueError: for a rule without name or reason or with the name of a built-in one, one that
            takes out a baseline, or one that takes out nothing.
    """
    if not name.strip() or not reason.strip():
        raise ValueError(f"a rule needs a name and a reason (got {name!r} and {reason!r})")
    if name in (ALIAS, INVALID, NO_ROW):
        raise ValueError(f"{name!r} is the name of a built-in rule; name yours otherwise")
    rows = tuple(variants)
    taken = {id(row) for row in rows if not isinstance(row, Dropped | Analysis) and when(row)}
    if not taken:
        raise ValueError(f"rule {name!r} takes out no row; correct its condition or remove it")
    baselines = [row.name for row in rows if row.baseline and id(row) in taken]
    if baselines:
        raise ValueError(
            f"rule {name!r} takes out the baseline {baselines[0]!r}, so that nothing is left to "
            "compare with; narrow its condition"
        )
    return tuple(_dropped(row, name, reason) if id(row) in taken else row for row in rows)


def lost_levels(grid: Grid) -> tuple[str, ...]:
    """Levels of which every combination was taken out, each as a sentence for the plan."""
    left = {part for row in grid.variants for part in _levels(row)}
    lost: dict[tuple[str, str], set[str]] = {}
    for row in grid.dropped:
        parts = _levels(row)
        # A row of one axis is listed as itself; here stands what a list of rows does not show.
        for part in parts if len(parts) > 1 else ():
            if part not in left:
                lost.setdefault(part, set()).add(row.rule)
    return tuple(
        f"no row is left with {axis} = {level} (rules: {', '.join(sorted(rules))})"
        for (axis, level), rules in lost.items()
    )


def _dropped(row: Variant, rule: str, reason: str) -> Dropped:
    """The row as one that a rule takes out."""
    return Dropped(**vars(row), rule=rule, reason=reason)


def _levels(row: Variant) -> tuple[tuple[str, str], ...]:
    """Axis and level of each axis that a row stands on; as one where their names do not split."""
    if row.axis is None or row.level is None:
        return ()
    axes, levels = row.axis.split("+"), row.level.split("+")
    if len(axes) != len(levels):
        return ((row.axis, row.level),)
    return tuple(zip(axes, levels, strict=True))
