"""Components: parts that a stage has or lacks, and the two designs that weigh them one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from graphids.grid.axis import Axis, Level
from graphids.grid.design import one_at_a_time
from graphids.grid.grid import Variant
from graphids.grid.trial import StageLike

NOTHING = "nothing"
"""Level of the row from which no component is taken, or to which none is added."""


@dataclass(frozen=True)
class Component:
    """A part that a stage has or lacks: the same fields, with the part and without it."""

    name: str
    """Name of the part, as in the row ``no_<name>``."""
    on: Mapping[str, object]
    """Field paths and their values with the part."""
    off: Mapping[str, object]
    """The same paths and their values without it."""

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError(f"a component needs a name (got {self.name!r} for {dict(self.on)})")
        odd = sorted(self.on.keys() ^ self.off.keys())
        if odd:
            raise ValueError(
                f"component {self.name!r} sets {odd} on one side only; give on and off the same "
                "fields, so that each undoes the other"
            )
        if dict(self.on) == dict(self.off):
            raise ValueError(f"component {self.name!r} is the same on and off: {dict(self.on)}")

    @classmethod
    def of(cls, path: str, on: object, off: object, *, name: str | None = None) -> Component:
        """A part that is one field: ``Component.of("model.dropout", 0.2, off=0.0)``.

        Args:
            path: Field path from the last stage's settings.
            on: Value with the part.
            off: Value without it.
            name: Name of the part; the last part of ``path`` by default.
        """
        return cls(name or path.rpartition(".")[2], {path: on}, {path: off})


def leave_one_out(
    full: StageLike, *components: Component, name: str = "full"
) -> tuple[Variant, ...]:
    """The full stage, the baseline, then for each component a row ``no_<component>`` without it.

    The rows stand on the axis ``without``; the baseline's level is "nothing".

    Args:
        full: Stage that has every component.
        components: Parts that can go, each without another.
        name: Name of the baseline's row.

    Raises:
        ValueError: for an unknown field, no component, one that ``full`` lacks, or one that cannot
            go without another.
    """
    kept = [Level(part.name, part.on) for part in components]
    moved = [Level(part.name, part.off) for part in components]
    return _one_by_one(Variant(name=name, stage=full), "without", "no", kept, moved)


def add_one_in(bare: StageLike, *components: Component, name: str = "bare") -> tuple[Variant, ...]:
    """The bare stage, the baseline, then for each component a row ``with_<component>``.

    The rows stand on the axis ``with``; the baseline's level is "nothing".

    Args:
        bare: Stage that has none of the components.
        components: Parts that can come, each without another.
        name: Name of the baseline's row.

    Raises:
        ValueError: for an unknown field, no component, one that ``bare`` has, or one that cannot
            come without another.
    """
    kept = [Level(part.name, part.off) for part in components]
    moved = [Level(part.name, part.on) for part in components]
    return _one_by_one(Variant(name=name, stage=bare), "with", "with", kept, moved)


def _one_by_one(
    start: Variant, axis: str, prefix: str, kept: Sequence[Level], moved: Sequence[Level]
) -> tuple[Variant, ...]:
    """The start, then a row per component in which it alone moves.

    Args:
        start: The baseline, by name and stage.
        axis: Name of the axis.
        prefix: Opens the name of each further row.
        kept: What each component sets in ``start``.
        moved: What each component sets in its own row.
    """
    if not kept:
        raise ValueError("the design needs a component at least; give Component.of(path, on, off)")
    for level in kept:
        if level.apply(start.stage) != start.stage:
            raise ValueError(
                f"{start.name!r} does not hold {dict(level.edits)} of component {level.name!r}; "
                f"the baseline of axis {axis!r} has all components on one side"
            )
    levels = (Level(NOTHING, {}), *moved)
    baseline, *rows = one_at_a_time(start.stage, Axis(axis, levels), name=start.name)
    for row in rows:
        for level in kept:
            if level.name != row.level and level.apply(row.stage) != row.stage:
                raise ValueError(
                    f"component {row.level!r} moves {level.name!r} with it (both bear on "
                    f"{sorted(level.edits)}); a row must differ from the baseline by one component"
                )
    return (baseline, *(replace(row, name=f"{prefix}_{row.level}") for row in rows))
