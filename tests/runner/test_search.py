"""The dataflow: no level is waited for, no input is missing, a failure skips what follows."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import count

import pytest
from ray.tune.search import Searcher

from graphids.runner.expansion import make_plan
from graphids.runner.jobs import Job, Knowledge
from graphids.runner.plan import DatasetInfo, Plan
from graphids.runner.search import MOST_RETRIES, MOST_TOGETHER, ReadyTrials
from graphids.stages.protocol import Together
from grids.smoke import GRID


@pytest.fixture
def plan() -> Plan:
    return make_plan(GRID, [DatasetInfo(name="sim_small", digest="d" * 64)], None)


def roots(plan: Plan, key: str) -> set[str]:
    """What a trial's chains begin with: prepared datasets."""
    upstream = set(plan.trials[key].upstream.values())
    return {root for one in upstream for root in roots(plan, one)} if upstream else {key}


def drive(
    search: ReadyTrials, slots: int, rng: random.Random, failing: frozenset[str]
) -> list[str]:
    """Plays Tune with some slots: fills them, ends a random running trial, checks inputs."""
    started: list[str] = []
    names = count()
    while True:
        while len(search.running) < slots:
            name = f"t{next(names)}"
            found = search.suggest(name)
            if found is None:
                assert search.running, "nothing runs and nothing is ready: the grid stalls"
                break
            if found == Searcher.FINISHED:
                if not search.running:
                    return started
                break
            for key in found["fingerprints"]:
                if found["probe"]:
                    assert roots(search.plan, key) - {key} <= search.done
                    continue
                assert set(search.plan.trials[key].upstream.values()) <= search.done
                started.append(key)
        trial_id = rng.choice(list(search.running))
        keys = set(search.running[trial_id].keys)
        search.on_trial_complete(trial_id, error=bool(keys & failing))


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
    search = ReadyTrials(
        plan,
        (),
        plan.trials,
        Knowledge(is_committed=lambda key: key not in failing, failure=lambda key: {"kind": "bug"}),
    )
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
    assert order[first["fingerprints"][0]] == max(
        order[key] for key in plan.trials if key != prepare
    )


def test_after_a_stop_nothing_more_is_suggested(plan: Plan) -> None:
    search = ReadyTrials(plan, (), plan.trials)
    search.stop("disk")
    assert search.suggest("a") == Searcher.FINISHED


def test_a_worker_that_died_after_its_commit_did_its_work(plan: Plan) -> None:
    search = ReadyTrials(plan, (), plan.trials, Knowledge(is_committed=lambda key: True))
    found = search.suggest("a")
    assert isinstance(found, dict)
    search.on_trial_complete("a", error=True)
    assert search.done == set(found["fingerprints"])
    assert not search.failed
    assert not search.skipped


def test_an_idle_worker_is_kept_while_others_may_make_work_for_it(plan: Plan) -> None:
    search = ReadyTrials(plan, (), plan.trials, Knowledge(told=lambda: 7))
    first, kept = search.suggest("a"), search.suggest("b")
    assert isinstance(first, dict)
    assert isinstance(kept, dict)
    assert (first["awaits"], kept["awaits"], kept["fingerprints"]) == (None, 7, [])
    search.on_trial_complete("b")
    search.on_trial_complete("a")
    assert search.done == set(first["fingerprints"])


def test_no_worker_is_kept_for_nothing(plan: Plan) -> None:
    """Neither beside workers that are kept themselves, nor for trials that all run already."""
    last = list(plan.trials)[-1]
    search = ReadyTrials(plan, set(plan.trials) - {last}, [last])
    assert isinstance(search.suggest("a"), dict)
    assert search.suggest("b") is None
    knowledge = Knowledge(failure=lambda key: {"kind": "bug"})
    search = ReadyTrials(plan, (), plan.trials, knowledge)
    assert isinstance(search.suggest("a"), dict)
    assert isinstance(search.suggest("b"), dict)
    search.on_trial_complete("a", error=True)
    assert all(job.awaits is not None for job in search.running.values())
    assert search.suggest("c") in (None, Searcher.FINISHED)


def test_a_kept_worker_takes_no_room_that_a_job_waits_for(plan: Plan) -> None:
    def reserve(job: Job) -> dict[str, object]:
        return {"bundle": {"CPU": 1.0} if job.awaits is not None else {"CPU": 4.0}}

    search = ReadyTrials(plan, (), plan.trials, Knowledge(reserve=reserve))
    assert isinstance(search.suggest("a"), dict)
    assert search.suggest("b") is None
    search.begin("a")
    kept = search.suggest("b")
    assert isinstance(kept, dict)
    assert kept["awaits"] is not None


def test_no_worker_is_kept_from_a_job_that_waits_for_one(plan: Plan) -> None:
    """There may be more cores than room: then kept workers would hold what others wait for."""
    prepared = {key for key, trial in plan.trials.items() if trial.stage.name == "prepare"}
    search, names = ReadyTrials(plan, prepared, plan.trials), count()

    def ask_until_nothing_works() -> object:
        while isinstance(found := search.suggest(f"t{next(names)}"), dict):
            if found["awaits"] is not None:
                break
        return found

    assert isinstance(ask_until_nothing_works(), dict), "workers are warmed at the start"
    search.begin("t0")
    search.on_trial_complete("t0")
    assert ask_until_nothing_works() is None


@pytest.mark.parametrize("seeds", [5, MOST_TOGETHER, 2 * MOST_TOGETHER + 3])
def test_seeds_share_a_process_in_groups_of_bounded_size(seeds: int) -> None:
    grid = replace(GRID, seeds=tuple(range(seeds)))
    plan = make_plan(grid, [DatasetInfo(name="sim_small", digest="d" * 64)], None)
    fused = {key for key, trial in plan.trials.items() if isinstance(trial.stage, Together)}
    search = ReadyTrials(plan, set(plan.trials) - fused, fused)
    sizes: list[int] = []
    while isinstance(found := search.suggest(f"t{len(sizes)}"), dict):
        sizes.append(len(found["fingerprints"]))
        search.on_trial_complete(f"t{len(sizes) - 1}")
    assert sum(sizes) == len(fused)
    assert max(sizes) == min(seeds, MOST_TOGETHER)
    assert search.done == set(plan.trials)


def test_a_group_that_is_not_whole_is_looked_at_once_a_suggestion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    grid = replace(GRID, seeds=tuple(range(12)))
    plan = make_plan(grid, [DatasetInfo(name="sim_small", digest="d" * 64)], None)
    fused = [key for key, trial in plan.trials.items() if isinstance(trial.stage, Together)]
    last = [key for key in plan.trials if plan.trials[key].seed == 11]
    search = ReadyTrials(plan, set(plan.trials) - set(fused) - set(last), plan.trials)
    looked: list[str] = []
    group = ReadyTrials._group
    monkeypatch.setattr(
        ReadyTrials, "_group", lambda self, key: looked.append(key) or group(self, key)
    )
    for name in count():
        looked.clear()
        found = search.suggest(f"t{name}")
        assert len({plan.trials[key].stage for key in looked}) == len(looked)
        if not isinstance(found, dict) or found["awaits"] is not None:
            break


def test_each_shape_is_probed_once_before_its_trials(plan: Plan) -> None:
    measured: set[str] = set()
    stage = {key: trial.stage.name for key, trial in plan.trials.items()}

    def unmeasured(key: str) -> str | None:
        known = stage[key] in measured or stage[key] not in ("autoencode", "classify")
        return None if known else stage[key]

    search = ReadyTrials(plan, (), plan.trials, Knowledge(unmeasured=unmeasured))
    probed = []
    while (found := search.suggest(f"t{len(search.done)}{len(probed)}")) != Searcher.FINISHED:
        assert isinstance(found, dict)
        if found["probe"]:
            probed.append(found["probe"])
            measured.add(found["probe"])
        else:
            assert all(unmeasured(key) is None for key in found["fingerprints"])
        search.on_trial_complete(next(iter(search.running)))
    assert sorted(probed) == ["autoencode", "classify"]
    assert search.done == set(plan.trials)


def test_what_waits_for_another_input_is_probed_before_that_one_ends(plan: Plan) -> None:
    stage = {key: trial.stage.name for key, trial in plan.trials.items()}
    measured: set[str] = set()

    def unmeasured(key: str) -> str | None:
        return "states" if stage[key] == "extract" and "states" not in measured else None

    search = ReadyTrials(plan, (), plan.trials, Knowledge(unmeasured=unmeasured))
    ended: list[str] = []
    while not measured:
        found = search.suggest("t")
        assert isinstance(found, dict)
        measured |= {found["probe"]} - {None}
        ended += [stage[key] for key in found["fingerprints"]]
        search.on_trial_complete("t")
    assert ended[-1] == "extract"
    assert set(ended) - {"baseline"} < {"prepare", "autoencode", "classify", "extract"}
    assert len(set(ended) & {"autoencode", "classify"}) == 1
    drive(search, 2, random.Random(0), frozenset())
    assert search.done == set(plan.trials)


@pytest.mark.parametrize("seed", range(5))
def test_probes_ahead_wait_for_their_dataset_and_forget_what_was_skipped(
    plan: Plan, seed: int
) -> None:
    rng = random.Random(seed)
    broken = rng.choice([k for k, t in plan.trials.items() if t.stage.name == "autoencode"])
    knowledge = Knowledge(unmeasured=lambda key: plan.trials[key].stage.name)
    search = ReadyTrials(plan, (), plan.trials, knowledge)
    drive(search, rng.randint(1, 6), rng, frozenset([broken]))
    assert search.failed == {broken}
    assert search.done | search.failed | search.skipped == set(plan.trials)


def test_a_trial_whose_probe_failed_runs_all_the_same(plan: Plan) -> None:
    search = ReadyTrials(
        plan,
        (),
        plan.trials,
        Knowledge(unmeasured=lambda key: plan.trials[key].stage.name),
    )
    started = drive(search, 2, random.Random(0), frozenset())
    assert sorted(started) == sorted(plan.trials)


def test_out_of_memory_is_tried_again_with_its_neighbours_untouched(plan: Plan) -> None:
    victim = next(k for k, t in plan.trials.items() if t.stage.name == "classify")
    committed: set[str] = set()
    knowledge = Knowledge(
        is_committed=committed.__contains__,
        failure=lambda key: {"kind": "oom"},
        reserve=lambda job: {"reserved": job.attempt},
    )
    search = ReadyTrials(plan, (), plan.trials, knowledge)
    attempts = []
    rounds = count()
    while (found := search.suggest(f"t{next(rounds)}")) != Searcher.FINISHED:
        assert isinstance(found, dict)
        fails = victim in found["fingerprints"]
        if fails:
            attempts.append(found["reserved"])
            assert found["fingerprints"] == [victim]
        else:
            committed |= set(found["fingerprints"])
        search.on_trial_complete(next(iter(search.running)), error=fails)
    assert attempts == list(range(MOST_RETRIES + 1))
    assert search.failed == {victim}
    assert not search.failed & search.done


def test_seeds_of_a_short_trial_share_a_process_once_all_are_ready(plan: Plan) -> None:
    search = ReadyTrials(plan, (), plan.trials)
    groups = []
    rounds = count()
    while (found := search.suggest(f"t{next(rounds)}")) != Searcher.FINISHED:
        assert isinstance(found, dict)
        groups.append(found["fingerprints"])
        search.on_trial_complete(next(iter(search.running)))
    heads = [keys for keys in groups if plan.trials[keys[0]].stage.name == "fuse"]
    assert [len(keys) for keys in heads] == [len(plan.grid.seeds)] * 2
    for keys in heads:
        assert len({plan.trials[key].seed for key in keys}) == len(keys)
        assert len({plan.trials[key].stage for key in keys}) == 1


def test_seeds_stay_apart_where_that_is_asked_for(plan: Plan) -> None:
    search = ReadyTrials(plan, (), plan.trials, Knowledge(together=False))
    rounds = count()
    while (found := search.suggest(f"t{next(rounds)}")) != Searcher.FINISHED:
        assert isinstance(found, dict)
        assert len(found["fingerprints"]) == 1
        search.on_trial_complete(next(iter(search.running)))
    assert search.done == set(plan.trials)
