"""What the training of several seeds in one process asks of a head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import torch
from tensordict import TensorDict
from torch import Tensor

from graphids.core.models.fusion.head import FusionModuleBase

Kind = TypeVar("Kind", bound=FusionModuleBase)
DIVERGED = (FloatingPointError, torch.linalg.LinAlgError)
"""How a seed fails without the others."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """One seed: its head, what it learns from, and random numbers that no other seed draws."""

    head: FusionModuleBase
    """The head, its features fitted; it has the trained weights in the end."""
    states: TensorDict
    """Labelled states ``[N]``."""
    order: torch.Generator
    """Order of the states in an epoch."""
    actions: torch.Generator
    """Exploration and samples of the replay buffer."""
    dropout: torch.Generator
    """Dropout."""

    @classmethod
    def of(cls, head: FusionModuleBase, states: TensorDict, seed: int) -> Training:
        """A training whose streams derive from one seed."""
        root = torch.Generator().manual_seed(seed)
        order, actions, dropout = (
            torch.Generator().manual_seed(int(drawn))
            for drawn in torch.randint(2**62, (3,), generator=root)
        )
        return cls(head=head, states=states, order=order, actions=actions, dropout=dropout)


class Learner(Protocol):
    """K heads of the same settings with as many states each, learning side by side."""

    def begin_epoch(self) -> None:
        """Forgets what was measured in the epoch before."""

    def learn(self, rows: Tensor, used: int) -> None:
        """A batch: rows ``[K, R]`` of each seed's states; those from ``used`` on are padding.

        What raises here ends all K seeds; one that diverges among others tells it in ``metrics``.
        """

    def metrics(self, k: int) -> dict[str, float]:
        """Means of seed ``k`` over the windows of the epoch, by name.

        Raises:
            FloatingPointError: The seed has diverged; so has it with the other ``DIVERGED``.
        """

    def finish(self, k: int) -> None:
        """Puts what seed ``k`` has learned into its head."""


@dataclass
class EpochMeans:
    """Means over an epoch of what was measured batch by batch, for each seed."""

    sums: dict[str, Tensor] = field(default_factory=dict)
    """Sum of value times windows ``[K]``, float64, by name."""
    windows: dict[str, int] = field(default_factory=dict)
    """Windows of the batches in which it was measured, by name."""

    def add(self, windows: int, **values: Tensor) -> None:
        """Adds a batch's means ``[K]``."""
        for name, value in values.items():
            total = value.detach().double() * windows
            self.sums[name] = self.sums[name] + total if name in self.sums else total
            self.windows[name] = self.windows.get(name, 0) + windows

    def of(self, k: int) -> dict[str, float]:
        """Means of seed ``k`` by name."""
        return {name: float(total[k]) / self.windows[name] for name, total in self.sums.items()}


def gathered(values: Tensor, rows: Tensor) -> Tensor:
    """Rows ``[K, R]`` of each seed's own ``values`` ``[K, N, ...]``: ``[K, R, ...]``."""
    first = torch.arange(len(values)).unsqueeze(1) * values.shape[1]
    return values.flatten(0, 1)[rows + first]


def heads_of(kind: type[Kind], trainings: Sequence[Training]) -> list[Kind]:
    """The heads, which are of one kind.

    Raises:
        TypeError: One of them is of another.
    """
    heads = [training.head for training in trainings]
    found = [head for head in heads if isinstance(head, kind)]
    if len(found) != len(heads):
        names = ", ".join(sorted({type(head).__name__ for head in heads}))
        raise TypeError(f"heads that train together must all be {kind.__name__} (got {names})")
    return found


def stacked(values: Sequence[Tensor]) -> Tensor:
    """Tensors of all seeds ``[K, ...]``, contiguous."""
    return torch.stack(list(values)).contiguous()
