"""A stage with four knobs, small enough that every setting of it can be counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

from hypothesis import strategies as st

from graphids.grid import Axis, Level, Variant

KNOBS = ("a", "b", "c", "d")


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """Four numbers, of which at most ``most`` together may leave 0."""

    name: ClassVar[str] = "knobs"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = True

    a: int = 0
    b: int = 0
    c: int = 0
    d: int = 0
    most: int = 4

    def __post_init__(self) -> None:
        turned = sum(value != 0 for value in self.values())
        if turned > self.most:
            raise ValueError(f"{turned} knobs are turned, {self.most} may be")

    def values(self) -> tuple[int, ...]:
        return self.a, self.b, self.c, self.d

    def upstream(self) -> Mapping[str, Any]:
        return {}


def axis(knob: str, further: int) -> Axis:
    levels = (Level(f"{knob}{value}", {knob: value}) for value in range(further + 1))
    return Axis(knob, tuple(levels))


def everything(axes: tuple[Axis, ...]) -> list[tuple[int, ...]]:
    """Every setting that the axes reach, by counting."""
    reach = {one.name: len(one.levels) for one in axes}
    return list(product(*(range(reach.get(knob, 1)) for knob in KNOBS)))


def turned(values: tuple[int, ...]) -> list[str]:
    return [knob for knob, value in zip(KNOBS, values, strict=True) if value]


def knobs(row: Variant) -> Knobs:
    assert isinstance(row.stage, Knobs)
    return row.stage


AXES = st.permutations(KNOBS).flatmap(
    lambda names: st.lists(st.integers(0, 3), min_size=1, max_size=4).map(
        lambda counts: tuple(map(axis, names, counts))
    )
)
