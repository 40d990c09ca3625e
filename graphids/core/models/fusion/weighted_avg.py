"""Fusion by one learned weight between the autoencoder and the classifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from graphids.core.models.checks import require_positive
from graphids.core.models.fusion.head import FusionModuleBase
from graphids.core.models.fusion.stacked import StackedTensors
from graphids.core.models.fusion.supervised import Batch, Outcome


@dataclass(frozen=True, kw_only=True)
class WeightedAvgConfig:
    """Settings of the weighted average."""

    lr: float = 1e-2
    """Learning rate of Adam."""

    def __post_init__(self) -> None:
        require_positive(self, "lr")

    def build(self, state_dim: int) -> WeightedAvgModule:
        """The head for states of this width."""
        return WeightedAvgModule(lr=self.lr, state_dim=state_dim)


class WeightedAvgModule(FusionModuleBase):
    """``(1 - alpha) * (1 - vgae confidence) + alpha * P(attack)``, ``alpha = sigmoid(w)``.

    ``alpha`` starts at one half. Both terms rise with the anomaly. It reads raw values: they are
    on one scale already.
    """

    def __init__(
        self, lr: float = 0.01, decision_threshold: float = 0.5, state_dim: int = 18
    ) -> None:
        super().__init__(state_dim, decision_threshold)
        self.save_hyperparameters()
        self.weight = nn.Parameter(torch.zeros(()))

    @property
    def alpha(self) -> Tensor:
        """Share of the classifier ``[]``."""
        return torch.sigmoid(self.weight)

    def inputs(self, td: TensorDict) -> Tensor:
        """Both terms, the autoencoder's and the classifier's ``[N, 2]``."""
        confidence = td["vgae", "conf"].reshape(td.batch_size[0])
        return torch.stack((1.0 - confidence, td["gat", "probs"][:, 1]), dim=-1)

    def forward_scores(self, td: TensorDict) -> Tensor:
        """Probability-like score ``[N]``."""
        return averaged(self.inputs(td), self.alpha)

    def diagnostics(self, td: TensorDict) -> dict[str, float]:
        """``alpha``, the share of the classifier."""
        return {"alpha": float(self.alpha.detach())}

    def training_step(self, td: TensorDict, batch_idx: int) -> Tensor | None:
        """Loss of a batch of states; logs ``train_loss`` and ``alpha``."""
        loss = super().training_step(td, batch_idx)
        self.log_epoch({"alpha": self.alpha.detach()}, td.batch_size[0])
        return loss


def averaged(terms: Tensor, alpha: Tensor) -> Tensor:
    """Average ``[..., N]`` of both terms ``[..., N, 2]``, the second with weight ``alpha``."""
    return torch.lerp(terms[..., 0], terms[..., 1], alpha)


class StackedWeightedAvg:
    """The weights of several heads."""

    hidden: Sequence[int] = ()

    def __init__(self, heads: Sequence[WeightedAvgModule]) -> None:
        self.tensors = StackedTensors([[head.weight] for head in heads])

    def __call__(self, batch: Batch) -> Outcome:
        """Probability-like scores, and each head's ``alpha``."""
        (weights,) = self.tensors.layers
        alpha = torch.sigmoid(weights)
        scores = averaged(batch.inputs, alpha.unsqueeze(-1))
        return Outcome(scores=scores, measured={"alpha": alpha})
