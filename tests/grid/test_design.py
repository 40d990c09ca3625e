"""Axes, designs and grids: what is declared is checked where it is declared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from graphids.grid import Axis, Grid, Level, Variant, full_factorial, one_at_a_time
from graphids.grid.fingerprint import canonical, fingerprint, own_settings, type_name


@dataclass(frozen=True, kw_only=True)
class Net:
    conv: str = "gat"
    heads: int = 4

    def __post_init__(self) -> None:
        if self.heads < 1:
            raise ValueError(f"heads must be at least 1 (got {self.heads})")


@dataclass(frozen=True, kw_only=True)
class Prep:
    name = "prep"
    version = 1
    seeded = False
    window: int = 100

    def upstream(self) -> Mapping[str, object]:
        return {}


@dataclass(frozen=True, kw_only=True)
class Train:
    name = "train"
    version = 1
    seeded = True
    data: Prep = field(default_factory=Prep)
    model: Net = field(default_factory=Net)
    loss: str = "ce"

    def upstream(self) -> Mapping[str, object]:
        return {"data": self.data}


def test_one_at_a_time_changes_one_factor_per_row() -> None:
    rows = one_at_a_time(
        Train(), Axis.of("loss", "ce", "focal"), Axis.of("model.heads", 4, 8), name="base"
    )
    assert [row.name for row in rows] == ["base", "focal", "8"]
    assert rows[0].baseline
    assert not any(row.baseline for row in rows[1:])
    assert (rows[1].stage.loss, rows[1].stage.model.heads) == ("focal", 4)
    assert (rows[2].stage.loss, rows[2].stage.model.heads) == ("ce", 8)


def test_full_factorial_has_every_combination_once() -> None:
    rows = full_factorial(Train(), Axis.of("loss", "ce", "focal"), Axis.of("model.heads", 4, 8, 2))
    assert len({(row.stage.loss, row.stage.model.heads) for row in rows}) == len(rows) == 6
    assert [row.baseline for row in rows] == [True] + [False] * 5
    assert rows[0].stage == Train()


def test_a_level_may_carry_several_edits_and_reach_upstream() -> None:
    level = Level("wide", {"data.window": 200, "model.conv": "gatv2"})
    changed = level.apply(Train())
    assert (changed.data.window, changed.model.conv, changed.model.heads) == (200, "gatv2", 4)


@pytest.mark.parametrize(
    ("axis", "message"),
    [
        (Axis.of("model.cnov", "gat"), "Net has no field 'cnov'; did you mean 'conv'"),
        (Axis.of("zzz", 1), "Train has no field 'zzz'; its fields are data, model, loss"),
        (Axis.of("model.heads", 4, 0), "heads must be at least 1"),
        (Axis.of("loss", "focal", "ce"), "put the baseline's own level first"),
        (Axis.of("loss.deeper", "x"), "str has no fields"),
    ],
)
def test_a_wrong_axis_is_refused_at_declaration(axis: Axis, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("(", r"\(")):
        one_at_a_time(Train(), axis)


def test_repeated_levels_and_names_are_refused() -> None:
    with pytest.raises(ValueError, match="more than once"):
        Axis.of("loss", "ce", "ce")
    row = Variant(name="a", stage=Train(), baseline=True)
    with pytest.raises(ValueError, match="repeats the variants"):
        Grid(name="g", variants=(row, row), datasets=("d",), seeds=(0,))
    with pytest.raises(ValueError, match="has no seeds"):
        Grid(name="g", variants=(row,), datasets=("d",), seeds=())
    with pytest.raises(ValueError, match="no baseline"):
        Grid(name="g", variants=(Variant(name="a", stage=Train()),), datasets=("d",), seeds=(0,))
    floor = Variant(name="always_attack", stage=Train())
    with pytest.raises(ValueError, match="always_attack"):
        Grid(name="g", variants=(row, floor), datasets=("d",), seeds=(0,))


def test_the_baseline_comes_first() -> None:
    other, base = Variant(name="b", stage=Prep()), Variant(name="a", stage=Train(), baseline=True)
    grid = Grid(name="g", variants=(other, base), datasets=("d",), seeds=(0,))
    assert [variant.name for variant in grid.variants] == ["a", "b"]


def test_fingerprints_tell_apart_what_bears_on_the_result_and_nothing_else() -> None:
    base = fingerprint(Train(), "digest", 0, {"data": "x"})
    assert base == fingerprint(Train(model=Net(heads=4)), "digest", 0, {"data": "x"})
    others = [
        fingerprint(Train(loss="focal"), "digest", 0, {"data": "x"}),
        fingerprint(Train(model=Net(heads=8)), "digest", 0, {"data": "x"}),
        fingerprint(Train(), "other", 0, {"data": "x"}),
        fingerprint(Train(), "digest", 1, {"data": "x"}),
        fingerprint(Train(), "digest", 0, {"data": "y"}),
        fingerprint(Prep(), "digest", 0, {"data": "x"}),
    ]
    assert len({base, *others}) == 7


def test_stages_of_different_classes_are_never_the_same_trial() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Mine(Train):
        """A user's own stage with the name and the settings of another."""

    assert fingerprint(Mine(), "d", 0, {}) != fingerprint(Train(), "d", 0, {})


def test_a_new_setting_with_a_default_leaves_old_fingerprints_alone() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Wider(Net):
        """The same settings with one more field."""

        extra: float = 0.5

    name = type_name(Net())
    assert own_settings(Train(model=Net(heads=8))) == {"model": {"type": name, "heads": 8}}
    changed = own_settings(Train(model=Wider(heads=8)))["model"]
    assert {key: changed[key] for key in changed if key != "type"} == {"heads": 8}


def test_upstream_settings_enter_through_the_upstream_fingerprint_alone() -> None:
    assert own_settings(Train(data=Prep(window=50))) == {}


def test_settings_of_ones_own_are_no_twins_of_others_with_their_name() -> None:
    first, second = (
        dataclass(frozen=True)(type("Head", (), {"__module__": name, "__annotations__": {}}))()
        for name in ("mine", "yours")
    )
    assert canonical(first) != canonical(second)
