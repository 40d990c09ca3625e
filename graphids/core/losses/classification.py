"""Losses of window classifiers: cross-entropy, weighted cross-entropy, focal loss.

All are called as ``loss_fn(logits, y, graph=batch)``; these three do not read the graph, the losses
that wrap them do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphids.core.batch import GraphBatch

REDUCTIONS = ("mean", "sum", "none")


def _checked(reduction: str) -> str:
    """``reduction``, where it is one of the three."""
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)} (got {reduction!r})")
    return reduction


class WindowLoss(nn.Module):
    """A loss of logits and classes whose mean over a set follows from those of its batches."""

    def __init__(self, reduction: str) -> None:
        super().__init__()
        self.reduction = _checked(reduction)

    def reduced(self, losses: Tensor) -> Tensor:
        """``losses [G]`` of the windows as ``reduction`` has it: ``[]``, or ``[G]`` with none."""
        if self.reduction == "mean":
            return losses.mean()
        return losses.sum() if self.reduction == "sum" else losses

    def batch_weight(self, y: Tensor) -> Tensor:
        """What the mean over windows of the classes ``y [G]`` divides by ``[]``."""
        return torch.tensor(float(y.numel()), device=y.device)

    def terms(self, loss: Tensor, y: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Summands of ``loss []``, the mean that the last call gave for ``y [G]``.

        Returns:
            Value ``[]`` of each summand and what its mean divided by ``[]``; always equally many.
        """
        return [(loss, self.batch_weight(y))]

    def set_epoch(self, epoch: int) -> None:
        """Tells the loss that training epoch ``epoch`` begins, counted from 0; most do not care."""

    def components(self) -> dict[str, Tensor]:
        """The parts of the last call by name, detached ``[]``; empty for a loss without parts."""
        return {}

    def settings(self) -> dict[str, object]:
        """Plain values from which the constructor makes this loss again."""
        return {"reduction": self.reduction}


def as_window_loss(base: nn.Module) -> WindowLoss:
    """``base``, for a loss that wraps it.

    Raises:
        TypeError: It is no ``WindowLoss``.
    """
    if not isinstance(base, WindowLoss):
        raise TypeError(
            f"the wrapped loss must be a WindowLoss, whose reduction is known "
            f"(got {type(base).__name__}); take one from build_loss or derive from WindowLoss"
        )
    return base


class CrossEntropy(WindowLoss):
    """Cross-entropy of the window's class."""

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__(reduction)

    def forward(self, logits: Tensor, y: Tensor, *, graph: GraphBatch | None = None) -> Tensor:
        """Loss ``[]`` (or ``[G]`` with reduction none) of ``logits [G, K]`` against ``y [G]``."""
        return functional.cross_entropy(logits, y, reduction=self.reduction)


class WeightedCrossEntropy(WindowLoss):
    """Cross-entropy with one weight per class; the mean divides by the weights that were drawn."""

    weight: Tensor

    def __init__(
        self, class_weights: Sequence[float] = (1.0, 5.0), reduction: str = "mean"
    ) -> None:
        super().__init__(reduction)
        if not class_weights or min(class_weights) < 0 or max(class_weights) <= 0:
            raise ValueError(
                "class_weights must be non-negative, one of them positive "
                f"(got {tuple(class_weights)})"
            )
        self.register_buffer("weight", torch.tensor(class_weights, dtype=torch.float32))

    def batch_weight(self, y: Tensor) -> Tensor:
        """Class weights drawn by ``y [G]`` together ``[]``."""
        return self.weight.index_select(0, y).sum()

    def settings(self) -> dict[str, object]:
        """Plain values from which the constructor makes this loss again."""
        return {**super().settings(), "class_weights": self.weight.tolist()}

    def forward(self, logits: Tensor, y: Tensor, *, graph: GraphBatch | None = None) -> Tensor:
        """Loss ``[]`` (or ``[G]`` with reduction none) of ``logits [G, K]`` against ``y [G]``."""
        return functional.cross_entropy(logits, y, weight=self.weight, reduction=self.reduction)


class FocalLoss(WindowLoss):
    """Cross-entropy times ``(1 - p_t)^gamma`` (Lin et al. 2017, eq. 4), without class weights."""

    def __init__(self, gamma: float = 2.0, reduction: str = "mean") -> None:
        super().__init__(reduction)
        if gamma < 0:
            raise ValueError(f"gamma must not be negative (got {gamma})")
        self.gamma = gamma

    def settings(self) -> dict[str, object]:
        """Plain values from which the constructor makes this loss again."""
        return {**super().settings(), "gamma": self.gamma}

    def forward(self, logits: Tensor, y: Tensor, *, graph: GraphBatch | None = None) -> Tensor:
        """Loss ``[]`` (or ``[G]`` with reduction none) of ``logits [G, K]`` against ``y [G]``."""
        entropy = functional.cross_entropy(logits, y, reduction="none")
        # 1 - exp(-ce) loses every digit of a confident window; expm1 keeps them. A power below 1
        # has no finite slope at 0, where a saturated window stands.
        doubt = (-torch.expm1(-entropy)).clamp(min=torch.finfo(entropy.dtype).tiny)
        return self.reduced(doubt**self.gamma * entropy)
