"""The loss of a whole set of windows from the losses of its batches, whatever the batches are."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphids.core.losses.classification import WindowLoss


class RunningLoss:
    """Batch losses, each weighed by what its own mean divided by; summed in float64.

    A loss that is no ``WindowLoss`` counts as a mean over windows.
    """

    def __init__(self, loss_fn: nn.Module) -> None:
        """Starts without a batch; ``loss_fn`` is the loss that the batches are given to."""
        self._known = loss_fn if isinstance(loss_fn, WindowLoss) else None
        self._total = torch.zeros((), dtype=torch.float64)
        self._weight = torch.zeros((), dtype=torch.float64)
        self._empty = True

    @torch.no_grad()
    def add(self, loss: Tensor, y: Tensor) -> None:
        """Adds the ``loss []`` of a batch of windows of the classes ``y [G]``."""
        weight = y.new_tensor(y.numel()) if self._known is None else self._known.batch_weight(y)
        if self._known is not None and self._known.reduction == "sum":
            weight = torch.ones_like(weight)
        self._total = self._total.to(loss.device) + loss.double() * weight
        self._weight = self._weight.to(loss.device) + weight
        self._empty = False

    def value(self) -> Tensor | None:
        """Loss of all windows together ``[]``; none without a batch."""
        if self._empty:
            return None
        if self._known is not None and self._known.reduction == "sum":
            return self._total
        return self._total / self._weight
