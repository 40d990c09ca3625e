"""Axes and levels, the factors of an ablation and their values, and how several become one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphids.grid.edits import edit_together
from graphids.grid.settings import Settings


@dataclass(frozen=True)
class Level:
    """One value of an axis: a name in the table and the fields that it sets."""

    name: str
    edits: Mapping[str, object]

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise ValueError(
                f"a level needs a name (got {self.name!r} for edits {dict(self.edits)})"
            )

    def apply(self, settings: Settings) -> Settings:
        """``settings`` with this level's fields set, all at once."""
        return edit_together(settings, self.edits)

    @classmethod
    def joined(cls, *levels: Level) -> Level:
        """One level that sets what several set, named ``first+second``.

        Raises:
            ValueError: if two of them set a field to different values: one would undo the other.
        """
        edits: dict[str, object] = {}
        setter: dict[str, str] = {}
        for level in levels:
            for path, value in level.edits.items():
                if path in edits and edits[path] != value:
                    raise ValueError(
                        f"levels {setter[path]!r} and {level.name!r} both set {path!r}, to "
                        f"{edits[path]!r} and {value!r}; axes that go together set different fields"
                    )
                edits[path] = value
                setter[path] = level.name
        return cls("+".join(level.name for level in levels), edits)


@dataclass(frozen=True)
class Axis:
    """A factor of the design: its first level is the baseline's."""

    name: str
    levels: tuple[Level, ...]

    def __post_init__(self) -> None:
        names = [level.name for level in self.levels]
        if not names:
            raise ValueError(f"axis {self.name!r} has no levels; give at least the baseline's")
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"axis {self.name!r} names {repeated} more than once")

    @classmethod
    def of(cls, path: str, *values: object, name: str | None = None) -> Axis:
        """One field and its values, each named after itself: ``Axis.of("loss", "ce", "focal")``.

        Args:
            path: Field path from the last stage's settings, such as ``model.heads``.
            values: Values of the field; the first is the baseline's.
            name: Name of the axis in tables; the last part of ``path`` by default.
        """
        levels = tuple(Level(level_name(value), {path: value}) for value in values)
        return cls(name or path.rpartition(".")[2], levels)


def zip_axes(*axes: Axis, name: str | None = None) -> Axis:
    """Axes that move together, as one: its level ``i`` sets what level ``i`` of each one sets.

    Args:
        axes: Two axes or more, with as many levels each; their first levels are the baseline's.
        name: Name of the axis in tables; ``first+second`` by default.

    Raises:
        ValueError: for fewer than two axes, different numbers of levels, or two levels that would
            go together and set one field to different values.
    """
    if len(axes) < 2:
        raise ValueError(f"zip_axes takes at least two axes (got {len(axes)})")
    lengths = {axis.name: len(axis.levels) for axis in axes}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{axis!r} has {count}" for axis, count in lengths.items())
        raise ValueError(f"axes that move together need as many levels each; {counts}")
    moves = zip(*(axis.levels for axis in axes), strict=True)
    return Axis(
        name or "+".join(axis.name for axis in axes), tuple(Level.joined(*m) for m in moves)
    )


def level_name(value: object) -> str:
    """How a value reads as a level: text as it is, sequences joined, the rest by ``str``."""
    if isinstance(value, tuple | list):
        return "x".join(str(part) for part in value)
    return str(value)
