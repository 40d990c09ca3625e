"""Heads of several seeds in one loop: each as though it were alone, and as a Trainer trains it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from model_samples import quiet_trainer, states
from tensordict import TensorDict
from torch import nn

from graphids.core.models.fusion import (
    BanditFusionConfig,
    DQNFusionConfig,
    DQNFusionModule,
    FusionConfig,
    FusionModuleBase,
    MLPFusionConfig,
    MoEFusionConfig,
    RLFusionBase,
    WeightedAvgConfig,
    stacked,
)
from graphids.core.models.fusion.learner import Training
from graphids.core.models.fusion.together import build_learner, train_together

HEADS: dict[str, FusionConfig] = {
    "mlp": MLPFusionConfig(hidden_dims=(7, 5)),
    "moe": MoEFusionConfig(num_experts=2, expert_hidden=(9,), gate_hidden=(3, 4)),
    "weighted_avg": WeightedAvgConfig(),
    "dqn": DQNFusionConfig(hidden_dim=11, num_layers=2, alpha_steps=5, batch_size=21),
    "bandit": BanditFusionConfig(
        hidden_dim=10, num_layers=1, alpha_steps=3, batch_size=20, backbone_retrain_freq=4
    ),
}
each_head = pytest.mark.parametrize("config", HEADS.values(), ids=list(HEADS))


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    former = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(former)


def training(config: FusionConfig, seed: int, rows: int = 90) -> Training:
    """A fresh head of a seed, on states of its own."""
    td = states(rows, seed=seed)
    torch.manual_seed(seed)
    head = config.build(18)
    head.fit_features(td)
    if isinstance(head, DQNFusionModule):
        head.plan_decisions(4 * rows)
    return Training.of(head, td, seed)


def trained(
    trainings: list[Training], *, batch_size: int = 40
) -> tuple[list[dict[str, torch.Tensor]], list[list[dict[str, float]]], list[Exception | None]]:
    """States and histories of the heads after four epochs, and what ended them."""
    history: list[list[dict[str, float]]] = [[] for _ in trainings]

    def keep(epoch: int, metrics: dict[int, dict[str, float]]) -> None:
        for index, values in metrics.items():
            assert len(history[index]) == epoch
            history[index].append(dict(values))

    failures = train_together(trainings, epochs=4, batch_size=batch_size, on_epoch=keep)
    return [t.head.state_dict() for t in trainings], history, failures


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@each_head
def test_a_seed_has_the_same_bits_alone_and_among_others(config: FusionConfig) -> None:
    rows = {5: 77, 3: 77}
    seeds = (0, 5, 1, 2, 3, 4)
    weights, history, failures = trained([training(config, s, rows.get(s, 90)) for s in seeds])
    assert failures == [None] * 6
    for index, seed in enumerate(seeds):
        alone, alone_history, _ = trained([training(config, seed, rows.get(seed, 90))])
        assert same(weights[index], alone[0])
        assert history[index] == alone_history[0]
    assert not same(weights[0], weights[2])


@each_head
def test_a_seed_that_diverges_leaves_the_others_alone(config: FusionConfig) -> None:
    broken = training(config, 1)
    for key in (("vgae", "conf"), ("gat", "probs")):
        broken.states[key] = torch.full_like(broken.states[key], torch.nan)
    broken.head.fit_features(broken.states)
    weights, history, failures = trained([training(config, 0), broken, training(config, 2)])
    assert isinstance(failures[1], FloatingPointError)
    assert "nan" in str(failures[1])
    assert history[1] == []
    assert failures[0] is failures[2] is None
    for index in (0, 2):
        alone, alone_history, _ = trained([training(config, index)])
        assert same(weights[index], alone[0])
        assert history[index] == alone_history[0]


@each_head
def test_a_feature_that_no_score_reads_ends_its_seed_too(config: FusionConfig) -> None:
    if isinstance(config, WeightedAvgConfig):
        pytest.skip("it reads no other feature")
    broken = training(config, 1)
    broken.states["vgae", "rq"][3] = torch.inf
    _, _, failures = trained([broken, training(config, 0)])
    assert isinstance(failures[0], FloatingPointError | torch.linalg.LinAlgError)
    assert failures[1] is None


class Shuffled:
    """The batches that a training gets, for a Trainer."""

    def __init__(self, td: TensorDict, order: torch.Generator, batch_size: int) -> None:
        self.td, self.order, self.batch_size = td, order, batch_size

    def __len__(self) -> int:
        return -(-len(self.td) // self.batch_size)

    def __iter__(self) -> Iterator[TensorDict]:
        order = torch.randperm(len(self.td), generator=self.order)
        for index in order.split(self.batch_size):
            yield self.td[index]


def by_trainer(given: Training, batch_size: int) -> dict[str, torch.Tensor]:
    """The state of the head after a Trainer's four epochs."""
    if isinstance(given.head, RLFusionBase):
        given.head.generator = given.actions
    loader = Shuffled(given.states, given.order, batch_size)
    quiet_trainer(max_epochs=4, limit_val_batches=0).fit(given.head, loader)
    return given.head.state_dict()


def without_dropout(given: Training) -> Training:
    for module in given.head.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return given


@pytest.mark.parametrize("name", ["mlp", "moe", "weighted_avg", "bandit"])
def test_the_loop_trains_what_a_trainer_trains(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacked, "DROPOUT", 0.0)
    ours, theirs = (without_dropout(training(HEADS[name], 3)) for _ in range(2))
    found, _, _ = trained([ours, without_dropout(training(HEADS[name], 4))])
    expected = by_trainer(theirs, 40)
    start = training(HEADS[name], 3).head.state_dict()
    assert not same(start, expected)
    for key, tensor in expected.items():
        torch.testing.assert_close(found[0][key], tensor, rtol=1e-4, atol=1e-5, msg=key)


def test_the_loop_trains_the_q_network_that_a_trainer_trains() -> None:
    """With one state, one kept decision and no exploration nothing is left to chance."""
    config = DQNFusionConfig(
        hidden_dim=16, num_layers=2, epsilon=0.0, min_epsilon=0.0, buffer_size=1, batch_size=1,
        target_eps=0.9, gpu_training_steps=5,
    )  # fmt: skip
    ours, theirs = (training(config, 3, rows=1) for _ in range(2))
    for given in (ours, theirs):
        given.head.feature_mean.zero_()
        given.states["vgae", "errors"].div_(1000)
    expected = by_trainer(theirs, 1)
    found, _, _ = trained([training(config, 8, rows=1), ours], batch_size=1)
    assert not torch.equal(expected["replay.reward"], torch.zeros(1))
    assert found[1].keys() == expected.keys()
    for key, tensor in expected.items():
        torch.testing.assert_close(found[1][key], tensor, rtol=1e-4, atol=1e-5, msg=key)


def test_a_q_network_keeps_its_latest_decisions_and_ends_its_plan() -> None:
    config = replace(HEADS["dqn"], buffer_size=100, reward="minimal")
    given = training(config, 2)
    trained([given, training(config, 7)])
    head = given.head
    assert isinstance(head, DQNFusionModule)
    assert int(head.decisions) == int(head.planned_decisions) == 4 * 90
    assert head.epsilon == pytest.approx(config.min_epsilon)
    kept = head.replay.contents()
    assert len(kept) == 100
    normalised = head.reward.normalize(given.states)
    distance = (kept["obs"].unsqueeze(1) - head.standardised(normalised)).abs().sum(dim=-1)
    rows = distance.argmin(dim=1)
    assert distance.min(dim=1).values.max() == 0
    assert len(rows[-90:].unique()) == 90, "the last epoch holds every state once"
    earned = head.judge(normalised[rows], kept["obs"], kept["action"]).rewards
    torch.testing.assert_close(earned, kept["reward"])


@each_head
def test_what_is_measured_has_the_names_that_a_trainer_logs(config: FusionConfig) -> None:
    given = training(config, 0)
    if isinstance(given.head, RLFusionBase):
        given.head.generator = given.actions
    trainer = quiet_trainer(max_epochs=4, limit_val_batches=0)
    trainer.fit(given.head, Shuffled(given.states, given.order, 40))
    _, history, _ = trained([training(config, 0)])
    assert history[0][-1].keys() == trainer.callback_metrics.keys()


def test_heads_of_several_kinds_do_not_train_together() -> None:
    mixed = [training(MLPFusionConfig(), 0), training(WeightedAvgConfig(), 0)]
    with pytest.raises(TypeError, match="must all be MLPFusionModule"):
        build_learner(mixed)
    own = Training.of(FusionModuleBase(18), states(), 0)
    with pytest.raises(TypeError, match="through a Trainer"):
        build_learner([own])
