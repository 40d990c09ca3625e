"""Fusion by a deep Q-network over blending weights (Mnih et al. 2015), with torchrl's parts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor
from torchrl.data import Categorical
from torchrl.envs.utils import ExplorationType, set_exploration_type
from torchrl.modules import MLP, EGreedyModule, QValueActor
from torchrl.objectives import DQNLoss, SoftUpdate, ValueEstimators

from graphids.core.models.checks import (
    require_at_least_one,
    require_choice,
    require_non_negative,
    require_positive,
)
from graphids.core.models.fusion.reward import KINDS
from graphids.core.models.fusion.rl import RLFusionBase

DEFAULT_DECISIONS = 4_000_000
"""Decisions over which exploration fades where a training has no known end: 200 episodes of
20,000 windows."""


@dataclass(frozen=True, kw_only=True)
class DQNFusionConfig:
    """Settings of the Q-network."""

    alpha_steps: int = 21
    """Blending weights to choose from, evenly from 0 to 1."""
    hidden_dim: int = 128
    """Width of the hidden layers."""
    num_layers: int = 3
    """Hidden layers."""
    lr: float = 1e-3
    """Learning rate of AdamW."""
    weight_decay: float = 1e-5
    """Weight decay of AdamW."""
    epsilon: float = 0.2
    """Share of random arms at the start."""
    min_epsilon: float = 0.01
    """Share of random arms after all planned decisions."""
    buffer_size: int = 50_000
    """Most transitions kept."""
    batch_size: int = 128
    """Transitions of one optimiser step."""
    gpu_training_steps: int = 1
    """Optimiser steps after each episode, which is a training batch."""
    target_eps: float = 0.995
    """Share that the target network keeps of itself at each optimiser step."""
    double_dqn: bool = True
    """Whether the online network picks the successor's arm."""
    decision_threshold: float = 0.5
    """Cut on the fused score in the decision that is rewarded."""
    reward: str = "legacy"
    """Reward: ``legacy`` or ``minimal``."""

    def __post_init__(self) -> None:
        require_positive(self, "lr")
        require_non_negative(self, "weight_decay")
        require_at_least_one(self, "hidden_dim", "num_layers", "gpu_training_steps")
        require_choice("reward", self.reward, KINDS)
        if not 0.0 <= self.min_epsilon <= self.epsilon <= 1.0:
            raise ValueError(
                "epsilon must fall within [0, 1], from epsilon to min_epsilon "
                f"(got {self.epsilon} and {self.min_epsilon})"
            )
        if not 0.5 <= self.target_eps <= 1.0:
            raise ValueError(f"target_eps must lie in [0.5, 1] (got {self.target_eps})")

    def build(self, state_dim: int) -> DQNFusionModule:
        """The head for states of this width."""
        settings = {name: value for name, value in vars(self).items() if name != "reward"}
        return DQNFusionModule(state_dim=state_dim, reward_kwargs={"kind": self.reward}, **settings)


class DQNFusionModule(RLFusionBase):
    """Q-values of all arms, epsilon-greedy in training.

    Every decision ends its episode and gamma is 0, so that a target is the reward itself: the
    target network and ``double_dqn`` are there, and change nothing as long as that holds.

    Epsilon falls linearly from ``epsilon`` to ``min_epsilon`` over the *planned* number of
    decisions, constant within an episode. ``plan_decisions`` sets the plan; without it the first
    training batch derives it from the Trainer's epochs and batches, as though all batches were as
    large, and from ``DEFAULT_DECISIONS`` where the training has no known end.
    """

    decisions: Tensor
    planned_decisions: Tensor

    def __init__(
        self,
        state_dim: int = 18,
        alpha_steps: int = 21,
        hidden_dim: int = 128,
        num_layers: int = 3,
        lr: float = 1e-3,
        weight_decay: float = 1e-5,
        epsilon: float = 0.2,
        min_epsilon: float = 0.01,
        buffer_size: int = 50_000,
        batch_size: int = 128,
        gpu_training_steps: int = 1,
        target_eps: float = 0.995,
        double_dqn: bool = True,
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
        self.gpu_training_steps = gpu_training_steps
        spec = Categorical(alpha_steps)
        net = MLP(
            in_features=state_dim,
            out_features=alpha_steps,
            num_cells=[hidden_dim] * num_layers,
            activation_class=torch.nn.ReLU,
        )
        # The loss owns the weights, online and target: a second home would double them in a state.
        self.dqn = DQNLoss(
            QValueActor(net, in_keys=["obs"], spec=spec),
            loss_function="smooth_l1",
            double_dqn=double_dqn,
            delay_value=True,
            action_space=spec,
        )
        self.dqn.make_value_estimator(ValueEstimators.TD0, gamma=0.0)
        self.explorer = EGreedyModule(spec, eps_init=float(epsilon), eps_end=float(min_epsilon))
        self._soft_update = SoftUpdate(self.dqn, eps=target_eps)
        self.register_buffer("decisions", torch.zeros((), dtype=torch.long))
        self.register_buffer("planned_decisions", torch.zeros((), dtype=torch.long))

    @property
    def epsilon(self) -> float:
        """Share of random arms at present."""
        return float(self.explorer.eps)

    def plan_decisions(self, num_decisions: int) -> None:
        """Sets over how many decisions, counted from the first, exploration fades.

        Raises:
            ValueError: There is not even one.
        """
        if num_decisions < 1:
            raise ValueError(f"num_decisions must be at least 1 (got {num_decisions})")
        self.planned_decisions.fill_(num_decisions)

    def on_train_batch_start(self, batch: TensorDict, batch_idx: int) -> None:
        """Plans the decisions, where nobody has and the training has an end."""
        episodes = self.trainer.estimated_stepping_batches
        if self.planned_decisions == 0 and math.isfinite(episodes) and episodes > 0:
            self.plan_decisions(int(episodes) * batch.batch_size[0])

    def q_values(self, obs: Tensor) -> Tensor:
        """Expected reward of each arm ``[N, A]`` for standardised features ``[N, state_dim]``."""
        with self.dqn.value_network_params.to_module(self.dqn.value_network):
            values: Tensor = self.dqn.value_network(TensorDict({"obs": obs}, [len(obs)]))[
                "action_value"
            ]
        return values

    def _score_actions(self, td: TensorDict, training: bool) -> Tensor:
        return self.q_values(self.standardised(td))

    def _choose(self, scores: Tensor, training: bool) -> Tensor:
        """The best arm, in training replaced by a random one with probability epsilon."""
        best = super()._choose(scores, training)
        if not training:
            return best
        chosen = TensorDict({"action": best}, [len(best)])
        seed = int(torch.randint(2**62, (), generator=self.generator))
        # The module draws from the global generators only: they are lent to it, then put back.
        with (
            torch.random.fork_rng([best.device] if best.is_cuda else []),
            set_exploration_type(ExplorationType.RANDOM),
        ):
            torch.default_generator.manual_seed(seed)
            if best.is_cuda:
                torch.cuda.manual_seed(seed)
            actions: Tensor = self.explorer(chosen)["action"]
        return actions

    def _after_act(self, actions: Tensor, obs: Tensor, rewards: Tensor) -> None:
        self.count_decisions(len(actions))

    def count_decisions(self, num_decisions: int) -> None:
        """Lowers epsilon by the share of the plan that an episode was.

        ``EGreedyModule.step`` would count in a Python loop and sum up rounding errors.
        """
        self.decisions += num_decisions
        planned = int(self.planned_decisions) or DEFAULT_DECISIONS
        done = min(1.0, int(self.decisions) / planned)
        self.explorer.eps.copy_(torch.lerp(self.explorer.eps_init, self.explorer.eps_end, done))

    def copy_exploration(self, other: DQNFusionModule) -> None:
        """Takes plan, decisions and epsilon of a head that has decided as often."""
        self.planned_decisions.copy_(other.planned_decisions)
        self.decisions.copy_(other.decisions)
        self.explorer.eps.copy_(other.explorer.eps)

    def _compute_loss(self, sample: TensorDict) -> Tensor:
        """Smooth L1 distance of the chosen arm's Q-value from its target, the reward."""
        rows = len(sample)
        ended = torch.ones(rows, 1, dtype=torch.bool, device=sample["obs"].device)
        transitions = TensorDict(
            {
                "obs": sample["obs"],
                "action": sample["action"],
                "next": {
                    # Whatever follows is worth nothing: any observation does.
                    "obs": sample["obs"],
                    "reward": sample["reward"].unsqueeze(-1),
                    "done": ended,
                    "terminated": ended,
                },
            },
            [rows],
        )
        loss: Tensor = self.dqn(transitions)["loss"]
        return loss

    def _after_optim_step(self) -> None:
        self._soft_update.step()

    def _extra_metrics(self) -> dict[str, float]:
        return {"epsilon": self.epsilon}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over the online network."""
        return torch.optim.AdamW(
            self.dqn.parameters(), lr=self.hparams["lr"], weight_decay=self.hparams["weight_decay"]
        )
