"""The latency of a window: measured beside the results, and without a trace in them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from stage_runs import CLASSIFY, FUSE, TINY_GAT, run
from torch import Tensor

from graphids.core.batch import GraphBatch
from graphids.stages import Learner, Rule, classify, latency
from graphids.stages.dataset import Prepared
from graphids.stages.handoff import Handoff
from graphids.stages.latency import (
    FEWEST_WINDOWS,
    MOST_WINDOWS,
    P50,
    P99,
    WARM_UP,
    WINDOWS,
    added,
    detector_latency,
    one_thread,
    time_windows,
)


def test_windows_are_spread_and_the_first_ones_only_warm_up() -> None:
    judged: list[int] = []
    found = time_windows(lambda i: i, judged.append, 5_000)
    assert found[WINDOWS] == len(judged) - WARM_UP == MOST_WINDOWS
    assert (min(judged), max(judged)) == (0, 4_999)
    assert np.diff(sorted(judged)).max() <= 2 * 5_000 / len(judged)
    assert 0.0 <= found[P50] <= found[P99]


class Clock:
    """Processor time that passes as a judge says, and its windows."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.judged: list[int] = []

    def __call__(self) -> float:
        return self.now

    def judge(self, window: int) -> None:
        self.judged.append(window)
        self.now += self.seconds


@pytest.mark.parametrize(
    ("milliseconds", "timed", "tail"),
    [(1.0, MOST_WINDOWS, True), (8.0, 116, True), (12.0, 74, False), (35.0, 20, False)],
)
def test_slow_models_are_timed_on_fewer_windows_from_everywhere(
    milliseconds: float, timed: int, tail: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(milliseconds / 1000.0)
    monkeypatch.setattr(latency, "thread_time", clock)
    found = time_windows(lambda i: i, clock.judge, 5_000)
    assert found[WINDOWS] == len(clock.judged) - WARM_UP == pytest.approx(timed, abs=1)
    assert found[P50] == pytest.approx(milliseconds)
    assert (P99 in found) is tail
    places = sorted(clock.judged[WARM_UP:])
    assert np.diff([0, *places, 5_000]).max() <= 2 * 5_000 / len(places)
    assert places[-1] > 4_000
    quick = Clock(0.0)
    time_windows(lambda i: i, quick.judge, 5_000)
    assert quick.judged[: len(clock.judged)] == clock.judged, "all begin with the same windows"


def test_percentiles_are_added_that_both_have() -> None:
    fast, slow = {P50: 1.0, P99: 2.0, WINDOWS: 200.0}, {P50: 8.0, WINDOWS: 40.0}
    assert added(fast, slow) == added(slow, fast) == {P50: 9.0, WINDOWS: 40.0}
    assert added(fast, fast) == {P50: 2.0, P99: 4.0, WINDOWS: 200.0}
    assert added(fast, {}) == added({}, fast) == {}


def test_few_windows_are_judged_again_and_none_gives_nothing() -> None:
    judged: list[int] = []
    assert time_windows(lambda i: i, judged.append, 3)[WINDOWS] == MOST_WINDOWS
    assert set(judged) == {0, 1, 2}
    assert time_windows(lambda i: i, judged.append, 0) == {}


@pytest.mark.parametrize("threads", [1, 2])
def test_nothing_of_the_process_or_the_model_is_changed(threads: int, prepared: Handoff) -> None:
    data = Prepared.of(prepared)
    model = replace(CLASSIFY, model=TINY_GAT).untrained(data).train()
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    former = torch.get_num_threads()
    torch.set_num_threads(threads)

    def judge(batch: GraphBatch) -> Tensor:
        assert (batch.num_graphs, torch.get_num_threads()) == (1, 1)
        # A model that draws must not move the chance of the next trial.
        return torch.rand(3) + model.predict_scores(batch)

    try:
        state = torch.random.get_rng_state()
        assert detector_latency({"gat": model}, judge, data.train)[P50] > 0.0
        assert torch.equal(torch.random.get_rng_state(), state)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(former)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(weights[name], tensor) for name, tensor in model.state_dict().items())


def test_a_trial_hands_on_the_same_whether_it_is_timed_or_not(
    prepared: Handoff, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = replace(CLASSIFY, model=TINY_GAT)
    timed = run(stage, {"data": prepared})
    monkeypatch.setattr(classify, "detector_latency", lambda *given, **more: {})
    plain = run(stage, {"data": prepared})
    assert timed.scores.equals(plain.scores)
    assert timed.metrics.equals(plain.metrics)
    assert timed.history.equals(plain.history)
    assert all(
        torch.equal(tensor, timed.files["model"].tensors[name])
        for name, tensor in plain.files["model"].tensors.items()
    )
    assert {P50, WINDOWS} <= set(timed.meta) - set(plain.meta) <= {P50, P99, WINDOWS}


def test_every_tabulated_stage_tells_its_latency(
    prepared: Handoff, classified: Handoff, autoencoded: Handoff
) -> None:
    simple = [
        run(Rule(rule="lead_in"), {"data": prepared}, None),
        run(Learner(learner="random_forest", trees=5), {"data": prepared}),
    ]
    for handoff in (classified, autoencoded, *simple):
        assert 0.0 < handoff.meta[P50] <= handoff.meta.get(P99, math.inf)
        assert handoff.meta[WINDOWS] >= FEWEST_WINDOWS
        assert not {P50, P99, WINDOWS} & set(handoff.metrics["metric"])


def test_a_fusion_costs_its_detectors_and_its_head(extracted: Handoff) -> None:
    fused = run(FUSE, {"states": extracted}).meta
    assert fused[P50] > extracted.meta[P50]
    assert fused.get(P99, math.inf) > extracted.meta.get(P99, 0.0)
    earlier = {name: value for name, value in extracted.meta.items() if name not in (P50, P99)}
    unknown = run(FUSE, {"states": replace(extracted, meta=earlier)})
    assert not {P50, P99, WINDOWS} & set(unknown.meta)
    assert added({}, extracted.meta) == {}


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is deprecated:DeprecationWarning")
def test_a_compiled_model_is_timed_as_it_was_written(prepared: Handoff) -> None:
    data = Prepared.of(prepared)
    model = replace(CLASSIFY, model=replace(TINY_GAT, compile_model=True)).untrained(data).eval()
    found = detector_latency({"gat": model}, model.predict_scores, data.train, compiled=True)
    assert found[WINDOWS] > 0


def test_one_thread_ends_with_an_error() -> None:
    former = torch.get_num_threads()
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert torch.get_num_threads() == former
