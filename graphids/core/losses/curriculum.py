"""Training that begins with the easiest windows (or ends with them), by weights in the loss.

The easiest are chosen over the whole training set, so that a window counts or not whatever other
windows share its batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graphids.core.batch import GraphBatch
from graphids.core.losses.classification import WindowLoss, as_window_loss
from graphids.core.losses.finite import require_finite
from graphids.core.losses.records import recorded_rows


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearRamp:
    """How large a share of the windows in scope counts in each epoch.

    The share is ``ratio / max(start_ratio, end_ratio)``, the ratio going from start to end in equal
    steps. A ramp up shows the easy windows first, a ramp down ends with them.
    """

    start_ratio: float = 1.0
    """Ratio of the first epoch, positive."""
    end_ratio: float = 10.0
    """Ratio of the last epoch and after it, positive."""
    max_epochs: int = 300
    """Epochs from start to end, both included, at least 1."""

    def __post_init__(self) -> None:
        if min(self.start_ratio, self.end_ratio) <= 0:
            raise ValueError(
                f"start_ratio ({self.start_ratio}) and end_ratio ({self.end_ratio}) must be "
                "positive: a share of 0 leaves nothing to learn"
            )
        if self.max_epochs < 1:
            raise ValueError(f"max_epochs must be at least 1 (got {self.max_epochs})")

    def fraction(self, epoch: int) -> float:
        """Share in ``(0, 1]`` in ``epoch``, counted from 0.

        Raises:
            ValueError: The epoch is negative.
        """
        if epoch < 0:
            raise ValueError(f"epochs count from 0 (got {epoch})")
        progress = min(epoch / max(self.max_epochs - 1, 1), 1.0)
        ratio = self.start_ratio + (self.end_ratio - self.start_ratio) * progress
        return ratio / max(self.start_ratio, self.end_ratio)


def difficulty_rank(difficulty: Tensor, in_scope: Tensor) -> Tensor:
    """Rank of each window among those in scope, the easiest first ``[N]``, int64.

    Args:
        difficulty: How hard each window is ``[N]``, such as its reconstruction error.
        in_scope: Windows that the curriculum orders ``[N]``, bool: benign and of the training part.

    Returns:
        ``0 .. n - 1`` in ascending difficulty, ties in the order of the windows; -1 outside.

    Raises:
        ValueError: The shapes differ, or the difficulty of a window in scope is not a number.
    """
    if difficulty.shape != in_scope.shape:
        raise ValueError(
            f"difficulty has {difficulty.numel()} windows, in_scope {in_scope.numel()}; score the "
            "dataset that is trained on"
        )
    scope = in_scope.nonzero().flatten()
    scored = difficulty[scope]
    if bool(scored.isnan().any()):
        raise ValueError(
            f"{int(scored.isnan().sum())} of {scope.numel()} windows in scope have no difficulty "
            "(nan); train the scorer again"
        )
    rank = torch.full(difficulty.shape, -1, dtype=torch.int64, device=difficulty.device)
    order = scored.argsort(stable=True)
    rank[scope[order]] = torch.arange(scope.numel(), device=difficulty.device)
    return rank


class CurriculumLoss(WindowLoss):
    """Mean of a base loss over the windows that count in this epoch.

    A window in scope counts while its rank is below ``ceil(fraction n)`` of the ``n`` in scope, at
    least 1; a window out of scope always counts. Evaluation takes the plain mean of the base over
    all windows. A batch in which none counts has loss 0.
    """

    rank: Tensor

    def __init__(self, base: nn.Module, rank: Tensor, in_scope: Tensor, ramp: LinearRamp) -> None:
        """Wraps ``base`` and begins at epoch 0.

        Args:
            base: A ``WindowLoss`` with reduction none.
            rank: What ``difficulty_rank`` gave the windows of the packed dataset ``[N]``, int64.
            in_scope: Windows that were ranked ``[N]``, bool.
            ramp: The share that counts in each epoch.

        Raises:
            TypeError: The base is no ``WindowLoss``.
            ValueError: The base reduces, or ``rank`` does not rank exactly the windows in scope.
        """
        super().__init__("mean")
        base = as_window_loss(base)
        if base.reduction != "none":
            raise ValueError(
                f"a curriculum weighs windows, but {type(base).__name__} reduces them by "
                f"{base.reduction}; build it with reduction='none'"
            )
        ranked = rank[in_scope].sort().values
        if ranked.numel() == 0:
            raise ValueError("no window is in scope: a curriculum needs windows to order")
        in_order = torch.equal(ranked, torch.arange(ranked.numel(), device=rank.device))
        if not in_order or bool((rank[~in_scope] != -1).any()):
            raise ValueError(
                f"rank must be 0 .. {ranked.numel() - 1}, each once, over the {ranked.numel()} "
                "windows in scope and -1 elsewhere; take it from difficulty_rank with the same "
                "scope"
            )
        self.base = base
        self.ramp = ramp
        # Not in the state: it belongs to the dataset.
        self.register_buffer("rank", rank, persistent=False)
        self.num_in_scope = ranked.numel()
        self.set_epoch(0)
        self.last_share = torch.ones(())
        self._last_weight = torch.ones(())

    def set_epoch(self, epoch: int) -> None:
        """Chooses how many windows in scope count from now on.

        Raises:
            ValueError: The epoch is negative.
        """
        self.num_active = math.ceil(self.ramp.fraction(epoch) * self.num_in_scope)
        self.base.set_epoch(epoch)

    def forward(self, logits: Tensor, y: Tensor, *, graph: GraphBatch | None = None) -> Tensor:
        """Loss ``[]`` of ``logits [G, K]`` against ``y [G]``.

        Raises:
            ValueError: No graph is given in training, or one that was not ranked.
            FloatingPointError: The loss is not finite; names each component's value.
        """
        losses = self.base(logits, y, graph=graph)
        active = self._active(graph) if self.training else torch.ones_like(y, dtype=torch.bool)
        # Selected, not multiplied: 0 times an infinite loss is not a number.
        counted = torch.where(active, losses, torch.zeros_like(losses))
        self._last_weight = active.sum().clamp(min=1)
        total = counted.sum() / self._last_weight
        self.last_share = active.float().mean()
        require_finite(total, self.components(), "curriculum loss")
        return total

    def _active(self, graph: GraphBatch | None) -> Tensor:
        """Windows of the batch that count in this epoch ``[G]``, bool."""
        if graph is None:
            raise ValueError("a curriculum looks its windows up; call the loss with graph=batch")
        rows = recorded_rows(
            graph, self.rank.numel(), "curriculum's difficulties", self.rank.device
        )
        # The rank outside the scope, -1, is below any number.
        return (self.rank.index_select(0, rows) < self.num_active).to(graph.y.device)

    def batch_weight(self, y: Tensor) -> Tensor:
        """Windows that counted in the last call ``[]``, at least 1."""
        return self._last_weight

    def components(self) -> dict[str, Tensor]:
        """Share of the windows that counted, and the parts of the base over all of them ``[]``."""
        return {"active_share": self.last_share, **self.base.components()}

    def settings(self) -> dict[str, object]:
        """Plain values of the ramp; base and ranks are apart."""
        return {
            "start_ratio": self.ramp.start_ratio,
            "end_ratio": self.ramp.end_ratio,
            "max_epochs": self.ramp.max_epochs,
        }
