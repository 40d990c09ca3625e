"""Supervised heads of several seeds, trained on cross-entropy side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from graphids.core.losses.finite import require_finite
from graphids.core.models.evaluation import adam
from graphids.core.models.fusion.head import cross_entropies
from graphids.core.models.fusion.learner import EpochMeans, Training, gathered, stacked
from graphids.core.models.fusion.stacked import Dropout, StackedTensors


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a stacked head sees in a step."""

    inputs: Tensor
    """Inputs of the head ``[K, R, F]``."""
    share: Tensor
    """Weight of each row in a mean ``[R]``: one over the batch's windows, 0 where it is padding."""
    masks: Sequence[Tensor]
    """Dropout of each hidden layer ``[K, R, H]``."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a stacked head makes of a batch."""

    scores: Tensor
    """Probabilities of an attack ``[K, R]``."""
    penalty: Tensor | None = None
    """What the loss has besides cross-entropy ``[K]``."""
    measured: Mapping[str, Tensor] = field(default_factory=dict)
    """Further means to keep ``[K]``, by name."""


class StackedHead(Protocol):
    """The networks of K heads of one kind."""

    @property
    def tensors(self) -> StackedTensors:
        """The trained parameters."""

    @property
    def hidden(self) -> Sequence[int]:
        """Widths of the layers that dropout follows, in the order of the masks."""

    def __call__(self, batch: Batch) -> Outcome:
        """Scores of a batch."""


class SupervisedLearner:
    """Adam on the mean cross-entropy of a batch, for each seed.

    Args:
        trainings: The seeds.
        head: Their networks.
    """

    def __init__(self, trainings: Sequence[Training], head: StackedHead) -> None:
        self.trainings = list(trainings)
        self.inputs = stacked([training.head.inputs(training.states) for training in trainings])
        self.labels = stacked([training.states["labels"] for training in trainings])
        self.head = head
        self.optimiser = adam([head.tensors.rows], trainings[0].head.hparams["lr"])
        self.dropout = Dropout(head.hidden, [training.dropout for training in trainings])
        self.means = EpochMeans()

    def begin_epoch(self) -> None:
        """Forgets the means of the epoch before."""
        self.means = EpochMeans()

    def learn(self, rows: Tensor, used: int) -> None:
        """One step of Adam on a batch ``[K, R]``."""
        share = torch.zeros(rows.shape[1])
        share[:used] = 1.0 / used
        outcome = self.head(
            Batch(
                inputs=gathered(self.inputs, rows),
                share=share,
                masks=self.dropout.masks(rows.shape[1]) if self.dropout.widths else (),
            )
        )
        losses = cross_entropies(outcome.scores, gathered(self.labels, rows))
        loss = bce = (losses * share).sum(dim=-1)
        measured = dict(outcome.measured)
        if outcome.penalty is not None:
            loss, measured["train_bce"] = bce + outcome.penalty, bce
        self.head.tensors.backward(loss)
        self.optimiser.step()
        self.means.add(used, train_loss=loss, **measured)

    def metrics(self, k: int) -> dict[str, float]:
        """Means over the epoch's windows.

        Raises:
            FloatingPointError: The loss was not finite.
        """
        found = self.means.of(k)
        kind = type(self.trainings[k].head).__name__
        require_finite(torch.tensor(found["train_loss"]), {}, f"mean {kind} loss of an epoch")
        return found

    def finish(self, k: int) -> None:
        """Puts the weights into the head."""
        self.head.tensors.store(k)
