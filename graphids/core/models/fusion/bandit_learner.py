"""A bandit trained without a Trainer.

Nearly all of its time goes into ridge regressions of its own, of as many rows as each arm was
chosen for: seeds have nothing to share, and each goes its own way.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphids.core.models.fusion.bandit import BanditFusionModule
from graphids.core.models.fusion.learner import EpochMeans, Training


class BanditLearner:
    """``BanditFusionModule.episode`` on random numbers of the seed's own.

    Args:
        head: The bandit.
        training: Its states and random numbers.
    """

    def __init__(self, head: BanditFusionModule, training: Training) -> None:
        self.head, self.training = head, training
        head.generator = training.actions
        self.optimiser = head.configure_optimizers()
        self.means = EpochMeans()

    def begin_epoch(self) -> None:
        """Forgets the means of the epoch before."""
        self.means = EpochMeans()

    def learn(self, rows: Tensor, used: int) -> None:
        """An episode on a batch ``[1, R]``.

        Raises:
            FloatingPointError: A fused score or a loss is not finite.
            torch.linalg.LinAlgError: What a regression reads is not.
        """
        values = self.head.episode(self.training.states[rows[0, :used]], self._descend)
        self.means.add(used, **{name: torch.as_tensor(v).view(1) for name, v in values.items()})

    def _descend(self) -> Tensor:
        """An optimiser step whose dropout comes from the seed's own stream."""
        seed = int(torch.randint(2**62, (), generator=self.training.dropout))
        # Dropout draws from the global generator only: it is lent, then put back.
        with torch.random.fork_rng([]):
            torch.default_generator.manual_seed(seed)
            return self.head.descend(self.optimiser, Tensor.backward)

    def metrics(self, k: int) -> dict[str, float]:
        """Means over the epoch's decisions."""
        return self.means.of(k)

    def finish(self, k: int) -> None:
        """Nothing: the head itself has learned."""
