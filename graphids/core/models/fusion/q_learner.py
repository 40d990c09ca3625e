"""Deep Q-networks of several seeds, trained side by side.

The algorithm of ``DQNFusionModule``, without torchrl in the loop. States come again every epoch,
and what each arm earns on each of them never changes: rewards are tabulated once, and a transition
is kept as one number, its place in that table.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDict
from torch import Tensor
from torch.nn import functional

from graphids.core.losses.finite import require_finite
from graphids.core.models.fusion.dqn import DQNFusionModule
from graphids.core.models.fusion.learner import (
    EpochMeans,
    Training,
    gathered,
    heads_of,
    stacked,
)
from graphids.core.models.fusion.rl import CLIP_NORM, RLFusionBase
from graphids.core.models.fusion.stacked import StackedTensors, padded, perceptron


def td_losses(values: Tensor, actions: Tensor, rewards: Tensor) -> Tensor:
    """Smooth L1 distance of the chosen arms' Q-values from their targets ``[K, R]``.

    The target of double Q-learning (van Hasselt et al. 2016, eq. 4) is
    ``r + gamma (1 - done) Q_target(s', argmax_a Q(s', a))``. Here gamma is 0 and each decision ends
    its episode: it is ``r``, and neither network is asked for a successor.

    Args:
        values: Q-values ``[K, R, A]``.
        actions: Arms ``[K, R]``.
        rewards: Rewards ``[K, R]``.
    """
    chosen = values.gather(-1, actions.unsqueeze(-1)).squeeze(-1)
    return functional.smooth_l1_loss(chosen, rewards, reduction="none")


def tabulate(head: RLFusionBase, normalised: TensorDict, obs: Tensor) -> Tensor:
    """What each arm earns ``[N, A]`` on states as ``RLFusionBase.judge`` takes them."""
    arms = torch.arange(len(head.alpha_values)).unsqueeze(1).expand(-1, len(normalised))
    return torch.stack([head.judge(normalised, obs, arm).rewards for arm in arms], dim=-1)


class QLearner:
    """Episodes of independent decisions, each followed by steps of AdamW on replayed ones.

    Args:
        trainings: Seeds whose heads are Q-networks with equal settings and numbers of states.
    """

    def __init__(self, trainings: Sequence[Training]) -> None:
        self.heads = heads_of(DQNFusionModule, trainings)
        self.actions = [training.actions for training in trainings]
        self.lead = self.heads[0]
        """Has the settings of all, and counts the decisions of all."""
        self.states = [
            head.reward.normalize(training.states)
            for head, training in zip(self.heads, trainings, strict=True)
        ]
        pairs = list(zip(self.heads, self.states, strict=True))
        self.obs = stacked([head.inputs(states) for head, states in pairs])
        known = zip(self.heads, self.states, self.obs, strict=True)
        self.rewards = stacked([tabulate(*seed) for seed in known])
        """What each arm earns ``[K, N, A]``."""
        networks = [head.dqn for head in self.heads]
        self.online = StackedTensors([[*n.value_network_params.parameters()] for n in networks])
        self.target = StackedTensors([[*n.target_value_network_params.buffers()] for n in networks])
        settings = self.lead.hparams
        self.optimiser = torch.optim.AdamW(
            [self.online.rows],
            lr=settings["lr"],
            weight_decay=settings["weight_decay"],
            fused=True,
        )
        self.kept = torch.zeros(len(self.heads), self.lead.replay.capacity, dtype=torch.long)
        """Ring of the latest transitions: places in the table of rewards ``[K, capacity]``."""
        self.pushed = 0
        self.chosen = torch.zeros(self.obs.shape[:2], dtype=torch.long)
        """Arm that each state was given in this epoch ``[K, N]``."""
        self.means = EpochMeans()

    @property
    def num_arms(self) -> int:
        """Arms to choose from."""
        return self.rewards.shape[-1]

    def begin_epoch(self) -> None:
        """Forgets the means of the epoch before."""
        self.means = EpochMeans()

    def learn(self, rows: Tensor, used: int) -> None:
        """An episode on a batch ``[K, R]``, and the optimiser steps after it."""
        with torch.no_grad():
            values = perceptron(gathered(self.obs, rows), self.online.layers)
        rows = rows[:, :used]
        actions = self._explored(values[:, :used].max(dim=-1).indices)
        self.chosen.scatter_(1, rows, actions)
        self._push(rows * self.num_arms + actions)
        self.lead.count_decisions(used)
        self.means.add(used, epsilon=torch.full((len(self.heads),), self.lead.epsilon))
        if min(self.pushed, self.kept.shape[1]) >= self.lead.batch_size:
            steps = [self._descend() for _ in range(self.lead.gpu_training_steps)]
            self.means.add(used, train_loss=torch.stack(steps).mean(dim=0))

    def _explored(self, best: Tensor) -> Tensor:
        """Arms ``[K, N]``, replaced by random ones with probability epsilon."""
        count, epsilon = best.shape[1], self.lead.epsilon
        chance = torch.stack([torch.rand(count, generator=g) for g in self.actions])
        arms = [torch.randint(self.num_arms, (count,), generator=g) for g in self.actions]
        return torch.where(chance < epsilon, torch.stack(arms), best)

    def _push(self, transitions: Tensor) -> None:
        """Keeps transitions ``[K, N]`` in place of the oldest."""
        capacity = self.kept.shape[1]
        latest = transitions[:, -capacity:]
        self.pushed += transitions.shape[1]
        places = torch.arange(self.pushed - latest.shape[1], self.pushed) % capacity
        self.kept[:, places] = latest

    def _descend(self) -> Tensor:
        """One optimiser step on transitions drawn with replacement; returns the losses ``[K]``."""
        size, held = self.lead.batch_size, min(self.pushed, self.kept.shape[1])
        drawn = [torch.randint(held, (size,), generator=g) for g in self.actions]
        kept = self.kept.gather(1, torch.stack(drawn))
        # Padding repeats the first transition and has no share in the loss.
        places = functional.pad(kept, (0, padded(size) - size))
        rows, actions = places // self.num_arms, places % self.num_arms
        values = perceptron(gathered(self.obs, rows), self.online.layers)
        rewards = self.rewards.flatten(1).gather(1, places)
        loss = td_losses(values, actions, rewards)[:, :size].mean(dim=-1)
        self.online.backward(loss)
        self.online.clip(CLIP_NORM)
        self.optimiser.step()
        with torch.no_grad():
            self.target.rows.lerp_(self.online.rows, 1.0 - self.lead.hparams["target_eps"])
        return loss.detach()

    def metrics(self, k: int) -> dict[str, float]:
        """Means over the epoch's decisions.

        Raises:
            FloatingPointError: A fused score or a loss was not finite.
        """
        head, states = self.heads[k], self.states[k]
        found = self.means.of(k)
        kind = type(head).__name__
        require_finite(
            torch.tensor(found.get("train_loss", 0.0)), {}, f"mean {kind} loss of an epoch"
        )
        done = head.judge(states, self.obs[k], self.chosen[k])
        require_finite(done.fused.mean(), {}, f"mean {kind} score of an epoch")
        values = head.measured(done, states["labels"])
        return {**{name: float(value) for name, value in values.items()}, **found}

    def finish(self, k: int) -> None:
        """Puts both networks, the replay buffer and the state of exploration into the head."""
        self.online.store(k)
        self.target.store(k)
        head = self.heads[k]
        head.copy_exploration(self.lead)
        capacity = self.kept.shape[1]
        oldest = max(0, self.pushed - capacity)
        places = self.kept[k, torch.arange(oldest, self.pushed) % capacity]
        rows, actions = places // self.num_arms, places % self.num_arms
        head.replay.push(self.obs[k, rows], actions, self.rewards[k].flatten()[places])
