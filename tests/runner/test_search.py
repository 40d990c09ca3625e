"""The dataflow: no level is waited for, no input is missing, a failure skips what follows."""

from __future__ import annotations

import random

import pytest
from ray.tune.search import Searcher

from graphids.runner.expansion import make_plan
from graphids.runner.plan import DatasetInfo, Plan
from graphids.runner.search import ReadyTrials
from grids.smoke import GRID


@pytest.fixture
def plan() -> Plan:
    return make_plan(GRID, [DatasetInfo(name="sim_small", digest="d" * 64)], None)


def drive(
    search: ReadyTrials, slots: int, rng: random.Random, failing: frozenset[str]
) -> list[str]:
    """Plays Tune with some slots: fills them, ends a random running trial, checks inputs."""
    started: list[str] = []
    while True:
        while len(search.running) < slots:
            name = f"t{len(started)}"
            found = search.suggest(name)
            if found is None:
                assert search.running, "nothing runs and nothing is ready: the grid stalls"
                break
            if found == Searcher.FINISHED:
                if not search.running:
                    return started
                break
            key = found["fingerprint"]
            assert set(search.plan.trials[key].upstream.values()) <= search.done
            started.append(key)
        trial_id = rng.choice(list(search.running))
        search.on_trial_complete(trial_id, error=search.running[trial_id] in failing)


@pytest.mark.parametrize("seed", range(20))
def test_every_trial_runs_once_in_any_order_of_completion(plan: Plan, seed: int) -> None:
    rng = random.Random(seed)
    search = ReadyTrials(plan, (), plan.trials)
    started = drive(search, rng.randint(1, 8), rng, frozenset())
    assert sorted(started) == sorted(plan.trials)
    assert search.done == set(plan.trials)


@pytest.mark.parametrize("seed", range(20))
def test_failures_skip_exactly_what_depends_on_them(plan: Plan, seed: int) -> None:
    rng = random.Random(seed)
    failing = frozenset(rng.sample(list(plan.trials), 3))
    search = ReadyTrials(plan, (), plan.trials)
    drive(search, 2, rng, failing)
    blocked: set[str] = set()
    for key, trial in plan.trials.items():
        if set(trial.upstream.values()) & (failing | blocked):
            blocked.add(key)
    assert search.skipped == blocked
    assert search.failed == failing - blocked
    assert search.done == set(plan.trials) - blocked - failing


def test_what_is_committed_is_not_suggested(plan: Plan) -> None:
    committed = [key for key, trial in plan.trials.items() if trial.stage.name != "fuse"]
    search = ReadyTrials(plan, committed, plan.trials)
    started = drive(search, 2, random.Random(0), frozenset())
    assert {plan.trials[key].stage.name for key in started} == {"fuse"}


def test_wanted_trials_bring_what_they_need(plan: Plan) -> None:
    last = next(row for row in plan.rows if row.variant.name == "mlp" and row.seed == 1)
    search = ReadyTrials(plan, (), [last.fingerprint])
    assert set(drive(search, 2, random.Random(0), frozenset())) == set(last.chain)


def test_the_longest_path_starts_first(plan: Plan) -> None:
    prepare = next(iter(plan.trials))
    search = ReadyTrials(plan, (prepare,), plan.trials)
    first = search.suggest("a")
    assert isinstance(first, dict)
    order = plan.priorities()
    assert order[first["fingerprint"]] == max(order[key] for key in plan.trials if key != prepare)


def test_after_a_stop_nothing_more_is_suggested(plan: Plan) -> None:
    search = ReadyTrials(plan, (), plan.trials)
    search.stop("disk")
    assert search.suggest("a") == Searcher.FINISHED


def test_a_worker_that_died_after_its_commit_did_its_work(plan: Plan) -> None:
    search = ReadyTrials(plan, (), plan.trials, is_committed=lambda key: True)
    found = search.suggest("a")
    assert isinstance(found, dict)
    search.on_trial_complete("a", error=True)
    assert search.done == {found["fingerprint"]}
    assert not search.failed
    assert not search.skipped
