"""The graph of trials: shared stages once, inputs first, the longest path first."""

from __future__ import annotations

import json
from dataclasses import replace

import polars as pl

from graphids.runner.expansion import make_plan
from graphids.runner.plan import DatasetInfo, Plan, cost
from grids.first import GRID as FIRST
from grids.smoke import GRID as SMOKE

INFO = DatasetInfo(name="sim_small", digest="d" * 64)


def smoke() -> Plan:
    return make_plan(SMOKE, [INFO], None)


def test_shared_stages_stand_once() -> None:
    plan = smoke()
    stages = [trial.stage.name for trial in plan.trials.values()]
    assert sum(not row.reference for row in plan.rows) == 5 * 2
    # prepare once; per seed: two classifiers, one autoencoder, one extraction, two fusions; of the
    # simple detectors eight that all seeds share, and three with a seed; analyses of one seed.
    assert {name: stages.count(name) for name in set(stages)} == {
        "prepare": 1, "classify": 4, "autoencode": 2, "extract": 2, "fuse": 4,
        "baseline": 8 + 2 * 3, "embeddings": 2, "similarity": 1, "attention": 1, "landscape": 2,
    }  # fmt: skip
    assert plan.total_trials == 2 * (2 + 2 + 2 + 5 + 5 + 11 * 2) + 6


def test_inputs_come_before_their_readers() -> None:
    seen: set[str] = set()
    for key, trial in smoke().trials.items():
        assert set(trial.upstream.values()) <= seen
        seen.add(key)


def test_the_baseline_classifier_feeds_the_fusion() -> None:
    plan = smoke()
    rows = {(row.variant.name, row.seed): row for row in plan.rows}
    assert rows["ce", 0].fingerprint in rows["mlp", 0].chain
    assert rows["vgae", 0].fingerprint in rows["mlp", 0].chain
    assert rows["ce", 1].fingerprint not in rows["mlp", 0].chain


def test_a_grid_in_another_grid_shares_its_trials() -> None:
    """``first`` at the settings of ``smoke`` adds only what ``smoke`` does not have."""
    wider = replace(SMOKE, name="wider", variants=(*SMOKE.variants, FIRST.variants[1]))
    assert set(smoke().trials) < set(make_plan(wider, [INFO], None).trials)


def test_another_dataset_or_seed_is_another_trial() -> None:
    other = make_plan(SMOKE, [DatasetInfo(name="sim_small", digest="e" * 64)], None)
    assert not set(other.trials) & set(smoke().trials)


def test_equal_variants_become_one_row_with_an_alias() -> None:
    twin = replace(SMOKE.variants[0], name="twin", baseline=False)
    plan = make_plan(replace(SMOKE, variants=(*SMOKE.variants, twin)), [INFO], None)
    assert len(plan.rows) == len(smoke().rows)
    assert [entry["variant"] for entry in plan.dropped] == ["twin"]
    assert {v.name: v.aliases for v in plan.grid.variants if v.aliases} == {"ce": ("twin",)}
    assert "'ce'" in plan.dropped[0]["reason"]


def test_priorities_are_the_longest_way_to_the_end() -> None:
    plan = smoke()
    priorities, readers = plan.priorities(), plan.dependents()
    for key, trial in plan.trials.items():
        own = cost(trial.stage)
        behind = [priorities[reader] for reader in readers[key]]
        assert priorities[key] == own + max(behind, default=0.0)


def test_the_summary_counts_what_is_committed() -> None:
    plan = smoke()
    some = set(list(plan.trials)[:3]) | {"of another grid"}
    summary = json.loads(json.dumps(plan.summary(some)))
    assert summary["committed"] + summary["to_run"] == summary["unique_trials"] == len(plan.trials)
    assert summary["committed"] == 3
    assert summary["variants"][0] == "ce"
    assert len(summary["detail"]) == len(plan.trials)


def test_the_frame_has_each_row_with_its_chain() -> None:
    plan = smoke()
    frame = plan.frame("run")
    assert frame.height == plan.total_trials
    tabulated = frame.filter(pl.col("role").is_in(["row", "reference"]))
    assert tabulated.height == len(plan.rows)
    assert frame.filter(role="analysis").height == len(plan.analyses)
    assert frame.filter(role="row")["variant"].unique().len() == 5
    assert set(frame["fingerprint"]) == set(plan.trials)
