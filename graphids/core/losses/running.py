"""The loss of a whole set of windows from the losses of its batches, whatever the batches are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphids.core.losses.classification import WindowLoss


class RunningLoss:
    """Batch losses, each summand weighed by what its own mean divided by; summed in float64.

    A loss that is no ``WindowLoss`` counts as a mean over windows.
    """

    def __init__(self, loss_fn: nn.Module) -> None:
        """Starts without a batch; ``loss_fn`` is the loss that the batches are given to."""
        self._known = loss_fn if isinstance(loss_fn, WindowLoss) else None
        self._summed = self._known is not None and self._known.reduction == "sum"
        self._total = torch.zeros((), dtype=torch.float64)
        self._weight = torch.zeros((), dtype=torch.float64)
        self._empty = True

    @torch.no_grad()
    def add(self, loss: Tensor, y: Tensor) -> None:
        """Adds the ``loss []`` that the last call gave for windows of the classes ``y [G]``."""
        if self._summed:
            terms = [(loss, torch.ones_like(loss))]
        elif self._known is None:
            terms = [(loss, torch.full_like(loss, y.numel()))]
        else:
            terms = self._known.terms(loss, y)
        weights = torch.stack([weight.double() for _, weight in terms])
        values = torch.stack([value.double() for value, _ in terms])
        self._total = self._total.to(loss.device) + values * weights
        self._weight = self._weight.to(loss.device) + weights
        self._empty = False

    def value(self) -> Tensor | None:
        """Loss of all windows together ``[]``; none without a batch."""
        if self._empty:
            return None
        return self._total.sum() if self._summed else (self._total / self._weight).sum()
