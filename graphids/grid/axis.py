"""Axes and levels: the factors of an ablation and their values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from graphids.grid.settings import Settings, edit


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
        """``settings`` with this level's fields set."""
        return edit(settings, self.edits)


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


def level_name(value: object) -> str:
    """How a value reads as a level: text as it is, sequences joined, the rest by ``str``."""
    if isinstance(value, tuple | list):
        return "x".join(str(part) for part in value)
    return str(value)
