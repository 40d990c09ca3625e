"""Fusion by one learned weight between the autoencoder and the classifier."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from graphids.core.models.checks import require_positive
from graphids.core.models.fusion.head import FusionModuleBase


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

    def forward_scores(self, td: TensorDict) -> Tensor:
        """Probability-like score ``[N]``."""
        confidence = td["vgae", "conf"].reshape(td.batch_size[0])
        attack = td["gat", "probs"][:, 1]
        return torch.lerp(1.0 - confidence, attack, self.alpha)

    def diagnostics(self, td: TensorDict) -> dict[str, float]:
        """``alpha``, the share of the classifier."""
        return {"alpha": float(self.alpha.detach())}

    def training_step(self, td: TensorDict, batch_idx: int) -> Tensor | None:
        """Loss of a batch of states; logs ``train_loss`` and ``alpha``."""
        loss = super().training_step(td, batch_idx)
        self.log_epoch({"alpha": self.alpha.detach()}, td.batch_size[0])
        return loss
