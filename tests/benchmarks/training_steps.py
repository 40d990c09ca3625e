"""Steps of training as a trial takes them, for cases that measure what a step takes."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from graphids.core.batch import GraphBatch


class TrainingSteps:
    """Steps of training on a model whose optimiser has its state."""

    def __init__(self, model: Any, first: GraphBatch) -> None:
        """Takes a first step, after which the optimiser has its state."""
        self.model = model.train()
        self.optimizer = model.configure_optimizers()
        self.step(first)

    def step(self, batch: GraphBatch) -> None:
        """One step, as Lightning takes it."""
        found: Tensor | tuple[Tensor, ...] = self.model.compute_loss(batch)
        loss = found[0] if isinstance(found, tuple) else found
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
