"""Heads that choose arms: what is rewarded, in which order things happen, what repeats."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from model_samples import Batches, Metrics, quiet_trainer, states
from tensordict import TensorDict

from graphids.core.metrics import auroc
from graphids.core.models import (
    checkpoint_tensors,
    model_from_checkpoint_tensors,
    safe_load_checkpoint,
    save_checkpoint,
)
from graphids.core.models.fusion import (
    BanditFusionConfig,
    BanditFusionModule,
    DQNFusionConfig,
    DQNFusionModule,
    RLFusionBase,
    flatten_features,
)

Config = DQNFusionConfig | BanditFusionConfig
QUICK: list[Config] = [
    DQNFusionConfig(gpu_training_steps=8, hidden_dim=32, num_layers=2),
    BanditFusionConfig(backbone_retrain_freq=10, hidden_dim=32, num_layers=2),
]


class OneArm(RLFusionBase):
    """Always the same arm; counts what happens."""

    def __init__(self, arm: int = 0, **settings: int) -> None:
        super().__init__(buffer_size=1000, batch_size=64, state_dim=18, **settings)
        self.arm = arm
        self.slope = torch.nn.Parameter(torch.zeros(()))
        self.gpu_training_steps = 3
        self.events: list[str] = []

    def _score_actions(self, td: TensorDict, training: bool) -> torch.Tensor:
        scores = torch.zeros(len(td), len(self.alpha_values))
        scores[:, self.arm] = 1.0
        return scores

    def _compute_loss(self, sample: TensorDict) -> torch.Tensor:
        self.events.append("loss")
        return (sample["reward"] - self.slope).square().mean()

    def _after_act(self, actions: torch.Tensor, obs: torch.Tensor, rewards: torch.Tensor) -> None:
        self.events.append(f"act {len(self.replay)}")

    def _should_learn(self) -> bool:
        self.events.append(f"ask {len(self.replay)}")
        return len(self.replay) >= 120

    def _after_optim_step(self) -> None:
        self.events.append("step")

    def _after_learn(self) -> None:
        self.events.append("learned")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def decided(anomaly: float, prob: float, label: int, rows: int = 8) -> TensorDict:
    """States of which both detectors say the same every time."""
    td = states(rows)
    td["vgae", "errors"] = torch.full((rows, 3), anomaly / (1 - anomaly))
    td["gat", "probs"] = torch.tensor([1 - prob, prob]).expand(rows, 2).clone()
    td["labels"] = torch.full((rows,), label)
    return td


@pytest.mark.parametrize(
    ("arm", "td"),
    [
        (20, decided(anomaly=0.9, prob=0.1, label=0)),
        (0, decided(anomaly=0.9, prob=0.1, label=1)),
        (15, decided(anomaly=0.9, prob=0.1, label=0)),
    ],
)
def test_d01_the_fused_decision_is_rewarded_not_the_arm(arm: int, td: TensorDict) -> None:
    head = OneArm(arm)
    quiet_trainer(max_epochs=1, limit_val_batches=0).fit(head, Batches(td))
    assert (head.replay.contents()["reward"] > 0).all()
    opposite = td.clone()
    opposite["labels"] = 1 - td["labels"]
    assert (head.decide(opposite, training=True).rewards < 0).all()


def test_an_episode_acts_keeps_asks_and_learns_in_this_order() -> None:
    head = OneArm()
    trainer = quiet_trainer(max_epochs=1, limit_val_batches=0)
    trainer.fit(head, Batches(*(states(40, seed=seed) for seed in range(4))))
    step = ["loss", "step"]
    assert head.events == [
        "act 0", "act 40", "ask 80",
        "act 80", "ask 120", *step, *step, *step, "learned",
        "act 120", "ask 160", *step, *step, *step, "learned",
    ]  # fmt: skip
    assert trainer.global_step == 6


def test_gradients_are_clipped_by_hand() -> None:
    head = OneArm()
    td = decided(anomaly=0.9, prob=0.1, label=1, rows=120)
    quiet_trainer(max_epochs=1, limit_val_batches=0).fit(head, Batches(td))
    assert float(head.slope.detach()) == pytest.approx(3 * 0.1 * 1.0)


def test_d31_the_head_reads_standardised_features_and_the_reward_raw_ones() -> None:
    td = states()
    raw, fitted = OneArm(5), OneArm(5)
    fitted.fit_features(td)
    before, after = raw.decide(td, True), fitted.decide(td, True)
    assert torch.equal(before.rewards, after.rewards)
    assert after.obs.std(0).max() < 2 < before.obs.std(0).max()


def test_choosing_gives_arms_alphas_and_normalised_states() -> None:
    td = states()
    td["gat", "conf"] = torch.full((200, 1), 1.5)
    before = flatten_features(td).clone()
    actions, alphas, normalised = OneArm(5).select_action_batch(td)
    assert actions.tolist() == [5] * 200
    assert torch.allclose(alphas, torch.full((200,), 0.25))
    assert normalised["gat", "conf"].max() == 1
    assert torch.equal(flatten_features(td), before)


@pytest.mark.parametrize("arm", [0, 7, 20])
def test_lesson_37_the_score_rises_with_both_detectors(arm: int) -> None:
    head = OneArm(arm)
    low = head.predict_scores(decided(0.3, 0.4, 0))
    assert (head.predict_scores(decided(0.5, 0.4, 0)) >= low).all()
    assert (head.predict_scores(decided(0.3, 0.6, 0)) >= low).all()
    assert (head.predict_scores(decided(0.5, 0.6, 0)) > low).all()


def test_large_errors_do_not_tie() -> None:
    td = states(50)
    td["vgae", "errors"] = torch.linspace(1e8, 1e9, 50).unsqueeze(-1).expand(50, 3).clone()
    scores = OneArm(0).predict_scores(td)
    assert scores.dtype == torch.float64
    assert scores.unique().numel() == 50


def test_a_state_that_is_not_finite_stops_training() -> None:
    td = states()
    td["vgae", "errors"][3] = float("nan")
    with pytest.raises(FloatingPointError, match="mean OneArm score is nan"):
        OneArm().decide(td, training=True)


@pytest.mark.parametrize("config", QUICK, ids=["dqn", "bandit"])
@pytest.mark.parametrize("reward", ["legacy", "minimal"])
def test_canary_a_head_learns_to_earn_more_and_ranks_attacks_first(
    config: Config, reward: str
) -> None:
    torch.manual_seed(1)
    train, unseen = states(), states(seed=5)
    head = type(config)(**{**vars(config), "reward": reward}).build(18)
    head.fit_features(train)
    before = head.diagnostics(unseen)
    keep = Metrics()
    trainer = quiet_trainer(
        max_epochs=40, callbacks=[keep], num_sanity_val_steps=0, check_val_every_n_epoch=20
    )
    trainer.fit(head, Batches(train), Batches(unseen))
    after = head.diagnostics(unseen)
    assert after["mean_reward"] > before["mean_reward"]
    assert after["mean_alpha_benign"] != after["mean_alpha_attack"]
    assert after["mean_reward"] == pytest.approx(keep.epochs[-1]["avg_reward"], abs=1e-4)
    assert auroc(head.predict_scores(unseen), unseen["labels"]) > 0.85
    assert keep.epochs[-1].keys() >= {
        "val_acc", "val_auroc", "avg_reward", "avg_alpha", "val_r_classification",
        "train_reward", "train_loss", "train_alpha", "train_r_confidence",
    }  # fmt: skip
    parts = [value for name, value in keep.epochs[-1].items() if name.startswith("val_r_")]
    assert sum(parts) == pytest.approx(keep.epochs[-1]["avg_reward"], abs=1e-4)
    (found,) = quiet_trainer().test(head, Batches(unseen), verbose=False)
    assert found["test/all/auroc"] > 0.85


def trained(config: Config, *, weights: int = 0, actions: int = 0) -> RLFusionBase:
    torch.manual_seed(weights)
    head = config.build(18)
    head.fit_features(states())
    head.seed_actions(actions)
    quiet_trainer(max_epochs=10, limit_val_batches=0).fit(head, Batches(states()))
    return head


@pytest.mark.parametrize("config", QUICK, ids=["dqn", "bandit"])
def test_equal_seeds_give_equal_heads_and_others_do_not(config: Config) -> None:
    first, again = trained(config).state_dict(), trained(config).state_dict()
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) for key in first)
    other = trained(config, actions=1).state_dict()
    assert not torch.equal(other["replay.action"], first["replay.action"])


@pytest.mark.parametrize("config", QUICK, ids=["dqn", "bandit"])
def test_a_fresh_head_repeats_its_greedy_scores(config: Config) -> None:
    head, td = config.build(18), states()
    first = head.predict_scores(td)
    assert head.training
    assert torch.equal(head.predict_scores(td), first)
    assert torch.allclose(head.eval().forward_scores(td).double(), first)


@pytest.mark.parametrize("config", QUICK, ids=["dqn", "bandit"])
def test_lesson_49_a_checkpoint_holds_the_replay_buffer(config: Config, tmp_path: Path) -> None:
    head = trained(config)
    kind = "dqn" if isinstance(head, DQNFusionModule) else "bandit"
    save_checkpoint(head, tmp_path / "head.safetensors", test_threshold=0.4)
    tensors, header = checkpoint_tensors(head)
    for loaded in (
        safe_load_checkpoint(kind, tmp_path / "head.safetensors"),
        model_from_checkpoint_tensors(tensors, header, model_type=kind),
    ):
        assert isinstance(loaded, DQNFusionModule | BanditFusionModule)
        assert torch.equal(
            loaded.predict_scores(states(seed=5)), head.predict_scores(states(seed=5))
        )
        assert len(loaded.replay) == 2000
        assert (loaded.replay.contents() == head.replay.contents()).all()
        assert loaded.hparams == head.hparams
        state = loaded.state_dict()
        assert all(torch.equal(state[key], tensor) for key, tensor in tensors.items())


@pytest.mark.parametrize("config", QUICK, ids=["dqn", "bandit"])
def test_a_lightning_checkpoint_loads_without_running_code(config: Config, tmp_path: Path) -> None:
    head = config.build(18)
    trainer = quiet_trainer(max_epochs=2, limit_val_batches=0)
    trainer.fit(head, Batches(states()))
    trainer.save_checkpoint(tmp_path / "head.ckpt")
    loaded = safe_load_checkpoint(None, tmp_path / "head.ckpt")
    assert torch.equal(loaded.predict_scores(states(seed=5)), head.predict_scores(states(seed=5)))
    again = quiet_trainer(max_epochs=4, limit_val_batches=0)
    resumed = config.build(18)
    again.fit(resumed, Batches(states()), ckpt_path=tmp_path / "head.ckpt", weights_only=True)
    assert len(resumed.replay) == 800


def test_diagnostics_tell_benign_windows_from_attacks_where_there_are_both() -> None:
    head, td = OneArm(5), states()
    found = head.diagnostics(td)
    assert found["mean_alpha"] == found["top_arm"] == found["mean_alpha_attack"] == 0.25
    assert found["top_arm_share"] == 1.0
    assert found["mean_reward"] == pytest.approx(float(head.decide(td, False).rewards.mean()))
    td["labels"] = torch.zeros(200)
    assert "mean_alpha_attack" not in head.diagnostics(td)


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(ValueError, match=r"alpha_steps must be at least 2, both ends \(got 1\)"):
        OneArm(alpha_steps=1)
    with pytest.raises(ValueError, match=r"batch_size must lie .* buffer_size 10 \(got 128\)"):
        DQNFusionModule(buffer_size=10)
    with pytest.raises(ValueError, match="reward 'none' is not available"):
        BanditFusionConfig(reward="none")
    with pytest.raises(ValueError, match=r"epsilon must fall .* \(got 0\.1 and 0\.2\)"):
        DQNFusionConfig(epsilon=0.1, min_epsilon=0.2)
