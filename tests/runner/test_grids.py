"""The shipped studies: rows by their names, shared work once, nothing declared that cannot be."""

from __future__ import annotations

import importlib
import json

import pytest

import grids
from graphids.grid import Grid, Variant, union
from graphids.grid.edits import edit_stages
from graphids.runner.expansion import make_plan
from graphids.runner.plan import DatasetInfo, Plan
from graphids.stages import Classify, Prepare

INFO = DatasetInfo(name="sim_small", digest="d" * 64)

ROWS = {
    "components": {"full", "no_ids", "no_edges", "no_heads"},
    "unsupervised": {"vgae", "dgi"},
    "conv_type": {"gat", "gatv2", "gps", "transformer"},
    "gat_loss": {"ce", "weighted_ce", "focal", "tau_norm"},
    "gat_sampling": {"none", "curriculum_random", "curriculum_vgae"},
    "id_encoding": {"id_lookup", "id_hash", "learned_unk"},
    "scaler": {"z_benign", "robust_benign"},
    "curriculum": {"low_to_high", "high_to_low"},
    "fusion": {"mlp", "moe", "moe_noaux", "bandit", "dqn", "weighted_avg"},
    "distillation": {
        "teacher_vgae", "teacher_gat", "student_vgae_kd", "student_gat_kd", "student_vgae_nokd",
        "student_gat_nokd",
        *(f"{head}_{track}" for track in ("kd", "nokd")
          for head in ("mlp", "moe", "moe_noaux", "bandit", "dqn", "weighted_avg")),
    },
    "pooling": {"mean", "max", "multi"},
    "windowing": {"100/100", "100/50", "50/50", "sequence_3"},
}  # fmt: skip
REFERENCES = {
    "always_attack", "unseen_id", "unseen_id_benign", "lead_in_id", "lead_in_span",
    "lead_in_count", "lead_in", "random_forest", "random_forest_timing", "gradient_boosting", "pca",
}  # fmt: skip


def grid(name: str) -> Grid:
    found: Grid = vars(importlib.import_module(f"grids.{name}"))["GRID"]
    return found


def plan(name: str) -> Plan:
    return make_plan(grid(name), [INFO], None)


@pytest.mark.parametrize("name", grids.NAMES)
def test_every_grid_opens_with_a_question_and_plans(name: str) -> None:
    module = importlib.import_module(f"grids.{name}")
    assert module.__doc__
    assert "?" in module.__doc__.splitlines()[0]
    assert vars(module)["GRID"].name == name
    found = plan(name)
    assert all(set(trial.upstream.values()) <= set(found.trials) for trial in found.trials.values())
    json.dumps(found.summary(set()))


@pytest.mark.parametrize("name", ROWS)
def test_rows_have_the_names_of_the_published_groups(name: str) -> None:
    assert {variant.name for variant in grid(name).variants} >= ROWS[name]
    assert not [v.name for v in plan(name).grid.variants if v.aliases], "a level keeps its name"


@pytest.mark.parametrize("name", ["smoke", "everything"])
def test_simple_detectors_stand_below_every_table(name: str) -> None:
    found = plan(name)
    references = {variant.name for variant in found.grid.references or ()}
    assert references == REFERENCES
    rows = found.frame("run").filter(role="reference")
    assert set(rows["variant"]) == references
    assert set(rows["stage"]) == {"baseline"}


def test_d36_equal_rows_of_the_union_are_one_row_with_aliases() -> None:
    rows = {variant.name: variant for variant in plan("everything").grid.variants}
    assert rows["ce"].baseline
    aliases = {"gatv2", "none", "learned_unk", "z_benign", "val_loss", "mean", "student_gat_nokd"}
    assert set(rows["ce"].aliases) >= aliases
    assert not aliases & set(rows)
    assert "low_to_high" in rows["curriculum_vgae"].aliases


def test_the_union_has_every_row_of_every_study_and_shares_their_work() -> None:
    everything = plan("everything")
    named = {name for v in everything.grid.variants for name in (v.name, *v.aliases)}
    for name in set(grids.NAMES) - {"smoke", "first", "everything"}:
        assert {variant.name for variant in grid(name).variants} <= named
    assert len(everything.trials) < everything.total_trials / 2
    epochs = {
        trial.stage.fit.max_epochs
        for trial in everything.trials.values()
        if isinstance(trial.stage, Classify)
    }
    assert epochs == {8}


def test_a_name_with_two_meanings_is_refused() -> None:
    def one(stage: Classify, name: str) -> Grid:
        row = Variant(name="ce", stage=stage, baseline=True)
        return Grid(name=name, variants=(row,), datasets=("sim_small",), seeds=(0,))

    with pytest.raises(ValueError, match="grid 'b' has a row 'ce' that differs"):
        union((one(Classify(), "a"), one(Classify(data=Prepare(window=50, stride=50)), "b")))
    (row,) = union((one(Classify(), "a"), one(Classify(), "b")))
    assert row.baseline


def test_a_grid_chooses_its_references_but_keeps_the_floor() -> None:
    bare = Grid(
        name="bare",
        variants=(Variant(name="ce", stage=Classify(), baseline=True),),
        datasets=("sim_small",),
        seeds=(0, 1),
        references=(),
    )
    found = make_plan(bare, [INFO], None)
    assert [variant.name for variant in found.grid.references or ()] == ["always_attack"]
    # One row of two seeds; the floor has no seed of its own.
    assert found.summary(set())["rows"] == 2
    assert sum(t.stage.name == "baseline" for t in found.trials.values()) == 1


def test_a_trial_bears_the_name_of_its_own_row() -> None:
    """A teacher is needed first by its student, and is no student."""
    found = plan("distillation")
    labels = {row.variant.name: found.trials[row.fingerprint].label for row in found.rows}
    assert labels["teacher_gat"] == "classify teacher_gat sim_small seed 4"
    assert labels["student_gat_kd"] == "classify student_gat_kd sim_small seed 4"
    assert labels["lead_in"] == "baseline lead_in sim_small"


@pytest.mark.parametrize("name", sorted(set(grids.NAMES) - {"smoke", "first", "everything"}))
def test_d37_a_study_has_at_least_five_seeds(name: str) -> None:
    assert len(grid(name).seeds) >= 5


def test_d39_a_setting_at_the_wrong_level_is_refused() -> None:
    """Nothing that is not read anywhere is taken in silence."""
    with pytest.raises(ValueError, match="Classify has no field 'heads'"):
        edit_stages(Classify(), "classify", "heads", lambda _: 8)
    with pytest.raises(ValueError, match="GATConfig has no field 'fit'"):
        edit_stages(Classify(), "classify", "model.fit", lambda _: 8)
