"""Rules that take rows out: every row stays accounted for, wherever designs are put together."""

from __future__ import annotations

from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from knobs import AXES, Knobs, axis, knobs

from graphids.grid import Axis, Dropped, Grid, Variant, exclude, full_factorial, union
from graphids.grid.exclusion import lost_levels


@settings(deadline=None)
@given(AXES, st.integers(1, 12))
def test_a_rule_parts_the_rows_and_loses_none(axes: tuple[Axis, ...], most: int) -> None:
    declared = full_factorial(Knobs(), *axes)
    if not any(sum(knobs(row).values()) > most for row in declared):
        with pytest.raises(ValueError, match="takes out no row"):
            exclude(declared, "small", lambda row: sum(knobs(row).values()) > most, reason="large")
        return
    rows = exclude(declared, "small", lambda row: sum(knobs(row).values()) > most, reason="large")
    assert [row.name for row in rows] == [row.name for row in declared]
    for row, before in zip(rows, declared, strict=True):
        assert row.stage == before.stage
        assert isinstance(row, Dropped) == (sum(knobs(before).values()) > most)
    grid = Grid(name="g", variants=rows, datasets=("d",), seeds=(0,))
    assert len(grid.variants) + len(grid.dropped) == len(declared)
    left = {(one.name, level.name) for one in axes for level in one.levels}
    for row in grid.variants:
        left -= {(knob, f"{knob}{value}") for knob, value in asdict(knobs(row)).items()}
    told = {f"no row is left with {knob} = {level} (rules: small)" for knob, level in left}
    assert set(lost_levels(grid)) == (told if len(axes) > 1 else set())


def test_dropped_rows_survive_where_designs_are_concatenated() -> None:
    axes = axis("a", 1), axis("b", 1)
    rows = exclude(full_factorial(Knobs(), *axes), "r", lambda row: row.name == "a1+b1", reason="x")
    # The second rule fits a row that the first one took out, which stays the first one's.
    again = exclude(rows, "s", lambda row: row.name.startswith("a1"), reason="y")
    extra = Variant(name="extra", stage=Knobs(d=1))
    grid = Grid(name="g", variants=(extra, *again), datasets=("d",), seeds=(0,))
    assert [row.name for row in grid.variants] == ["a0+b0", "extra", "a0+b1"]
    assert [(row.name, row.rule) for row in grid.dropped] == [("a1+b0", "s"), ("a1+b1", "r")]
    assert replace(grid, seeds=(0, 1)).dropped == grid.dropped
    below = Grid(
        name="g", variants=(rows[0],), datasets=("d",), seeds=(0,), references=(extra, rows[-1])
    )
    assert below.references == (extra,)
    assert below.dropped == (rows[-1],)


def test_a_union_keeps_what_one_grid_drops_and_another_has() -> None:
    every = full_factorial(Knobs(), axis("a", 1), axis("b", 1))
    less = exclude(every, "r", lambda row: row.name in ("a1+b1", "a1+b0"), reason="x")
    first = Grid(name="first", variants=less, datasets=("d",), seeds=(0,))
    second = Grid(name="second", variants=(every[0], every[-1]), datasets=("d",), seeds=(0,))
    joint = Grid(name="joint", variants=union((first, second)), datasets=("d",), seeds=(0,))
    assert {row.name for row in joint.variants} == {"a0+b0", "a0+b1", "a1+b1"}
    assert [row.name for row in joint.dropped] == ["a1+b0"]


def test_a_row_cannot_be_there_and_dropped() -> None:
    rows = full_factorial(Knobs(), axis("a", 1), axis("b", 1))
    less = exclude(rows, "r", lambda row: row.name == "a1+b1", reason="x")
    with pytest.raises(ValueError, match=r"has a row 'a1\+b1' and drops one .*rule 'r'"):
        Grid(name="g", variants=(*less, rows[-1]), datasets=("d",), seeds=(0,))


@pytest.mark.parametrize(
    ("name", "reason", "rows", "message"),
    [
        ("r", "x", {"a0+b0"}, "takes out the baseline"),
        ("r", "x", set(), "takes out no row"),
        ("alias", "x", {"a1+b1"}, "built-in rule"),
        ("invalid", "x", {"a1+b1"}, "built-in rule"),
        ("r", " ", {"a1+b1"}, "needs a name and a reason"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(
    name: str, reason: str, rows: set[str], message: str
) -> None:
    declared = full_factorial(Knobs(), axis("a", 1), axis("b", 1))
    with pytest.raises(ValueError, match=message):
        exclude(declared, name, lambda row: row.name in rows, reason=reason)
