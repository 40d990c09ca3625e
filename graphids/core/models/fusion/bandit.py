"""Fusion by a contextual bandit on a learned representation: Neural-LinUCB (Xu et al. 2022).

Each arm is a ridge regression of the reward on the representation ``z``. The representation is
retrained now and then; the regressions are then computed anew from the replay buffer, so that they
never mix representations.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor
from torch.nn import functional

from graphids.core.models.base import eval_mode
from graphids.core.models.checks import (
    require_at_least_one,
    require_choice,
    require_non_negative,
    require_positive,
)
from graphids.core.models.fusion.head import build_mlp_body
from graphids.core.models.fusion.reward import KINDS
from graphids.core.models.fusion.ridge import absorb, confidence_widths, ridge_inverse
from graphids.core.models.fusion.rl import RLFusionBase

TIE_NOISE = 1e-4
"""Largest random part of a score in training: below any difference of rewards that matters."""
WIDTH_EPISODES = 50
"""Episodes over which the logged width is averaged."""


@dataclass(frozen=True, kw_only=True)
class BanditFusionConfig:
    """Settings of the bandit."""

    alpha_steps: int = 21
    """Blending weights to choose from, evenly from 0 to 1."""
    ucb_alpha: float = 1.0
    """Weight of the confidence width in training."""
    lambda_reg: float = 1.0
    """Ridge of each arm's regression."""
    hidden_dim: int = 128
    """Width of the backbone, and of the representation."""
    num_layers: int = 3
    """Layers of the backbone."""
    backbone_lr: float = 1e-3
    """Learning rate of AdamW."""
    backbone_retrain_freq: int = 50
    """Episodes from one refit of the backbone to the next; an episode is a training batch."""
    backbone_epochs: int = 5
    """Optimiser steps of a refit."""
    buffer_size: int = 100_000
    """Most transitions kept."""
    batch_size: int = 128
    """Transitions of one optimiser step."""
    decision_threshold: float = 0.5
    """Cut on the fused score in the decision that is rewarded."""
    reward: str = "legacy"
    """Reward: ``legacy`` or ``minimal``."""

    def __post_init__(self) -> None:
        require_positive(self, "lambda_reg", "backbone_lr")
        require_non_negative(self, "ucb_alpha")
        require_at_least_one(
            self, "hidden_dim", "num_layers", "backbone_retrain_freq", "backbone_epochs"
        )
        require_choice("reward", self.reward, KINDS)

    def build(self, state_dim: int) -> BanditFusionModule:
        """The head for states of this width."""
        settings = {name: value for name, value in vars(self).items() if name != "reward"}
        return BanditFusionModule(
            state_dim=state_dim, reward_kwargs={"kind": self.reward}, **settings
        )


def by_arm(actions: Tensor, num_arms: int) -> tuple[Tensor, ...]:
    """Rows that chose each arm, in their order, from the arms of all rows ``[N]``."""
    counts = torch.bincount(actions, minlength=num_arms)
    return actions.argsort(stable=True).split(counts.tolist())


class BanditFusionModule(RLFusionBase):
    """Score of arm ``a``: ``theta_a . z``, in training plus ``ucb_alpha * sqrt(z' A_inv_a z)``.

    The regressions are kept in float64: their inverses span many orders of magnitude after some
    hundred thousand rewards. ``z`` is taken without dropout, but in the loss of a refit.
    """

    A_inv: Tensor
    b: Tensor
    theta: Tensor
    episodes: Tensor

    def __init__(
        self,
        state_dim: int = 18,
        alpha_steps: int = 21,
        ucb_alpha: float = 1.0,
        lambda_reg: float = 1.0,
        hidden_dim: int = 128,
        num_layers: int = 3,
        backbone_lr: float = 0.001,
        backbone_retrain_freq: int = 50,
        backbone_epochs: int = 5,
        buffer_size: int = 100000,
        batch_size: int = 128,
        decision_threshold: float = 0.5,
        reward_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            buffer_size=buffer_size,
            batch_size=batch_size,
            state_dim=state_dim,
            alpha_steps=alpha_steps,
            decision_threshold=decision_threshold,
            reward_kwargs=reward_kwargs,
        )
        self.save_hyperparameters()
        self.gpu_training_steps = backbone_epochs
        self.ucb_alpha = ucb_alpha
        self.lambda_reg = lambda_reg
        self.backbone_retrain_freq = backbone_retrain_freq
        self.backbone = build_mlp_body(state_dim, hidden_dim, num_layers)
        prior = torch.eye(hidden_dim, dtype=torch.float64) / lambda_reg
        self.register_buffer("A_inv", prior.repeat(alpha_steps, 1, 1))
        self.register_buffer("b", torch.zeros(alpha_steps, hidden_dim, dtype=torch.float64))
        self.register_buffer("theta", torch.zeros_like(self.b))
        self.register_buffer("episodes", torch.zeros((), dtype=torch.long))
        self._widths: deque[float] = deque(maxlen=WIDTH_EPISODES)

    @torch.no_grad()
    def represent(self, obs: Tensor) -> Tensor:
        """Representation ``z`` ``[N, hidden_dim]`` of standardised features, without dropout."""
        with eval_mode(self.backbone):
            z: Tensor = self.backbone(obs)
        return z

    def _score_actions(self, td: TensorDict, training: bool) -> Tensor:
        z = self.represent(self.standardised(td))
        means = z @ self.theta.to(z.dtype).T
        if not training:
            return means
        widths = confidence_widths(z, self.A_inv.to(z.dtype))
        # Untried arms tie: without noise the first episode would try only one of them.
        noise = torch.rand(means.shape, generator=self.generator).to(means)
        scores = means + self.ucb_alpha * widths + TIE_NOISE * noise
        chosen = widths.gather(1, scores.argmax(dim=-1, keepdim=True))
        self._widths.append(float(chosen.mean()))
        return scores

    @torch.no_grad()
    def _after_act(self, actions: Tensor, obs: Tensor, rewards: Tensor) -> None:
        """Adds an episode to the regressions of the arms that it used."""
        self.episodes += 1
        z, targets = self.represent(obs).to(self.b), rewards.to(self.b)
        for arm, mine in enumerate(by_arm(actions, len(self.alpha_values))):
            if len(mine) == 0:
                continue
            self.A_inv[arm] = absorb(self.A_inv[arm], z[mine])
            self.b[arm] += targets[mine] @ z[mine]
            self.theta[arm] = self.A_inv[arm] @ self.b[arm]

    @torch.no_grad()
    def rebuild_statistics(self) -> None:
        """Computes all regressions from the replay buffer under the present representation."""
        kept = self.replay.contents()
        z, targets = self.represent(kept["obs"]), kept["reward"].to(self.b)
        for arm, mine in enumerate(by_arm(kept["action"], len(self.alpha_values))):
            rows = z[mine].to(self.b)
            self.A_inv[arm] = ridge_inverse(rows, self.lambda_reg)
            self.b[arm] = targets[mine] @ rows
            self.theta[arm] = self.A_inv[arm] @ self.b[arm]

    def _should_learn(self) -> bool:
        """Whether a refit of the backbone is due."""
        return int(self.episodes) % self.backbone_retrain_freq == 0

    def _compute_loss(self, sample: TensorDict) -> Tensor:
        """Mean squared error of ``theta_a . z`` from the reward, through the backbone alone."""
        z = self.backbone(sample["obs"])
        expected = (z * self.theta[sample["action"]].to(z.dtype)).sum(dim=-1)
        return functional.mse_loss(expected, sample["reward"])

    def _after_optim_step(self) -> None:
        """Moves the regressions to the new representation, which the next step's loss reads."""
        self.rebuild_statistics()

    def _extra_metrics(self) -> dict[str, float]:
        return {"avg_ucb_width": sum(self._widths) / len(self._widths)} if self._widths else {}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over the backbone."""
        return torch.optim.AdamW(self.backbone.parameters(), lr=self.hparams["backbone_lr"])
