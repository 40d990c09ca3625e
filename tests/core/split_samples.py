"""Models whose batches are split, and what a training step leaves of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from graphids.core.batch import GraphBatch
from graphids.core.budget import Budget
from graphids.core.losses import (
    FeatureDistillation,
    RecordedLogits,
    RecordedNodes,
    SoftLabelDistillation,
    VGAETaskLoss,
    build_loss,
)
from graphids.core.losses.curriculum import CurriculumLoss, LinearRamp, difficulty_rank
from graphids.core.models.autoencoder import DGIConfig, VGAEConfig
from graphids.core.models.base import GraphModuleBase
from graphids.core.models.supervised import GATConfig

NETWORKS: Mapping[str, Any] = {
    "gat gat": GATConfig(conv="gat", hidden=4),
    "gat gatv2": GATConfig(hidden=4),
    "gat transformer": GATConfig(conv="transformer", hidden=4),
    "gat gps": GATConfig(conv="gps", hidden=4),
    "gat keep": GATConfig(hidden=4, self_loops="keep", pooling="multi"),
    "gat checkpointed": GATConfig(hidden=4, gradient_checkpointing=True),
    "gat attention over steps": GATConfig(hidden=4, sequence_pool="attention"),
    "gat gru over steps": GATConfig(hidden=4, sequence_pool="gru"),
    "vgae": VGAEConfig(hidden_dims=(16, 8), latent_dim=4),
    "vgae batch_norm=False": VGAEConfig(hidden_dims=(16, 8), latent_dim=4, batch_norm=False),
    "vgae gat": VGAEConfig(conv="gat", hidden_dims=(16, 8), latent_dim=4),
    "vgae checkpointed": VGAEConfig(hidden_dims=(16, 8), latent_dim=4, gradient_checkpointing=True),
    "dgi graph": DGIConfig(hidden_dims=(16, 8), latent_dim=4),
    "dgi batch": DGIConfig(hidden_dims=(16, 8), latent_dim=4, corruption="batch"),
    "dgi reference": DGIConfig(hidden_dims=(16, 8), latent_dim=4, corruption="reference"),
}
"""Settings of a network by what is particular about them."""


def _curriculum(batch: GraphBatch) -> nn.Module:
    """Of benign windows, half of which count."""
    scope = batch.y == 0
    rank = difficulty_rank(torch.arange(batch.num_graphs).double(), scope)
    base = build_loss("focal", reduction="none")
    return CurriculumLoss(base, rank, scope, LinearRamp(start_ratio=5.0, end_ratio=10.0))


def _distillation(batch: GraphBatch) -> nn.Module:
    """Of random logits."""
    logits = torch.randn(batch.num_graphs, 2, dtype=torch.float64)
    return SoftLabelDistillation(build_loss("weighted_ce"), RecordedLogits(logits))


def _feature_distillation(batch: GraphBatch) -> nn.Module:
    """Of random nodes, through a trained projection."""
    nodes = RecordedNodes(
        torch.randn(batch.num_nodes, 6, dtype=torch.float64), torch.randn_like(batch.x), batch.ptr
    )
    return FeatureDistillation(VGAETaskLoss(), nodes, student_dim=4, teacher_dim=6)


LOSSES: Mapping[str, tuple[str, Callable[[GraphBatch], nn.Module]]] = {
    "ce": ("gat gatv2", lambda batch: build_loss("ce")),
    "weighted_ce": ("gat gatv2", lambda batch: build_loss("weighted_ce")),
    "focal": ("gat gatv2", lambda batch: build_loss("focal")),
    "curriculum": ("gat gatv2", _curriculum),
    "distillation": ("gat gatv2", _distillation),
    "feature distillation": ("vgae", _feature_distillation),
}
"""Losses with the network that they train."""


def built(name: str, loss_fn: nn.Module | None = None, *, seed: int = 0) -> GraphModuleBase:
    """The network called ``name``, in float64: differences then are no rounding."""
    torch.manual_seed(seed)
    model: GraphModuleBase = NETWORKS[name].build(num_ids=20, in_channels=35, loss_fn=loss_fn)
    return model.double().train()


def doubled(batch: GraphBatch) -> GraphBatch:
    """The batch in float64."""
    return replace(batch, x=batch.x.double(), edge_attr=batch.edge_attr.double())


def step(
    model: Any, batch: GraphBatch, chunk: Budget | None, *, seed: int = 7
) -> tuple[Tensor, dict[str, Tensor], Tensor]:
    """Loss, gradients by parameter (0 where there is none) and random state after a step."""
    torch.manual_seed(seed)
    model.zero_grad()
    model.chunk = chunk
    found = model.compute_loss(batch)
    loss = found[0] if isinstance(found, tuple) else found
    loss.backward()
    gradients = {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in model.named_parameters()
    }
    return loss.detach(), gradients, torch.get_rng_state()


class Held:
    """Counts what a backward pass keeps: ``peak`` bytes at the most."""

    def __init__(self) -> None:
        self.now = self.peak = 0

    def pack(self, tensor: Tensor) -> _Kept:
        return _Kept(self, tensor)

    @staticmethod
    def unpack(kept: _Kept) -> Tensor:
        return kept.tensor


class _Kept:
    def __init__(self, held: Held, tensor: Tensor) -> None:
        self.held, self.tensor = held, tensor
        held.now += tensor.nbytes
        held.peak = max(held.peak, held.now)

    def __del__(self) -> None:
        self.held.now -= self.tensor.nbytes
