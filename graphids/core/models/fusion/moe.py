"""Fusion by a mixture of experts: small networks, weighted by a gate (Jacobs et al. 1991)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from graphids.core.models.base import eval_mode
from graphids.core.models.checks import (
    require_at_least_one,
    require_non_negative,
    require_positive,
)
from graphids.core.models.fusion.head import FusionModuleBase, build_mlp, require_widths
from graphids.core.models.fusion.stacked import StackedTensors, perceptron
from graphids.core.models.fusion.supervised import Batch, Outcome


@dataclass(frozen=True, kw_only=True)
class MoEFusionConfig:
    """Settings of the mixture."""

    num_experts: int = 3
    """Experts; a single one has a gate that decides nothing."""
    expert_hidden: tuple[int, ...] = (64, 32)
    """Widths of an expert's hidden layers."""
    gate_hidden: tuple[int, ...] = (32,)
    """Widths of the gate's hidden layers."""
    lr: float = 1e-3
    """Learning rate of Adam."""
    aux_weight: float = 0.01
    """Weight of the loss that keeps the gate from using few experts only; 0 leaves it out."""

    def __post_init__(self) -> None:
        require_positive(self, "lr")
        require_non_negative(self, "aux_weight")
        require_at_least_one(self, "num_experts")
        require_widths(self, "expert_hidden", "gate_hidden")

    def build(self, state_dim: int) -> MoEFusionModule:
        """The head for states of this width."""
        return MoEFusionModule(state_dim=state_dim, **vars(self))


class MoEFusionModule(FusionModuleBase):
    """``sum_k w_k e_k``: gate weights from a softmax, probabilities of experts from sigmoids."""

    def __init__(
        self,
        state_dim: int = 18,
        num_experts: int = 3,
        expert_hidden: Sequence[int] = (64, 32),
        gate_hidden: Sequence[int] = (32,),
        lr: float = 0.001,
        decision_threshold: float = 0.5,
        aux_weight: float = 0.01,
    ) -> None:
        super().__init__(state_dim, decision_threshold)
        expert_hidden, gate_hidden = list(expert_hidden), list(gate_hidden)
        self.save_hyperparameters()
        self.aux_weight = aux_weight
        self.experts = nn.ModuleList(
            build_mlp(state_dim, expert_hidden, 1) for _ in range(num_experts)
        )
        self.gate = build_mlp(state_dim, gate_hidden, num_experts)

    def logits(self, td: TensorDict) -> tuple[Tensor, Tensor]:
        """Log-odds of the gate and of the experts ``[N, K]``, before softmax and sigmoid."""
        x = self.inputs(td)
        return self.gate(x), torch.cat([expert(x) for expert in self.experts], dim=-1)

    def mixture(self, td: TensorDict) -> tuple[Tensor, Tensor]:
        """Gate weights and probabilities of the experts ``[N, K]``."""
        gate, experts = self.logits(td)
        return gate.softmax(dim=-1), experts.sigmoid()

    @torch.no_grad()
    def _evaluated(self, td: TensorDict) -> tuple[Tensor, Tensor]:
        """``mixture`` in evaluation mode and float64: float32 would tie confident windows at 1."""
        with eval_mode(self):
            gate, experts = self.logits(td)
        return gate.double().softmax(dim=-1), experts.double().sigmoid()

    def gate_weights(self, td: TensorDict) -> Tensor:
        """Weight of each expert ``[N, K]``, float64, in evaluation mode."""
        return self._evaluated(td)[0]

    def expert_scores(self, td: TensorDict) -> Tensor:
        """Each expert's probability of an attack ``[N, K]``, float64, in evaluation mode."""
        return self._evaluated(td)[1]

    def forward_scores(self, td: TensorDict) -> Tensor:
        """Probability of an attack ``[N]``."""
        return mixed(*self.mixture(td))

    def predict_scores(self, td: TensorDict) -> Tensor:
        """Probability of an attack ``[N]``, float64, in evaluation mode."""
        return mixed(*self._evaluated(td))

    def diagnostics(self, td: TensorDict) -> dict[str, float]:
        """See ``gate_diagnostics``."""
        values = gate_diagnostics(*self._evaluated(td))
        return {name: float(value) for name, value in values.items()}

    def training_step(self, td: TensorDict, batch_idx: int) -> Tensor:
        """Cross-entropy plus the weighted balance loss; logs ``train_loss``, both, and the gate."""
        weights, experts = self.mixture(td)
        loss = self.score_loss(mixed(weights, experts), td)
        aux = balance_loss(weights)
        total = loss + self.aux_weight * aux
        values = {"loss": total, "bce": loss, "aux_loss": aux}
        self._log(td, "train", weights, experts, values)
        return total

    def validation_step(self, td: TensorDict, batch_idx: int) -> None:
        """Logs ``val_loss`` (cross-entropy alone), ``val_acc`` and the gate."""
        weights, experts = self.mixture(td)
        scores = mixed(weights, experts)
        self._log(td, "val", weights, experts, {})
        self.log_validation(scores, td, {"val_loss": self.score_loss(scores, td)})

    def _log(
        self,
        td: TensorDict,
        split: str,
        weights: Tensor,
        experts: Tensor,
        values: dict[str, Tensor],
    ) -> None:
        """Logs ``values`` and the gate's diagnostics under names of the split."""
        found = {**values, **gate_diagnostics(weights, experts)}
        named = {f"{split}_{name}": value.detach() for name, value in found.items()}
        self.log_epoch(named, td.batch_size[0])


def mixed(weights: Tensor, experts: Tensor) -> Tensor:
    """Sum of the experts' probabilities by their weights ``[N]``."""
    return (weights * experts).sum(dim=-1).clamp(0.0, 1.0)


def balance_loss(weights: Tensor) -> Tensor:
    """``K sum_k (mean_N w_k)^2`` ``[]``: 1 for equal use of the experts, K for a single one.

    After the load-balancing loss of Switch Transformers (Fedus et al. 2022, eq. 4), whose shares of
    hard assignments are the mean weights here.
    """
    return _concentration(weights.mean(dim=0))


def _concentration(usage: Tensor) -> Tensor:
    """``K sum_k u_k^2`` ``[...]`` of the experts' mean weights ``[..., K]``."""
    return usage.shape[-1] * usage.square().sum(dim=-1)


def gate_diagnostics(weights: Tensor, experts: Tensor) -> dict[str, Tensor]:
    """How the gate divides windows among the experts.

    Returns:
        ``gate_entropy`` in nats (``ln K`` where it does not prefer any), ``expert_usage_i`` (mean
        weights) and ``expert_disagreement`` (variance of the experts' probabilities), means over
        the windows ``[]``.
    """
    values = _gate_values(weights, experts)
    return {name: value.mean(dim=-1) for name, value in values.items()}


def _gate_values(weights: Tensor, experts: Tensor) -> dict[str, Tensor]:
    """What ``gate_diagnostics`` takes the means of, for each window ``[..., N]``."""
    return {
        "gate_entropy": torch.special.entr(weights).sum(dim=-1),
        "expert_disagreement": experts.var(dim=-1, correction=0),
        **{f"expert_usage_{k}": share for k, share in enumerate(weights.unbind(dim=-1))},
    }


class StackedMoE:
    """The mixtures of several heads with the same settings."""

    def __init__(self, heads: Sequence[MoEFusionModule]) -> None:
        settings = heads[0].hparams
        widths = [*[settings["expert_hidden"]] * settings["num_experts"], settings["gate_hidden"]]
        networks = [[*head.experts, head.gate] for head in heads]
        self.tensors = StackedTensors(
            [[p for net in nets for p in net.parameters()] for nets in networks]
        )
        self.depths = [len(hidden) for hidden in widths]
        self.hidden = [width for hidden in widths for width in hidden]
        self.aux_weight = heads[0].aux_weight

    def _networks(self, batch: Batch) -> list[Tensor]:
        """Outputs of every expert and, last, of the gate ``[K, R, ...]``."""
        outputs, layers, masks = [], iter(self.tensors.layers), iter(batch.masks)
        for depth in self.depths:
            own = list(islice(layers, 2 * (depth + 1)))
            outputs.append(perceptron(batch.inputs, own, list(islice(masks, depth))))
        return outputs

    def __call__(self, batch: Batch) -> Outcome:
        """Mixed probabilities, the weighted balance loss, and how the gate divides the windows."""
        *experts, gate = self._networks(batch)
        weights, probabilities = gate.softmax(dim=-1), torch.cat(experts, dim=-1).sigmoid()
        usage = (weights * batch.share.unsqueeze(-1)).sum(dim=1)
        aux = _concentration(usage)
        values = _gate_values(weights.detach(), probabilities.detach())
        return Outcome(
            scores=mixed(weights, probabilities),
            penalty=self.aux_weight * aux,
            measured={
                "train_aux_loss": aux,
                **{f"train_{name}": (v * batch.share).sum(dim=-1) for name, v in values.items()},
            },
        )
