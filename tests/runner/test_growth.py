"""A finished grid grows by what is new alone: what was planned before keeps its fingerprint."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import make_dataclass, replace
from itertools import permutations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphids.core.models.supervised import GATConfig
from graphids.grid import (
    Axis,
    Component,
    Grid,
    Variant,
    exclude,
    full_factorial,
    leave_one_out,
    one_at_a_time,
    pairs,
)
from graphids.grid.fingerprint import fingerprint
from graphids.runner.expansion import make_plan
from graphids.runner.plan import DatasetInfo, Plan
from graphids.stages import Classify, Prepare

DATA = {name: DatasetInfo(name=name, digest=name[0] * 64) for name in ("one", "two")}
VALUES: Mapping[str, tuple[object, ...]] = {
    "loss": ("ce", "focal", "weighted_ce"),
    "model.heads": (4, 8, 2),
    "data.window": (100, 200),
    "fit.monitor": ("val_loss", "last"),
}
"""Levels by the path of their field; the windows are read upstream of the row's last stage."""
BASE = Classify(model=GATConfig(heads=4), data=Prepare(window=100, stride=50))


def plan(*variants: Variant, data: tuple[str, ...] = ("one",), seeds: int = 2) -> Plan:
    grid = Grid(name="growing", variants=variants, datasets=data, seeds=range(seeds))
    return make_plan(grid, [DATA[name] for name in data], None)


def axes(levels: Mapping[str, int]) -> list[Axis]:
    """The first levels of each axis, as many as asked for, and the baseline's."""
    return [Axis.of(path, *VALUES[path][: count + 1]) for path, count in levels.items()]


def grown(before: Plan, after: Plan) -> int:
    """Trials that are new, where all former ones are still there and count as committed."""
    assert set(before.trials) <= set(after.trials)
    summary = after.summary(set(before.trials))
    assert summary["committed"] == len(before.trials)
    assert summary["to_run"] == len(after.trials) - len(before.trials)
    return int(summary["to_run"])


SMALL = axes({"loss": 1, "model.heads": 1})
DESIGNS: Mapping[str, Callable[..., tuple[Variant, ...]]] = {
    "one_at_a_time": one_at_a_time,
    "full_factorial": full_factorial,
    "pairs": pairs,
}


@pytest.mark.parametrize(
    ("design", "new_level", "new_axis"),
    [("one_at_a_time", 1, 1), ("full_factorial", 2, 4), ("pairs", 2, 3)],
)
def test_a_level_or_an_axis_adds_its_own_rows_alone(
    design: str, new_level: int, new_axis: int
) -> None:
    make = DESIGNS[design]
    before = plan(*make(BASE, *SMALL))
    # Each new row takes a training for each of two seeds, and nothing else is new.
    level = plan(*make(BASE, *axes({"loss": 2, "model.heads": 1})))
    assert grown(before, level) == 2 * new_level
    axis = plan(*make(BASE, *SMALL, *axes({"fit.monitor": 1})))
    assert grown(before, axis) == 2 * new_axis


def test_an_axis_upstream_adds_the_work_upstream() -> None:
    before = plan(*one_at_a_time(BASE, *SMALL))
    after = plan(*one_at_a_time(BASE, *SMALL, *axes({"data.window": 1})))
    assert grown(before, after) == 1 + 2


def test_a_seed_or_a_dataset_adds_its_own_rows_alone() -> None:
    rows = one_at_a_time(BASE, *SMALL)
    before = plan(*rows)
    # Three classifiers, and those of the simple detectors below the table that have a seed.
    assert grown(before, plan(*rows, seeds=3)) == 3 + 3
    assert grown(before, plan(*rows, data=("one", "two"))) == len(before.trials)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_any_part_of_a_study_is_part_of_the_whole(data: st.DataObject) -> None:
    paths = data.draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=2, unique=True))
    most = {path: data.draw(st.integers(1, len(VALUES[path]) - 1)) for path in paths}
    some = {
        path: data.draw(st.integers(1, most[path]))
        for path in data.draw(st.lists(st.sampled_from(paths), min_size=1, unique=True))
    }
    rows = one_at_a_time(BASE, *axes(some))
    assert grown(plan(*rows), plan(*pairs(BASE, *axes(most)))) >= 0
    order = data.draw(st.permutations(axes(most)))
    assert set(plan(*pairs(BASE, *order)).trials) == set(plan(*pairs(BASE, *axes(most))).trials)


def test_neither_order_nor_names_bear_on_a_fingerprint() -> None:
    rows = one_at_a_time(BASE, *axes({"loss": 2, "model.heads": 1}))
    before = plan(*rows)
    for order in permutations(rows):
        assert set(plan(*order).trials) == set(before.trials)
    renamed = [replace(row, name=f"row {i}", axis="x", level=None) for i, row in enumerate(rows)]
    assert set(plan(*renamed).trials) == set(before.trials)


def test_a_row_under_another_baseline_keeps_its_fingerprint() -> None:
    first, *others = one_at_a_time(BASE, *SMALL)
    moved = [replace(first, baseline=False), replace(others[0], baseline=True), *others[1:]]
    assert set(plan(*moved).trials) == set(plan(first, *others).trials)


def test_designs_of_one_study_share_their_trials() -> None:
    """Leaving a part out of the full stage is one level of an axis by another name."""
    parts = leave_one_out(
        BASE, Component.of("loss", "ce", off="focal"), Component.of("model.heads", 4, off=8)
    )
    rows = one_at_a_time(BASE, *SMALL)
    assert set(plan(*parts).trials) == set(plan(*rows).trials)
    both = plan(*full_factorial(BASE, *SMALL))
    assert set(plan(*pairs(BASE, *SMALL)).trials) == set(both.trials)


def test_a_new_field_with_its_default_changes_no_fingerprint() -> None:
    def stage(*more: tuple[str, type, Any]) -> Any:
        """A stage of one name in two versions of the source, with settings that grew."""
        space = {
            "__module__": "graphids.later", "name": "grow", "version": 1, "seeded": True,
            "upstream": lambda self: {},
        }  # fmt: skip
        net = make_dataclass(
            "Net", [("heads", int, 4), *more], frozen=True, kw_only=True, namespace=space
        )
        fields = [("model", net, net(heads=8)), ("loss", str, "ce"), *more]
        whole = make_dataclass("Grow", fields, frozen=True, kw_only=True, namespace=space)
        return whole(loss="focal", model=net(heads=2))

    old, new = stage(), stage(("width", int, 1), ("kind", str, "plain"))
    assert fingerprint(old, "d", 0, {}) == fingerprint(new, "d", 0, {})
    used = replace(new, width=2), replace(new, model=replace(new.model, width=2))
    assert len({fingerprint(one, "d", 0, {}) for one in (new, *used)}) == 3


def test_the_plan_lists_what_rules_take_out_beside_what_is_equal() -> None:
    rows = exclude(
        full_factorial(BASE, *axes({"loss": 1, "data.window": 1})),
        "long windows",
        lambda row: row.level is not None and row.level.endswith("200"),
        reason="the vehicle sends too little",
    )
    twin = Variant(name="twin", stage=BASE)
    found = plan(*rows, twin)
    summary = json.loads(json.dumps(found.summary(set())))
    assert summary["variants"] == ["ce+100", "focal+100"]
    assert [(entry["variant"], entry["rule"]) for entry in summary["dropped"]] == [
        ("ce+200", "long windows"), ("focal+200", "long windows"), ("twin", "alias"),
    ]  # fmt: skip
    assert summary["dropped"][0]["reason"] == "the vehicle sends too little"
    assert summary["notes"] == ["no row is left with window = 200 (rules: long windows)"]
    assert {trial.stage for trial in found.trials.values()} >= {BASE}
    assert len(found.trials) == len(plan(*full_factorial(BASE, *axes({"loss": 1}))).trials)


def test_a_rule_taken_back_runs_its_rows_alone() -> None:
    every = full_factorial(BASE, *SMALL)
    less = exclude(every, "r", lambda row: row.name == "focal+8", reason="x")
    assert grown(plan(*less), plan(*every)) == 2


def test_combinations_that_a_real_stage_refuses_are_told_with_its_words() -> None:
    rows = pairs(
        replace(BASE, data=Prepare(window=100, stride=100, sequence_length=2)),
        Axis.of("model.sequence_pool", "auto", "gru"),
        Axis.of("data.sequence_length", 2, 1),
        drop_invalid=True,
    )
    (entry,) = plan(*rows).summary(set())["dropped"]
    assert (entry["variant"], entry["rule"]) == ("gru+1", "invalid")
    assert "needs sequences" in entry["reason"]
