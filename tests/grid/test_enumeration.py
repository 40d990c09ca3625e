"""Designs against the slow way: every setting of four knobs, and the ones that a design keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from itertools import permutations
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from knobs import AXES, KNOBS, Knobs, axis, everything, knobs, turned

from graphids.grid import (
    Axis,
    Component,
    Dropped,
    Level,
    Variant,
    add_one_in,
    full_factorial,
    leave_one_out,
    one_at_a_time,
    pairs,
    zip_axes,
)


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A stage whose two fields are bound by a rule."""

    name: ClassVar[str] = "cut"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = False

    window: int = 100
    stride: int = 100
    knobs: Knobs = field(default_factory=Knobs)

    def __post_init__(self) -> None:
        if self.stride > self.window:
            raise ValueError(f"stride {self.stride} exceeds window {self.window}")

    def upstream(self) -> Mapping[str, Any]:
        return {}


def assert_each_once(rows: tuple[Variant, ...], expected: list[tuple[int, ...]]) -> None:
    found = [knobs(row).values() for row in rows if not isinstance(row, Dropped)]
    assert sorted(found) == sorted(expected)
    assert [row.baseline for row in rows] == [True] + [False] * (len(rows) - 1)
    assert not any(knobs(rows[0]).values())


@settings(deadline=None)
@given(AXES)
def test_full_factorial_is_every_setting_once(axes: tuple[Axis, ...]) -> None:
    rows = full_factorial(Knobs(), *axes)
    assert_each_once(rows, everything(axes))
    assert rows[0].level == "+".join(one.levels[0].name for one in axes)


@settings(deadline=None)
@given(AXES.filter(lambda axes: len(axes) > 1), st.data())
def test_pairs_are_the_settings_with_none_one_or_k_knobs_turned(
    axes: tuple[Axis, ...], data: st.DataObject
) -> None:
    k = data.draw(st.integers(2, len(axes)))
    rows = pairs(Knobs(), *axes, k=k)
    assert_each_once(rows, [v for v in everything(axes) if len(turned(v)) in (0, 1, k)])
    assert rows[: len(one_at_a_time(Knobs(), *axes))] == one_at_a_time(Knobs(), *axes)
    for row in rows[1:]:
        stage = asdict(knobs(row))
        assert row.axis is not None
        assert sorted(row.axis.split("+")) == turned(knobs(row).values())
        assert row.level == "+".join(f"{knob}{stage[knob]}" for knob in row.axis.split("+"))


@settings(deadline=None)
@given(AXES, st.integers(1, 4))
def test_what_a_stage_refuses_is_dropped_where_asked_for_and_else_raises(
    axes: tuple[Axis, ...], most: int
) -> None:
    base = Knobs(most=most)
    valid = [values for values in everything(axes) if len(turned(values)) <= most]
    rows = full_factorial(base, *axes, drop_invalid=True)
    assert_each_once(rows, valid)
    dropped = [row for row in rows if isinstance(row, Dropped)]
    assert len(dropped) == len(everything(axes)) - len(valid)
    assert all(row.rule == "invalid" and f"{most} may be" in row.reason for row in dropped)
    if dropped:
        with pytest.raises(ValueError, match=r"is refused: .* may be; take it out with drop_inv"):
            full_factorial(base, *axes)
    else:
        assert rows == full_factorial(base, *axes)


PARTS = st.lists(st.sampled_from(KNOBS), min_size=1, unique=True)


@settings(deadline=None)
@given(PARTS, st.booleans())
def test_components_go_or_come_one_at_a_time(names: list[str], leave: bool) -> None:
    parts = [Component.of(knob, 7, off=0) for knob in names]
    full = Knobs(**dict.fromkeys(names, 7))
    rows = leave_one_out(full, *parts) if leave else add_one_in(Knobs(), *parts)
    stays, goes = (7, 0) if leave else (0, 7)
    expected = [
        {knob: goes if knob == moved else stays if knob in names else 0 for knob in KNOBS}
        for moved in (None, *names)
    ]
    assert [dict(zip(KNOBS, knobs(row).values(), strict=True)) for row in rows] == expected
    prefix = "no" if leave else "with"
    start = "full" if leave else "bare"
    assert [row.name for row in rows] == [start, *(f"{prefix}_{knob}" for knob in names)]
    assert [row.level for row in rows] == ["nothing", *names]
    assert {row.axis for row in rows} == {"without" if leave else "with"}
    assert [row.baseline for row in rows] == [True] + [False] * len(names)


@settings(deadline=None)
@given(st.integers(1, 3), st.lists(st.sampled_from(KNOBS), min_size=2, max_size=4, unique=True))
def test_zipped_axes_move_together(further: int, names: list[str]) -> None:
    together = zip_axes(*(axis(knob, further) for knob in names))
    rows = one_at_a_time(Knobs(), together)
    assert together.name == "+".join(names)
    assert [knobs(row).values() for row in rows] == [
        tuple(value if knob in names else 0 for knob in KNOBS) for value in range(further + 1)
    ]
    assert rows[-1].level == "+".join(f"{knob}{further}" for knob in names)


def test_a_level_is_the_same_whatever_the_order_of_its_fields() -> None:
    edits = {"window": 50, "stride": 50, "knobs": Knobs(b=2), "knobs.a": 1, "knobs.c": 3}
    found = {Level("x", dict(order)).apply(Cut()) for order in permutations(edits.items())}
    assert found == {Cut(window=50, stride=50, knobs=Knobs(a=1, b=2, c=3))}
    with pytest.raises(ValueError, match="stride 100 exceeds window 50"):
        Level("x", {"window": 50}).apply(Cut())


def test_the_order_of_axes_bears_on_no_setting() -> None:
    axes = [axis(knob, further) for knob, further in (("a", 2), ("b", 1), ("c", 2))]
    found = {
        frozenset(row.stage for row in pairs(Knobs(most=2), *order)) for order in permutations(axes)
    }
    assert len(found) == 1


def test_axes_that_cannot_go_together_are_refused() -> None:
    first, same = axis("a", 1), Axis("twice", (Level("still", {}), Level("more", {"a": 2})))
    with pytest.raises(ValueError, match="'a0' and 'more' both set 'a', to 0 and 2"):
        full_factorial(Knobs(), first, same, drop_invalid=True)
    with pytest.raises(ValueError, match="'a1' and 'more' both set 'a', to 1 and 2"):
        pairs(Knobs(), first, same, drop_invalid=True)
    with pytest.raises(ValueError, match="'a' has 2, 'b' has 3"):
        zip_axes(first, axis("b", 2))
    with pytest.raises(ValueError, match="at least two axes"):
        zip_axes(first)
    for k in (1, 3):
        with pytest.raises(ValueError, match=rf"number of axes, 2 \(got {k}\)"):
            pairs(Knobs(), first, axis("b", 1), k=k)


def test_a_misspelt_field_is_no_invalid_combination() -> None:
    with pytest.raises(ValueError, match="Knobs has no field 'e'"):
        full_factorial(Knobs(), axis("a", 1), Axis("e", (Level("no", {}), Level("yes", {"e": 1}))),
                       drop_invalid=True)  # fmt: skip


def test_components_that_are_none_are_refused() -> None:
    a, b = Component.of("a", 1, off=0), Component.of("b", 1, off=0)
    with pytest.raises(ValueError, match=r"'full' does not hold \{'b': 1\} of component 'b'"):
        leave_one_out(Knobs(a=1), a, b)
    with pytest.raises(ValueError, match=r"'bare' does not hold \{'a': 0\} of component 'a'"):
        add_one_in(Knobs(a=1), a, b)
    with pytest.raises(ValueError, match="component at least"):
        leave_one_out(Knobs())
    with pytest.raises(ValueError, match="more than once"):
        leave_one_out(Knobs(a=1), a, a)
    both = Component("both", on={"a": 1, "b": 1}, off={"a": 0, "b": 0})
    with pytest.raises(ValueError, match="'a' moves 'both' with it"):
        leave_one_out(Knobs(a=1, b=1), a, both)
    with pytest.raises(ValueError, match=r"sets \['b'\] on one side only"):
        Component("odd", on={"a": 1}, off={"a": 0, "b": 0})
    with pytest.raises(ValueError, match="the same on and off"):
        Component.of("a", 1, off=1)
