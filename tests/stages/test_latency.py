"""The latency of a window: measured beside the results, and without a trace in them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from stage_runs import CLASSIFY, FUSE, TINY_GAT, run
from torch import Tensor

from graphids.core.batch import GraphBatch
from graphids.stages import Learner, Rule, classify
from graphids.stages.dataset import Prepared
from graphids.stages.handoff import Handoff
from graphids.stages.latency import (
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
    assert judged == sorted(judged)
    assert (judged[0], judged[-1]) == (0, 4_999)
    assert 0.0 <= found[P50] <= found[P99]


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
    assert set(timed.meta) - set(plain.meta) == {P50, P99, WINDOWS}


def test_every_tabulated_stage_tells_its_latency(
    prepared: Handoff, classified: Handoff, autoencoded: Handoff
) -> None:
    simple = [
        run(Rule(rule="lead_in"), {"data": prepared}, None),
        run(Learner(learner="random_forest", trees=5), {"data": prepared}),
    ]
    for handoff in (classified, autoencoded, *simple):
        assert 0.0 < handoff.meta[P50] <= handoff.meta[P99]
        assert not {P50, P99, WINDOWS} & set(handoff.metrics["metric"])


def test_a_fusion_costs_its_detectors_and_its_head(extracted: Handoff) -> None:
    fused = run(FUSE, {"states": extracted}).meta
    assert fused[P50] > extracted.meta[P50]
    assert fused[P99] > extracted.meta[P99]
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
