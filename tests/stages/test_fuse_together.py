"""All seeds of a fusion in one process hand on what each would hand on alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
import torch
from stage_runs import EXTRACT, value

from graphids.core.models.checkpoint import model_from_checkpoint_tensors
from graphids.core.models.fusion import (
    BanditFusionConfig,
    DQNFusionConfig,
    FusionConfig,
    FusionModuleBase,
    MLPFusionConfig,
    MoEFusionConfig,
    WeightedAvgConfig,
)
from graphids.grid.trial import Trial
from graphids.stages import Fuse
from graphids.stages.extract import FUSION_TRAIN, FUSION_VALIDATION
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.protocol import Together

TEST = "test_01"
HEADS: dict[str, FusionConfig] = {
    "mlp": MLPFusionConfig(),
    "moe": MoEFusionConfig(),
    "weighted_avg": WeightedAvgConfig(),
    "dqn": DQNFusionConfig(hidden_dim=24, num_layers=2, buffer_size=300),
    "bandit": BanditFusionConfig(
        hidden_dim=16, num_layers=1, alpha_steps=5, backbone_retrain_freq=4
    ),
}
each_head = pytest.mark.parametrize("head", HEADS.values(), ids=list(HEADS))


def said(rows: int, generator: torch.Generator) -> TensorFile:
    """States in which both detectors know most attacks."""
    label = (torch.rand(rows, generator=generator) < 0.3).long()
    attack = torch.sigmoid(2.0 * label - 1.0 + torch.randn(rows, generator=generator))
    error = (label + torch.rand(rows, generator=generator)).unsqueeze(-1)
    noise = torch.randn(rows, 11, generator=generator)
    number = torch.arange(rows)
    return TensorFile(
        {
            "gat.conf": torch.maximum(attack, 1 - attack).unsqueeze(-1),
            "gat.emb_stats": noise[:, :4],
            "gat.probs": torch.stack((1 - attack, attack), dim=-1),
            "vgae.affinity": noise[:, 4:5],
            "vgae.conf": 1 / (1 + error),
            "vgae.errors": torch.cat((error, 9 * error, error), dim=-1),
            "vgae.rq": noise[:, 5:6],
            "vgae.spike": noise[:, 6:7],
            "vgae.z_stats": noise[:, 7:],
            "label": label,
            "attack_type": 3 * label,
            "capture": torch.zeros_like(number),
            "first_message": 100 * number,
            "start_ns": 10_000_000 * number,
        }
    )


def extracted(seed: int, rows: int = 300) -> Handoff:
    """What detectors of a seed say."""
    generator = torch.Generator().manual_seed(seed)
    sizes = {FUSION_TRAIN: rows, FUSION_VALIDATION: 200, TEST: 250}
    return Handoff(
        files={name: said(size, generator) for name, size in sizes.items()},
        meta={
            "tests": [TEST],
            "captures": {"train": ["drive"], TEST: ["drive"]},
            "attack_names": {"3": "gear_spoofing"},
        },
    )


def broken(handoff: Handoff) -> Handoff:
    """The same with a state that is not a number."""
    file = handoff.files[FUSION_TRAIN]
    tensors = {name: tensor.clone() for name, tensor in file.tensors.items()}
    tensors["gat.probs"][5] = torch.nan
    tensors["vgae.errors"][5] = torch.nan
    return replace(handoff, files={**handoff.files, FUSION_TRAIN: TensorFile(tensors)})


def trial(stage: Fuse, seed: int) -> Trial:
    return Trial(
        fingerprint=f"fuse-{seed}",
        stage=stage,
        dataset="drive",
        dataset_digest="",
        seed=seed,
        label="fuse",
    )


def unheard(metrics: Mapping[str, float], /) -> None:
    """Nobody watches."""


def together(stage: Fuse, inputs: Mapping[int, Handoff]) -> dict[int, Handoff | Exception]:
    """Outcomes by seed."""
    outcomes = stage.run_together(
        [trial(stage, seed) for seed in inputs],
        [{"states": states} for states in inputs.values()],
        unheard,
    )
    return dict(zip(inputs, outcomes, strict=True))


def alone(stage: Fuse, seed: int, states: Handoff) -> Handoff:
    return stage.run(trial(stage, seed), {"states": states}, unheard)


def equal(a: Handoff | Exception, b: Handoff) -> bool:
    """Whether all that would be kept of both is the same, to the last bit."""
    assert isinstance(a, Handoff)
    first, second = a.files["model"], b.files["model"]
    return (
        first.header == second.header
        and first.tensors.keys() == second.tensors.keys()
        and all(torch.equal(first.tensors[k], second.tensors[k]) for k in first.tensors)
        and a.meta == b.meta
        and a.metrics.equals(b.metrics)
        and a.scores.equals(b.scores)
        and a.history.equals(b.history)
    )


@pytest.fixture(params=[1, 3], ids=["one_thread", "three_threads"])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    former = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(former)


@each_head
def test_a_trial_hands_on_the_same_alone_and_among_others(head: FusionConfig, threads: int) -> None:
    stage = Fuse(states=EXTRACT, head=head, epochs=3, batch_size=90)
    inputs = {seed: extracted(seed, 290 if seed == 4 else 300) for seed in (0, 4, 1, 2)}
    found = together(stage, inputs)
    for seed, states in inputs.items():
        assert equal(found[seed], alone(stage, seed, states))
    assert not equal(found[0], found[1])
    assert torch.get_num_threads() == threads


def test_threads_do_not_change_a_result() -> None:
    stage, states = Fuse(states=EXTRACT, epochs=2, batch_size=300), extracted(0)
    former, found = torch.get_num_threads(), []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(alone(stage, 0, states))
    torch.set_num_threads(former)
    assert equal(*found)


@each_head
def test_a_trial_that_diverges_is_an_outcome_of_its_own(head: FusionConfig) -> None:
    stage = Fuse(states=EXTRACT, head=head, epochs=2)
    inputs = {0: extracted(0), 1: broken(extracted(1)), 2: extracted(2)}
    found = together(stage, inputs)
    assert isinstance(found[1], FloatingPointError)
    for seed in (0, 2):
        assert equal(found[seed], alone(stage, seed, inputs[seed]))
    with pytest.raises(FloatingPointError, match="nan"):
        alone(stage, 1, inputs[1])


def test_a_trial_without_states_or_with_damaged_ones_fails_alone() -> None:
    stage = Fuse(states=EXTRACT, epochs=2)
    whole = extracted(0)
    odd = replace(whole, files={FUSION_TRAIN: whole.files[FUSION_TRAIN]})
    found = together(stage, {0: whole, 1: extracted(1, rows=0), 2: odd})
    assert isinstance(found[0], Handoff)
    assert isinstance(found[1], ValueError)
    assert "no state to train the fusion on" in str(found[1])
    assert isinstance(found[2], KeyError)
    assert together(stage, {}) == {}


@each_head
def test_the_checkpoint_holds_the_trained_head(head: FusionConfig) -> None:
    stage = Fuse(states=EXTRACT, head=head, epochs=8)
    states = extracted(3)
    found = together(stage, {2: extracted(2), 3: states})[3]
    assert isinstance(found, Handoff)
    file = found.files["model"]
    model = model_from_checkpoint_tensors(file.tensors, file.header)
    assert isinstance(model, FusionModuleBase)
    assert model.test_threshold == found.meta["threshold"]
    tensors, again = model.state_dict(), file.tensors
    assert all(torch.equal(tensors[name], again[name]) for name in again)
    assert value(found, TEST, "auroc") > 0.8
    assert found.history["epoch"].unique().to_list() == list(range(8))
    if "replay.obs" in again:
        capacity = DQNFusionConfig().buffer_size if head is not HEADS["dqn"] else 300
        assert len(again["replay.obs"]) == min(8 * 300, capacity)


def test_the_runner_can_tell() -> None:
    stage = Fuse(states=EXTRACT)
    assert isinstance(stage, Together)
    assert stage.together
    assert not isinstance(EXTRACT, Together)


def test_what_is_reported_are_means_over_the_trials_that_go_on() -> None:
    stage = Fuse(states=EXTRACT, epochs=3)
    heard: list[dict[str, float]] = []
    inputs = [extracted(0), broken(extracted(1)), extracted(2)]
    outcomes = stage.run_together(
        [trial(stage, seed) for seed in range(3)],
        [{"states": states} for states in inputs],
        lambda metrics: heard.append(dict(metrics)),
    )
    assert [metrics["epoch"] for metrics in heard] == [0.0, 1.0, 2.0]
    losses = [o.history["value"].to_list() for o in outcomes if isinstance(o, Handoff)]
    assert [m["train_loss"] for m in heard] == pytest.approx(
        [sum(values) / 2 for values in zip(*losses, strict=True)]
    )
