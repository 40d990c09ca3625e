"""The Q-network: how exploration fades, what the loss is, what it leaves alone."""

from __future__ import annotations

import pytest
import torch
from model_samples import Batches, quiet_trainer, states
from torch.nn import functional

from graphids.core.models.fusion import DQNFusionConfig, DQNFusionModule
from graphids.core.models.fusion.dqn import DEFAULT_DECISIONS

SMALL = DQNFusionConfig(hidden_dim=16, num_layers=1)


def fit(head: DQNFusionModule, episodes: int, epochs: int = 1, **settings: object) -> None:
    trainer = quiet_trainer(max_epochs=epochs, limit_val_batches=0, **settings)
    trainer.fit(head, Batches(*(states(seed=seed) for seed in range(episodes))))


def test_d02_after_half_of_the_planned_decisions_epsilon_is_halfway() -> None:
    head = SMALL.build(18)
    assert head.epsilon == pytest.approx(0.2)
    head.plan_decisions(2 * 5 * 200)
    fit(head, episodes=5)
    assert head.epsilon == pytest.approx((0.2 + 0.01) / 2)
    fit(head, episodes=6)
    assert head.epsilon == pytest.approx(0.01)


def test_d02_one_large_episode_does_not_end_exploration() -> None:
    head = SMALL.build(18)
    head.plan_decisions(10 * 2000)
    quiet_trainer(max_epochs=1, limit_val_batches=0).fit(head, Batches(states(2000)))
    assert head.epsilon == pytest.approx(0.2 - 0.19 / 10)


def test_d02_without_a_plan_the_length_of_the_training_is_the_plan() -> None:
    head = SMALL.build(18)
    fit(head, episodes=3, epochs=4)
    assert int(head.planned_decisions) == int(head.decisions) == 3 * 4 * 200
    assert head.epsilon == pytest.approx(0.01)


def test_d02_a_training_without_an_end_falls_back_on_the_documented_plan() -> None:
    head = SMALL.build(18)
    fit(head, episodes=2, epochs=-1, max_time={"seconds": 0})
    assert int(head.planned_decisions) == 0
    assert head.epsilon == pytest.approx(0.2 - 0.19 * int(head.decisions) / DEFAULT_DECISIONS)


def test_epsilon_is_the_share_of_random_arms_and_greedy_choices_have_none() -> None:
    td = states(4000)
    head = DQNFusionConfig(epsilon=0.5, hidden_dim=16, num_layers=1).build(18)
    head.fit_features(td)
    greedy, _, _ = head.select_action_batch(td, training=False)
    explored, _, _ = head.select_action_batch(td, training=True)
    assert (explored != greedy).float().mean() == pytest.approx(0.5 * 20 / 21, abs=0.03)
    uses = torch.bincount(explored[explored != greedy], minlength=21)
    assert uses.min() > 0
    again, _, _ = head.select_action_batch(td, training=True)
    assert not torch.equal(again, explored)


def test_exploring_leaves_the_global_generator_alone() -> None:
    head = SMALL.build(18)
    before = torch.get_rng_state()
    head.select_action_batch(states(), training=True)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("double_dqn", [True, False])
def test_the_target_is_the_reward_alone(double_dqn: bool) -> None:
    torch.manual_seed(0)
    head = DQNFusionModule(hidden_dim=16, double_dqn=double_dqn)
    head.replay.push(torch.randn(64, 18), torch.randint(21, (64,)), 5 * torch.randn(64))
    sample = head.replay.contents()
    chosen = head.q_values(sample["obs"]).gather(1, sample["action"].unsqueeze(1)).squeeze(1)
    expected = functional.smooth_l1_loss(chosen, sample["reward"])
    assert torch.allclose(head._compute_loss(sample), expected)


def test_the_target_network_follows_slowly() -> None:
    torch.manual_seed(0)
    head = DQNFusionConfig(hidden_dim=16, num_layers=1, target_eps=0.9).build(18)
    old = [p.detach().clone() for p in head.dqn.value_network_params.parameters()]
    fit(head, episodes=1)
    new = [p.detach() for p in head.dqn.value_network_params.parameters()]
    target = list(head.dqn.target_value_network_params.buffers())
    assert len(target) == len(old) == 4
    for was, now, follows in zip(old, new, target, strict=True):
        assert not torch.equal(was, now)
        assert torch.allclose(follows, torch.lerp(was, now, 0.1), atol=1e-6)


def test_only_the_online_network_is_trained() -> None:
    head = SMALL.build(18)
    trained = {id(p) for group in head.configure_optimizers().param_groups for p in group["params"]}
    assert trained == {id(p) for p in head.parameters()}
    assert sum(p.numel() for p in head.parameters()) == 18 * 16 + 16 + 16 * 21 + 21


def test_a_plan_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"num_decisions must be at least 1 \(got 0\)"):
        SMALL.build(18).plan_decisions(0)
