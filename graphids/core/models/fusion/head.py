"""What the fusion heads share: standardised inputs, supervised training, scores."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from graphids.core.losses.finite import require_finite
from graphids.core.models.base import eval_mode
from graphids.core.models.evaluation import ScoringModule, adam
from graphids.core.models.fusion.features import flatten_features

SCORE_MARGIN = 1e-7
STD_FLOOR = 1e-6
DROPOUT = 0.2


def build_mlp_body(state_dim: int, hidden_dim: int, num_layers: int) -> nn.Sequential:
    """Linear, LayerNorm, ReLU and dropout 0.2, ``num_layers`` times, without a head.

    Returns:
        A module from ``[N, state_dim]`` to ``[N, hidden_dim]``.
    """
    layers: list[nn.Module] = []
    for layer in range(num_layers):
        layers += [
            nn.Linear(state_dim if layer == 0 else hidden_dim, hidden_dim),
            nn.LayerNorm(hidden_dim),
            nn.ReLU(),
            nn.Dropout(DROPOUT),
        ]
    return nn.Sequential(*layers)


def build_mlp(state_dim: int, hidden_dims: Sequence[int], out_dim: int) -> nn.Sequential:
    """Linear, ReLU and dropout 0.2 for each hidden width, then a linear layer.

    Returns:
        A module from ``[N, state_dim]`` to ``[N, out_dim]``.
    """
    layers: list[nn.Module] = []
    width = state_dim
    for hidden in hidden_dims:
        layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(DROPOUT)]
        width = hidden
    return nn.Sequential(*layers, nn.Linear(width, out_dim))


def cross_entropies(scores: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy of each score, clamped: of the scores' shape, NaN where one is.

    Args:
        scores: Probabilities of an attack.
        labels: Labels of the same shape, 1 for an attack.
    """
    clamped = scores.clamp(SCORE_MARGIN, 1.0 - SCORE_MARGIN)
    return -torch.where(labels > 0, clamped, 1.0 - clamped).log()


def require_widths(settings: object, *names: str) -> None:
    """Raises unless each named field is at least one width of at least 1.

    Raises:
        ValueError: Names the field and its value.
    """
    for name in names:
        widths = vars(settings)[name]
        if min(widths, default=0) < 1:
            raise ValueError(f"{name} must be at least one width of at least 1 (got {widths})")


class FusionModuleBase(ScoringModule):
    """A head over the states of windows: TensorDicts of features, labels and attack codes.

    Inputs are standardised by buffers that ``fit_features`` fills from training states; before,
    they are the identity. A subclass gives ``forward_scores``, and records ``lr`` by
    ``save_hyperparameters`` unless it has an optimiser of its own.
    """

    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, state_dim: int, decision_threshold: float = 0.5) -> None:
        super().__init__()
        if state_dim < 1:
            raise ValueError(f"state_dim must be at least 1 (got {state_dim})")
        self._given_threshold = decision_threshold
        self.register_buffer("feature_mean", torch.zeros(state_dim))
        self.register_buffer("feature_std", torch.ones(state_dim))

    @torch.no_grad()
    def fit_features(self, td: TensorDict) -> None:
        """Takes mean and deviation of training states ``[N]``; a constant column keeps 1.

        Raises:
            ValueError: The states have another width than the head.
        """
        flat = self._flat(td).double()
        std = flat.std(dim=0, correction=0)
        self.feature_mean.copy_(flat.mean(dim=0))
        self.feature_std.copy_(torch.where(std > STD_FLOOR, std, torch.ones_like(std)))

    def standardised(self, td: TensorDict) -> Tensor:
        """Standardised features ``[N, state_dim]``."""
        return (self._flat(td) - self.feature_mean) / self.feature_std

    def inputs(self, td: TensorDict) -> Tensor:
        """What the head's own parameters are applied to ``[N, F]``."""
        return self.standardised(td)

    def _flat(self, td: TensorDict) -> Tensor:
        flat = flatten_features(td)
        if flat.shape[-1] != self.feature_mean.numel():
            raise ValueError(
                f"the state has {flat.shape[-1]} features, the head was built for "
                f"{self.feature_mean.numel()}; build it with state_dim={flat.shape[-1]}"
            )
        return flat

    def forward_scores(self, td: TensorDict) -> Tensor:
        """Probability of an attack ``[N]``."""
        raise NotImplementedError

    def forward(self, td: TensorDict) -> Tensor:
        """Probabilities of benign and attack ``[N, 2]``."""
        attack = self.forward_scores(td)
        return torch.stack((1.0 - attack, attack), dim=-1)

    @torch.no_grad()
    def predict_scores(self, td: TensorDict) -> Tensor:
        """Probability of an attack ``[N]``, float64, in evaluation mode."""
        with eval_mode(self):
            return self.forward_scores(td).double()

    def diagnostics(self, td: TensorDict) -> dict[str, float]:
        """What the head does with labelled states ``[N]``, by name; empty where nothing is told."""
        return {}

    @property
    def decision_threshold(self) -> float:
        """Threshold from validation, else the setting's."""
        return self._given_threshold if self.test_threshold is None else self.test_threshold

    def targets(self, td: TensorDict) -> tuple[Tensor, Tensor | None]:
        """Labels and attack codes ``[N]``."""
        return td["labels"], td.get("attack_type", None)

    def score_loss(self, scores: Tensor, td: TensorDict) -> Tensor:
        """Binary cross-entropy ``[]`` of the clamped scores ``[N]``.

        Raises:
            FloatingPointError: A score is not finite.
        """
        # Clamped scores have a finite loss: what breaks, breaks before.
        require_finite(scores.detach().mean(), {}, f"mean {type(self).__name__} score")
        return cross_entropies(scores, td["labels"]).mean()

    def compute_loss(self, td: TensorDict) -> tuple[Tensor, Tensor]:
        """``score_loss`` ``[]`` of a batch of states, and the scores ``[N]``."""
        scores = self.forward_scores(td)
        return self.score_loss(scores, td), scores

    def training_step(self, td: TensorDict, batch_idx: int) -> Tensor | None:
        """Loss of a batch of states; logs ``train_loss``."""
        loss, _ = self.compute_loss(td)
        self.log_epoch({"train_loss": loss.detach()}, td.batch_size[0])
        return loss

    def validation_step(self, td: TensorDict, batch_idx: int) -> None:
        """Logs ``val_loss`` and ``val_acc``; the epoch's end logs ``val_auroc``."""
        loss, scores = self.compute_loss(td)
        self.log_validation(scores, td, {"val_loss": loss})

    def log_validation(self, scores: Tensor, td: TensorDict, values: dict[str, Tensor]) -> None:
        """Logs ``values`` and ``val_acc`` of the scores ``[N]``, and keeps these for the AUROC."""
        hits = (scores >= self.decision_threshold) == (td["labels"] > 0)
        self.log_epoch({**values, "val_acc": hits.float().mean()}, td.batch_size[0])
        self.collect_validation(scores, td["labels"])

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with the settings' ``lr``."""
        return adam(self.parameters(), self.hparams["lr"])
