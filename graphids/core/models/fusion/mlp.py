"""Fusion by a small network over the standardised state."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tensordict import TensorDict
from torch import Tensor

from graphids.core.models.base import eval_mode
from graphids.core.models.checks import require_positive
from graphids.core.models.fusion.head import FusionModuleBase, build_mlp, require_widths
from graphids.core.models.fusion.stacked import StackedTensors, perceptron
from graphids.core.models.fusion.supervised import Batch, Outcome


@dataclass(frozen=True, kw_only=True)
class MLPFusionConfig:
    """Settings of the network."""

    hidden_dims: tuple[int, ...] = (64, 32)
    """Widths of the hidden layers."""
    lr: float = 1e-3
    """Learning rate of Adam."""

    def __post_init__(self) -> None:
        require_positive(self, "lr")
        require_widths(self, "hidden_dims")

    def build(self, state_dim: int) -> MLPFusionModule:
        """The head for states of this width."""
        return MLPFusionModule(state_dim=state_dim, hidden_dims=self.hidden_dims, lr=self.lr)


class MLPFusionModule(FusionModuleBase):
    """Linear layers with ReLU and dropout 0.2, then one logit."""

    def __init__(
        self,
        state_dim: int = 18,
        hidden_dims: Sequence[int] = (64, 32),
        lr: float = 0.001,
        decision_threshold: float = 0.5,
    ) -> None:
        super().__init__(state_dim, decision_threshold)
        hidden_dims = list(hidden_dims)
        self.save_hyperparameters()
        self.net = build_mlp(state_dim, hidden_dims, 1)

    def logits(self, td: TensorDict) -> Tensor:
        """Log-odds of an attack ``[N]``."""
        return self.net(self.inputs(td)).squeeze(-1)

    def forward_scores(self, td: TensorDict) -> Tensor:
        """Probability of an attack ``[N]``."""
        return torch.sigmoid(self.logits(td))

    @torch.no_grad()
    def predict_scores(self, td: TensorDict) -> Tensor:
        """Probability of an attack ``[N]`` in evaluation mode.

        In float64: float32 would tie confident windows at 1.
        """
        with eval_mode(self):
            return torch.sigmoid(self.logits(td).double())


class StackedMLP:
    """The networks of several heads with the same settings."""

    def __init__(self, heads: Sequence[MLPFusionModule]) -> None:
        self.tensors = StackedTensors([list(head.net.parameters()) for head in heads])
        self.hidden = list(heads[0].hparams["hidden_dims"])

    def __call__(self, batch: Batch) -> Outcome:
        """Probabilities of an attack."""
        logits = perceptron(batch.inputs, self.tensors.layers, batch.masks).squeeze(-1)
        return Outcome(scores=torch.sigmoid(logits))
