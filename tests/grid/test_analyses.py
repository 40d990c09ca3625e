"""Analyses hang on rows: nothing is trained for them, and no row, count or digest sees them."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace

import polars as pl
import pytest

from graphids.commands.loading import narrow
from graphids.grid import (
    Analysis,
    Axis,
    Grid,
    Variant,
    exclude,
    leave_one_out,
    one_at_a_time,
    union,
)
from graphids.grid.components import Component
from graphids.grid.fingerprint import stage_digest
from graphids.runner.expansion import make_plan
from graphids.runner.plan import DatasetInfo, Plan
from graphids.stages import Autoencode, Classify, Prepare
from graphids.stages.analyse import Attention, Embeddings, Landscape

BASE = Classify(data=Prepare())
FOCAL = replace(BASE, loss="focal")
ROWS = one_at_a_time(BASE, Axis.of("loss", "ce", "focal"))
OF_BASE = Analysis(name="ce_embeddings", stage=Embeddings(detector=BASE))
OF_FOCAL = Analysis(name="focal_attention", stage=Attention(classifier=FOCAL))
SHIPPED = ("smoke", "first", "distillation", "everything")


def grid(*analyses: Analysis, **settings: object) -> Grid:
    usual = {"name": "g", "variants": ROWS, "datasets": ("one", "two"), "seeds": (3, 4, 5)}
    return Grid(**(usual | {"analyses": analyses} | settings))  # type: ignore[arg-type]


def plan(of: Grid) -> Plan:
    return make_plan(of, [DatasetInfo(name=n, digest=n[0] * 64) for n in of.datasets], None)


def shipped(name: str) -> Grid:
    found: Grid = vars(importlib.import_module(f"grids.{name}"))["GRID"]
    return found


def names(found: Plan) -> list[str]:
    return [analysis.name for analysis in found.grid.analyses]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_grid_trains_nothing_for_its_analyses(name: str) -> None:
    of = shipped(name)
    whole, bare = plan(of), plan(replace(of, analyses=()))
    own = {look.fingerprint for look in whole.analyses}
    assert whole.analyses
    assert set(whole.trials) - own == set(bare.trials)
    assert not own & set(bare.trials)
    assert whole.rows == bare.rows
    assert whole.design == bare.design
    assert len(whole.analyses) == len(of.analyses) * len(of.datasets)
    assert all(set(look.chain) - own <= set(bare.trials) for look in whole.analyses)
    labels = {key: trial.label for key, trial in bare.trials.items()}
    assert all(whole.trials[key].label == label for key, label in labels.items())


def test_an_analysis_looks_at_the_first_seed_or_at_all() -> None:
    found = plan(grid(OF_BASE, replace(OF_FOCAL, all_seeds=True)))
    seeds = {
        (look.variant.name, look.dataset, look.seed): found.trials[look.fingerprint].seed
        for look in found.analyses
    }
    assert seeds == {
        **{("ce_embeddings", dataset, 3): 3 for dataset in ("one", "two")},
        **{("focal_attention", d, seed): seed for d in ("one", "two") for seed in (3, 4, 5)},
    }


def test_counts_are_those_of_rows() -> None:
    whole, bare = (plan(of).summary(set()) for of in (grid(OF_BASE), grid()))
    assert json.loads(json.dumps(whole))["analyses"] == ["ce_embeddings"]
    for count in ("rows", "variants", "references", "dropped"):
        assert whole[count] == bare[count]
    for count in ("trials", "unique_trials", "to_run"):
        assert whole[count] == bare[count] + 2


def test_the_frame_has_an_analysis_once_and_below_all_rows() -> None:
    frame = plan(grid(OF_BASE)).frame("run")
    (own,) = frame.filter(role="analysis", dataset="one").rows(named=True)
    assert (own["variant"], own["stage"], own["seed"]) == ("ce_embeddings", "embeddings", 3)
    assert own["label"] == "analyse ce_embeddings one seed 3"
    others = frame.filter(pl.col("role") != "analysis")
    assert own["position"] > others["position"].max()  # type: ignore[operator]
    assert set(own["upstream"]) <= set(others["fingerprint"])
    assert "ce_embeddings" not in set(others["variant"])


def test_growth_adds_the_analysis_alone() -> None:
    before, after = plan(grid()), plan(grid(OF_BASE, OF_FOCAL))
    assert len(set(after.trials) - set(before.trials)) == 4
    assert set(before.trials) < set(after.trials)
    assert after.summary(set(before.trials))["to_run"] == 4


def test_an_analysis_of_what_no_row_trains_is_left_out_and_told() -> None:
    other = Analysis(name="vgae_landscape", stage=Landscape(detector=Autoencode(data=BASE.data)))
    found = plan(grid(OF_BASE, other))
    assert names(found) == ["ce_embeddings"]
    (told,) = found.dropped
    assert (told["variant"], told["rule"]) == ("vgae_landscape", "no_row")
    assert "its detector" in told["reason"]
    assert all(trial.stage.name != "autoencode" for trial in found.trials.values())


def test_the_analysis_of_an_excluded_row_goes_with_it() -> None:
    rows = exclude(
        (*ROWS, OF_FOCAL), "no_focal", lambda row: row.level == "focal", reason="not wanted"
    )
    found = plan(grid(OF_BASE, variants=rows))
    assert names(found) == ["ce_embeddings"]
    assert {entry["variant"]: entry["rule"] for entry in found.dropped} == {
        "focal": "no_focal", "focal_attention": "no_row",
    }  # fmt: skip
    with pytest.raises(ValueError, match="built-in rule"):
        exclude(ROWS, "no_row", lambda row: row.level == "focal", reason="not wanted")


def test_an_analysis_of_a_row_of_components() -> None:
    rows = leave_one_out(BASE, Component.of("tau_norm", 0.0, off=0.5))
    without = rows[1].stage
    assert isinstance(without, Classify)
    look = Analysis(name="look", stage=Attention(classifier=without))
    assert names(plan(grid(look, variants=rows))) == ["look"]


def test_equal_analyses_are_one() -> None:
    found = plan(grid(OF_BASE, replace(OF_BASE, name="twin")))
    assert names(found) == ["ce_embeddings"]
    assert found.dropped[0]["variant"] == "twin"
    assert len(found.analyses) == 2


@pytest.mark.parametrize("every", [0, 1])
def test_equal_analyses_look_at_all_seeds_where_one_does(every: int) -> None:
    twins = (OF_BASE, replace(OF_BASE, name="twin"))
    twins = tuple(replace(one, all_seeds=i == every) for i, one in enumerate(twins))
    found = plan(grid(*twins))
    assert names(found) == ["ce_embeddings"]
    assert found.grid.analyses[0].aliases == ("twin",)
    assert [look.seed for look in found.analyses if look.dataset == "one"] == [3, 4, 5]
    first, second = (replace(one, name="look") for one in twins)
    joined = union((grid(first), grid(second, name="h")))
    assert [look.seed for look in plan(grid(variants=joined)).analyses] == [3, 4, 5] * 2


def test_an_analysis_among_references_is_one_and_no_reference() -> None:
    own = Variant(name="own", stage=replace(BASE, loss="weighted_ce"))
    look = Analysis(name="own_embeddings", stage=Embeddings(detector=own.stage))
    found = plan(grid(OF_BASE, references=(own, look)))
    assert names(found) == ["ce_embeddings", "own_embeddings"]
    assert [row.name for row in found.grid.references or ()] == ["own", "always_attack"]
    assert found.dropped == ()


def test_a_union_keeps_analyses_below_its_rows() -> None:
    first = grid(OF_BASE)
    second = grid(OF_FOCAL, OF_BASE, name="h", variants=(*ROWS, Variant(name="x", stage=FOCAL)))
    joined = union((first, second))
    assert [row.name for row in joined] == ["ce", "focal", "x", "ce_embeddings", "focal_attention"]
    whole = grid(variants=joined)
    assert [analysis.name for analysis in whole.analyses] == ["ce_embeddings", "focal_attention"]
    assert [row.name for row in whole.variants] == ["ce", "focal", "x"]
    other = replace(OF_BASE, stage=Embeddings(detector=FOCAL))
    with pytest.raises(ValueError, match="'ce_embeddings' that differs"):
        union((first, grid(other, name="h")))


def test_the_settings_of_a_union_reach_its_analyses() -> None:
    everything = shipped("everything")
    kept = {stage_digest(row.stage) for row in everything.variants}
    for analysis in everything.analyses:
        for role, source in analysis.stage.upstream().items():
            assert role == "data" or stage_digest(source) in kept
    assert {entry["rule"] for entry in plan(everything).dropped} == {"alias"}


def test_a_setting_from_outside_reaches_detector_and_analysis_alike() -> None:
    set_from_outside = ["classify.loss=focal", "embeddings.windows=50"]
    found = plan(narrow(grid(OF_BASE, variants=ROWS[:1]), "7,8", "one", set_from_outside))
    (look,) = found.analyses
    assert look.seed == 7
    stage = look.variant.stage
    assert isinstance(stage, Embeddings)
    assert stage.windows == 50
    assert stage.detector == FOCAL


def test_what_is_no_analysis_or_no_name_of_its_own_is_refused() -> None:
    with pytest.raises(ValueError, match="repeats the names of rows and analyses"):
        grid(replace(OF_BASE, name="focal"))
    with pytest.raises(ValueError, match="no baseline"):
        replace(OF_BASE, baseline=True)
    with pytest.raises(ValueError, match="no axis"):
        replace(OF_BASE, axis="loss", level="ce")
    with pytest.raises(TypeError, match="is no Analysis"):
        grid(ROWS[1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no variants"):
        grid(variants=(OF_BASE,))
