"""Neural-LinUCB: the regressions against slow ones, and what a refit does to them."""

from __future__ import annotations

import pytest
import torch
from model_samples import Batches, quiet_trainer, states

from graphids.core.models.fusion import BanditFusionConfig, BanditFusionModule
from graphids.core.models.fusion.ridge import absorb, confidence_widths, ridge_inverse

SMALL = BanditFusionConfig(hidden_dim=12, num_layers=1, alpha_steps=5, lambda_reg=2.0)


def ridge(z: torch.Tensor, rewards: torch.Tensor, lam: float) -> torch.Tensor:
    """Weights of a ridge regression, as a least-squares problem with rows for the penalty."""
    width = z.shape[1]
    rows = torch.cat((z, lam**0.5 * torch.eye(width, dtype=z.dtype)))
    target = torch.cat((rewards, torch.zeros(width, dtype=z.dtype)))
    return torch.linalg.lstsq(rows, target.unsqueeze(1)).solution.squeeze(1)


def fit(head: BanditFusionModule, episodes: int, rows: int = 300) -> None:
    trainer = quiet_trainer(max_epochs=1, limit_val_batches=0)
    trainer.fit(head, Batches(*(states(rows, seed=seed) for seed in range(episodes))))


def test_episodes_update_as_sherman_and_morrison_would_row_by_row() -> None:
    torch.manual_seed(0)
    head = SMALL.build(18)
    slow = head.A_inv.clone()
    moment = torch.zeros(5, 12, dtype=torch.float64)
    seen = [torch.zeros(0, 12, dtype=torch.float64)] * 5
    for rows in (1, 300, 70, 3):
        obs, rewards = torch.randn(rows, 18), torch.randn(rows)
        actions = torch.randint(4, (rows,))
        head._after_act(actions, obs, rewards)
        for row, z in enumerate(head.represent(obs).double()):
            arm = int(actions[row])
            gain = slow[arm] @ z
            slow[arm] -= torch.outer(gain, gain) / (1 + z @ gain)
            moment[arm] += rewards[row] * z
            seen[arm] = torch.cat((seen[arm], z.unsqueeze(0)))
    assert torch.allclose(head.A_inv, slow, atol=1e-9)
    assert torch.allclose(head.b, moment, atol=1e-9)
    assert torch.allclose(head.theta, (slow @ moment.unsqueeze(-1)).squeeze(-1), atol=1e-9)
    for arm in range(5):
        precision = 2.0 * torch.eye(12, dtype=torch.float64) + seen[arm].T @ seen[arm]
        assert torch.allclose(head.A_inv[arm], torch.linalg.inv(precision), atol=1e-9)
    assert torch.equal(head.A_inv[4], torch.eye(12, dtype=torch.float64) / 2)


def test_many_rows_keep_the_inverse_true_and_positive() -> None:
    z = torch.randn(5000, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    z[:, 5] = 1e-3 * z[:, 5] + z[:, 4]
    inverse = torch.eye(32, dtype=torch.float64)
    for rows in z.split(1111):
        inverse = absorb(inverse, rows)
    direct = ridge_inverse(z, 1.0)
    assert torch.allclose(inverse, direct, rtol=1e-6, atol=1e-10)
    assert torch.equal(inverse, inverse.T)
    assert torch.linalg.eigvalsh(inverse).min() > 0


def test_widths_are_quadratic_forms_that_shrink_with_every_row() -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(700, 8, generator=generator)
    inverses = torch.stack([torch.eye(8), ridge_inverse(z[:50], 1.0), ridge_inverse(z, 1.0)])
    widths = confidence_widths(z, inverses)
    slow = torch.stack([(z[7] @ inverse @ z[7]).sqrt() for inverse in inverses])
    assert torch.allclose(widths[7], slow, atol=1e-5)
    assert (widths.diff(dim=1) < 0).all()


def test_training_adds_the_width_and_greedy_choices_do_not() -> None:
    torch.manual_seed(0)
    td = states()
    head = SMALL.build(18)
    head.fit_features(td)
    head._after_act(torch.full((200,), 2), head.standardised(td), torch.full((200,), 0.01))
    greedy, _, _ = head.select_action_batch(td, training=False)
    assert greedy.tolist() == [2] * 200
    optimistic, _, _ = head.select_action_batch(td, training=True)
    assert 2 not in optimistic.tolist()
    assert head._extra_metrics()["avg_ucb_width"] > 0


def test_the_first_episode_tries_all_arms() -> None:
    head = BanditFusionModule()
    actions, _, _ = head.select_action_batch(states(600), training=True)
    assert torch.bincount(actions, minlength=21).min() > 0


def test_acting_reads_no_dropout_and_leaves_the_mode_alone() -> None:
    head = BanditFusionModule().train()
    obs = torch.randn(50, 18)
    assert torch.equal(head.represent(obs), head.represent(obs))
    assert not torch.equal(head.backbone(obs), head.backbone(obs))
    assert head.backbone.training


def test_d03_a_refit_moves_the_regressions_to_the_new_representation() -> None:
    torch.manual_seed(0)
    head = BanditFusionConfig(
        hidden_dim=12, num_layers=1, alpha_steps=5, backbone_retrain_freq=4, lambda_reg=2.0
    ).build(18)
    head.fit_features(states(300))
    start = [p.detach().clone() for p in head.backbone.parameters()]
    fit(head, episodes=3)
    same = zip(start, head.backbone.parameters(), strict=True)
    assert all(torch.equal(was, now) for was, now in same)
    before = head.diagnostics(states(seed=9))
    fit(head, episodes=1)
    assert int(head.episodes) == 4
    changed = zip(start, head.backbone.parameters(), strict=True)
    assert not any(torch.equal(was, now) for was, now in changed)
    kept = head.replay.contents()
    z = head.represent(kept["obs"]).double()
    for arm in range(5):
        mine = kept["action"] == arm
        assert mine.any()
        expected = ridge(z[mine], kept["reward"][mine].double(), 2.0)
        assert torch.allclose(head.theta[arm], expected, atol=1e-8)
    after = head.diagnostics(states(seed=9))
    assert head.select_action_batch(states(seed=9), training=False)[0].max() > 0
    assert after["mean_reward"] > before["mean_reward"] - 0.5


def test_d03_every_step_of_a_refit_reads_regressions_of_its_own_representation() -> None:
    class Watching(BanditFusionModule):
        errors: tuple[float, ...] = ()

        def _compute_loss(self, sample: object) -> torch.Tensor:
            kept = self.replay.contents()
            z = self.represent(kept["obs"]).double()
            for arm in kept["action"].unique().tolist():
                mine = kept["action"] == arm
                expected = ridge(z[mine], kept["reward"][mine].double(), 1.0)
                self.errors += (float((self.theta[arm] - expected).abs().max()),)
            return super()._compute_loss(sample)

    torch.manual_seed(0)
    head = Watching(
        hidden_dim=12, num_layers=1, alpha_steps=3, backbone_retrain_freq=2, backbone_epochs=4,
        backbone_lr=0.1,
    )  # fmt: skip
    head.fit_features(states(300))
    fit(head, episodes=2)
    assert len(head.errors) == 4 * 3
    assert max(head.errors) < 1e-7


def test_only_the_backbone_has_a_gradient_and_its_steps_are_counted() -> None:
    head = SMALL.build(18)
    assert head.gpu_training_steps == SMALL.backbone_epochs == 5
    trained = {id(p) for group in head.configure_optimizers().param_groups for p in group["params"]}
    assert trained == {id(p) for p in head.parameters()}


def test_ranges_are_checked() -> None:
    with pytest.raises(ValueError, match=r"lambda_reg must be positive \(got 0\)"):
        BanditFusionConfig(lambda_reg=0)
    with pytest.raises(ValueError, match="backbone_retrain_freq must be at least 1"):
        BanditFusionConfig(backbone_retrain_freq=0)
