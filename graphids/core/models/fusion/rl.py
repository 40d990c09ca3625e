"""A fusion head that chooses its blending weight, and learns from what the decision earned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict, Unpack

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from tensordict import TensorDict
from torch import Tensor

from graphids.core.losses.finite import require_finite
from graphids.core.models.base import eval_mode
from graphids.core.models.fusion.head import FusionModuleBase
from graphids.core.models.fusion.replay import ReplayBuffer
from graphids.core.models.fusion.reward import build_reward

CLIP_NORM = 1.0


class RLSettings(TypedDict, total=False):
    """What every head that chooses arms is built with."""

    state_dim: int
    alpha_steps: int
    decision_threshold: float
    reward_kwargs: Mapping[str, Any] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Decisions:
    """What was done with a batch of states, and what it earned."""

    obs: Tensor
    """Standardised features ``[N, state_dim]``."""
    actions: Tensor
    """Arms ``[N]``."""
    alphas: Tensor
    """Share of the classifier ``[N]``."""
    fused: Tensor
    """Fused scores ``[N]``."""
    rewards: Tensor
    """Rewards ``[N]``."""
    components: dict[str, Tensor]
    """Parts of the rewards ``[N]`` by name."""


class RLFusionBase(FusionModuleBase):
    """Arms are blending weights: ``(1 - alpha) * anomaly + alpha * P(attack)`` is the score.

    A training batch is an episode of independent decisions, each of which ends at once: choose
    arms, fuse, decide, collect the reward of the *fused* decision, keep the transitions, then take
    ``gpu_training_steps`` optimiser steps on samples of what was kept. The head reads standardised
    features, the reward raw ones; ``fit_features`` comes before training, since kept observations
    are not standardised again.

    A subclass gives ``_score_actions``, ``_compute_loss`` and ``configure_optimizers``; the other
    hooks do nothing by default. The Trainer must not clip gradients: optimisation is manual.

    Args:
        buffer_size: Most transitions kept; they are part of the module's state.
        batch_size: Transitions of one optimiser step.
        **kw: ``state_dim`` (18), ``alpha_steps`` (21), ``decision_threshold`` (0.5) and
            ``reward_kwargs`` (see ``build_reward``).
    """

    alpha_values: Tensor
    gpu_training_steps: int = 1
    """Optimiser steps of an episode in which the head learns."""

    def __init__(self, *, buffer_size: int, batch_size: int, **kw: Unpack[RLSettings]) -> None:
        state_dim, alpha_steps = kw.get("state_dim", 18), kw.get("alpha_steps", 21)
        super().__init__(state_dim, kw.get("decision_threshold", 0.5))
        if alpha_steps < 2:
            raise ValueError(f"alpha_steps must be at least 2, both ends (got {alpha_steps})")
        if not 1 <= batch_size <= buffer_size:
            raise ValueError(
                f"batch_size must lie between 1 and buffer_size {buffer_size} (got {batch_size}): "
                "the head would never learn"
            )
        self.automatic_optimization = False
        self.batch_size = batch_size
        self.reward = build_reward(kw.get("reward_kwargs"))
        self.replay = ReplayBuffer(buffer_size, state_dim)
        alphas = torch.linspace(0.0, 1.0, alpha_steps)
        self.register_buffer("alpha_values", alphas, persistent=False)
        self.generator = torch.Generator()
        self.seed_actions(0)

    def seed_actions(self, seed: int) -> None:
        """Seeds exploration and the samples of the replay buffer; no checkpoint keeps their state.

        Initial weights and dropout draw from the global generator, as in every module.
        """
        self.generator.manual_seed(seed)

    def _score_actions(self, td: TensorDict, training: bool) -> Tensor:
        """Score of each arm ``[N, A]`` for normalised states, with its bonus in training."""
        raise NotImplementedError

    def _choose(self, scores: Tensor, training: bool) -> Tensor:
        """Arms ``[N]`` by their scores ``[N, A]``: the best, the lowest of several."""
        return scores.argmax(dim=-1)

    def _compute_loss(self, sample: TensorDict) -> Tensor:
        """Loss ``[]`` of transitions ``obs``, ``action`` and ``reward``."""
        raise NotImplementedError

    def _after_act(self, actions: Tensor, obs: Tensor, rewards: Tensor) -> None:
        """Called after an episode's rewards ``[N]``, before its transitions are kept."""

    def _should_learn(self) -> bool:
        """Whether this episode ends with optimiser steps."""
        return True

    def _after_optim_step(self) -> None:
        """Called after each optimiser step."""

    def _after_learn(self) -> None:
        """Called after the optimiser steps of an episode."""

    def _extra_metrics(self) -> dict[str, float]:
        """Further values to log with each episode."""
        return {}

    @torch.no_grad()
    def select_action_batch(
        self, features_td: TensorDict, training: bool = True
    ) -> tuple[Tensor, Tensor, TensorDict]:
        """Chooses an arm for each state.

        Args:
            features_td: Raw states ``[N]``.
            training: Explores; otherwise the choice is greedy and repeats.

        Returns:
            Arms ``[N]``, their alphas ``[N]`` and the normalised states ``[N]``.
        """
        normalised = self.reward.normalize(features_td)
        actions = self._choose(self._score_actions(normalised, training), training)
        return actions, self.alpha_values[actions], normalised

    def _fused(self, td: TensorDict, alphas: Tensor) -> Tensor:
        """Fused scores ``[N]`` of raw states."""
        anomaly, prob = self.reward.derive_scores(td)
        return torch.lerp(anomaly, prob, alphas.to(anomaly.dtype))

    @torch.no_grad()
    def decide(self, td: TensorDict, training: bool) -> Decisions:
        """Chooses arms for labelled states ``[N]``, decides on the fused scores, and is rewarded.

        Raises:
            FloatingPointError: A fused score is not finite.
        """
        actions, _, normalised = self.select_action_batch(td, training)
        done = self.judge(normalised, self.standardised(normalised), actions)
        require_finite(done.fused.mean(), {}, f"mean {type(self).__name__} score")
        return done

    @torch.no_grad()
    def judge(self, normalised: TensorDict, obs: Tensor, actions: Tensor) -> Decisions:
        """What arms ``[N]`` earn on normalised, labelled states ``[N]``.

        Args:
            normalised: What ``select_action_batch`` returns of the states, with their labels.
            obs: Their standardised features ``[N, state_dim]``.
            actions: The arms.
        """
        alphas = self.alpha_values[actions]
        fused = self._fused(normalised, alphas)
        flagged = fused >= self.decision_threshold
        rewards, components = self.reward.compute(normalised, flagged, normalised["labels"], alphas)
        return Decisions(
            obs=obs,
            actions=actions,
            alphas=alphas,
            fused=fused,
            rewards=rewards,
            components=components,
        )

    def measured(self, done: Decisions, labels: Tensor) -> dict[str, Tensor | float]:
        """Means over decisions in training, by the names under which they are logged."""
        hits = (done.fused >= self.decision_threshold) == (labels > 0)
        return {
            "train_reward": done.rewards.mean(),
            "train_alpha": done.alphas.mean(),
            "train_acc": hits.float().mean(),
            **{f"train_{name}": part.mean() for name, part in done.components.items()},
        }

    def forward_scores(self, td: TensorDict) -> Tensor:
        """Fused score under the greedy arm ``[N]``, in ``[0, 1]``; it has no gradient."""
        _, alphas, normalised = self.select_action_batch(td, training=False)
        return self._fused(normalised, alphas)

    @torch.no_grad()
    def predict_scores(self, td: TensorDict) -> Tensor:
        """Fused score under the greedy arm ``[N]`` in evaluation mode.

        In float64: in float32 an anomaly of large errors would tie at 1.
        """
        with eval_mode(self):
            _, alphas, normalised = self.select_action_batch(td, training=False)
            return self._fused(normalised.double(), alphas)

    def training_step(self, td: TensorDict, batch_idx: int) -> None:
        """An episode; logs its reward, its parts, alpha, accuracy and the loss, if it learned."""
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        values = self.episode(td, lambda: self.descend(optimizer, self.manual_backward))
        self.log_epoch(values, td.batch_size[0])

    def episode(self, td: TensorDict, descend: Callable[[], Tensor]) -> dict[str, Tensor | float]:
        """Acts on labelled states ``[N]``, keeps what it earned, and learns where it is due.

        Args:
            td: Raw states.
            descend: Takes an optimiser step and returns its loss ``[]``.

        Returns:
            What ``training_step`` logs.

        Raises:
            FloatingPointError: A fused score or a loss is not finite.
        """
        done = self.decide(td, training=True)
        self._after_act(done.actions, done.obs, done.rewards)
        self.replay.push(done.obs, done.actions, done.rewards)
        values = self.measured(done, td["labels"])
        if len(self.replay) >= self.batch_size and self._should_learn():
            losses = [descend() for _ in range(self.gpu_training_steps)]
            self._after_learn()
            values["train_loss"] = torch.stack(losses).mean()
        return {**values, **self._extra_metrics()}

    def descend(
        self,
        optimizer: torch.optim.Optimizer | LightningOptimizer,
        backward: Callable[[Tensor], None],
    ) -> Tensor:
        """One optimiser step on a sample of the replay buffer; returns its loss ``[]``.

        Raises:
            FloatingPointError: The loss is not finite.
        """
        loss = self._compute_loss(self.replay.sample(self.batch_size, self.generator))
        require_finite(loss.detach(), {}, f"{type(self).__name__} loss")
        optimizer.zero_grad()
        backward(loss)
        torch.nn.utils.clip_grad_norm_(self.parameters(), CLIP_NORM)
        optimizer.step()
        self._after_optim_step()
        return loss.detach()

    def validation_step(self, td: TensorDict, batch_idx: int) -> None:
        """Logs ``val_acc``, ``avg_reward``, ``avg_alpha`` and ``val_r_*`` of greedy decisions."""
        done = self.decide(td, training=False)
        values = {
            "avg_reward": done.rewards.mean(),
            "avg_alpha": done.alphas.mean(),
            **{f"val_{name}": part.mean() for name, part in done.components.items()},
        }
        self.log_validation(done.fused, td, values)

    def diagnostics(self, td: TensorDict) -> dict[str, float]:
        """How the greedy arms are used on labelled states ``[N]``, and what they earn.

        Returns:
            ``mean_alpha``, ``top_arm`` (alpha of the most used arm), ``top_arm_share`` of the
            windows, ``mean_reward``, and ``mean_alpha_benign`` and ``mean_alpha_attack`` where
            there are such windows.
        """
        with eval_mode(self):
            done = self.decide(td, training=False)
        uses = torch.bincount(done.actions, minlength=len(self.alpha_values))
        values = {
            "mean_alpha": done.alphas.mean(),
            "top_arm": self.alpha_values[uses.argmax()],
            "top_arm_share": uses.max() / uses.sum(),
            "mean_reward": done.rewards.mean(),
        }
        for name, chosen in (("benign", td["labels"] <= 0), ("attack", td["labels"] > 0)):
            if bool(chosen.any()):
                values[f"mean_alpha_{name}"] = done.alphas[chosen].mean()
        return {name: float(value) for name, value in values.items()}
