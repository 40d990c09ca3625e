"""The layers and the loss of Deep Graph Infomax, apart from training and scoring."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphids.core.batch import GraphBatch
from graphids.core.models.autoencoder.stacks import Stacks
from graphids.core.models.id_encoding import IdEncoder
from graphids.core.models.layers import InputEncoder

LOG_FLOOR = math.log(1e-6)
"""Logarithm of what is added to a probability before its own is taken."""


class InfomaxLoss(nn.Module):
    """Real nodes belong to the summary of their window, corrupted ones do not.

    ``-mean ln(D(pos) + 1e-6) - mean ln(1 - D(neg) + 1e-6)`` (Velickovic et al. 2019, eq. 1, with a
    floor), taken of logits: neither logarithm nor gradient loses its digits where D saturates.
    """

    def forward(self, positive: Tensor, negative: Tensor) -> Tensor:
        """Loss ``[]`` of the logits of real and of corrupted nodes ``[V]``."""
        floor = positive.new_tensor(LOG_FLOOR)
        real = torch.logaddexp(functional.logsigmoid(positive), floor)
        corrupted = torch.logaddexp(functional.logsigmoid(-negative), floor)
        return -(real.mean() + corrupted.mean())


class DGINetwork(nn.Module):
    """Encoder of nodes, and the bilinear form that compares them with a summary."""

    def __init__(
        self,
        id_encoder: IdEncoder,
        stacks: Stacks,
        *,
        in_channels: int,
        targets: Sequence[int],
        latent_dim: int,
        proj_dim: int,
    ) -> None:
        super().__init__()
        self.input = InputEncoder(id_encoder, in_channels, proj_dim)
        self.stacks = stacks
        self.encoder = stacks.make(self.input.out_dim, targets)
        self.z_proj = nn.Linear(targets[-1], latent_dim)
        self.form = nn.Parameter(torch.empty(latent_dim, latent_dim))
        nn.init.xavier_uniform_(self.form)

    def encode(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor | None,
        batch: Tensor | None,
        ids: Tensor,
    ) -> Tensor:
        """Latent nodes ``[V, L]``; ``ids [V]`` are those that the id encoder reads."""
        edges = self.stacks.edges(edge_index, edge_attr, x)
        return self.z_proj(self.encoder(self.input(ids, x), edges, batch))

    def forward(self, batch: GraphBatch) -> Tensor:
        """Latent nodes ``[V, L]`` of a batch."""
        ids = self.input.id_encoder.ids_of(batch)
        return self.encode(batch.x, batch.edge_index, batch.edge_attr, batch.batch, ids)

    def logits(self, z: Tensor, summary: Tensor, batch: Tensor) -> Tensor:
        """``z W s`` of each node ``[V]`` with the summary ``[G, L]`` of its graph ``[V]``."""
        return ((z @ self.form) * summary.index_select(0, batch)).sum(dim=-1)
