"""The layers of the variational graph autoencoder, apart from training and scoring."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphids.core.batch import GraphBatch
from graphids.core.losses import VGAEOutputs
from graphids.core.models import masking, scores
from graphids.core.models.base import try_compile
from graphids.core.models.id_encoding import IdEncoder
from graphids.core.models.layers import EDGE_AWARE, ConvStack, InputEncoder

LOGVAR_LIMIT = 10.0


class VGAENetwork(nn.Module):
    """Encoder, decoder and three heads: arbitration id, neighbourhood, edge features."""

    mask_token: Tensor

    def __init__(
        self,
        id_encoder: IdEncoder,
        *,
        num_ids: int,
        in_channels: int,
        edge_dim: int,
        conv_type: str,
        targets: Sequence[int],
        latent_dim: int,
        heads: int,
        head_width: int,
        proj_dim: int,
        dropout: float,
        norm: bool,
        checkpointed: bool,
        compiled: bool,
    ) -> None:
        """Builds the layers; ``id_encoder`` has one row more than the vocabulary: a hidden node.

        Raises:
            ValueError: The encoder does not read ``node_id``, where alone hidden nodes have a row.
        """
        super().__init__()
        if id_encoder.reads != "node_id":
            raise ValueError(
                f"the autoencoder hides nodes by their node_id, but {type(id_encoder).__name__} "
                f"reads {id_encoder.reads}; use an encoder that reads node_id"
            )
        self.num_ids = num_ids

        def stack(in_dim: int, widths: Sequence[int], *, plain_last: bool) -> nn.Module:
            module = ConvStack(
                conv_type,
                in_dim,
                widths,
                heads=heads,
                edge_dim=edge_dim,
                dropout=dropout,
                norm=norm,
                plain_last=plain_last,
                checkpointed=checkpointed,
            )
            return try_compile(module, conv_type=conv_type) if compiled else module

        self.input = InputEncoder(id_encoder, in_channels, proj_dim)
        self.encoder = stack(self.input.out_dim, targets, plain_last=False)
        self.z_mean = nn.Linear(targets[-1], latent_dim)
        self.z_logvar = nn.Linear(targets[-1], latent_dim)
        widths = [*reversed(targets)][:-1]
        self.decoder = stack(latent_dim, [*widths, in_channels], plain_last=True)
        self.canid_head = nn.Linear(latent_dim, num_ids)
        self.neighbour_head = _mlp(latent_dim, [head_width, head_width], latent_dim, dropout)
        self.edge_head: nn.Module | None = None
        if conv_type in EDGE_AWARE:
            self.edge_head = _mlp(2 * latent_dim, [latent_dim], edge_dim, dropout)
        self.register_buffer("mask_token", torch.zeros(in_channels))

    def encode(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor | None,
        batch: Tensor | None,
        node_id: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Latent ``z [V, L]``, its divergence ``[V]`` from the standard normal, mean ``[V, L]``.

        The latent is sampled in training and is the mean otherwise, so that scores are
        deterministic.
        """
        hidden = self.encoder(self.input(node_id, x), edge_index, edge_attr, batch)
        mu = self.z_mean(hidden)
        logvar = self.z_logvar(hidden).clamp(-LOGVAR_LIMIT, LOGVAR_LIMIT)
        kl = -0.5 * (1.0 + logvar - mu.square() - logvar.exp()).mean(dim=-1)
        z = mu
        if self.training:
            z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        return z, kl, mu

    def encode_batch(
        self, batch: GraphBatch, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``encode`` of a batch, the nodes in ``mask [V]`` hidden."""
        x, ids = batch.x, batch.node_id
        if mask is not None:
            x, ids = masking.hide(x, ids, mask, self.mask_token, self.num_ids)
        return self.encode(x, batch.edge_index, batch.edge_attr, batch.batch, ids)

    def hidden_error(self, batch: GraphBatch, folds: Tensor, num_folds: int) -> Tensor:
        """Error of each node ``[V]`` in the pass that hides its fold ``[V]``."""
        error = batch.x.new_zeros(batch.num_nodes)
        for fold in range(num_folds):
            mask = folds == fold
            z, _, _ = self.encode_batch(batch, mask)
            found = scores.node_error(batch.x, self.reconstruct(z, batch))
            error = torch.where(mask, found, error)
        return error

    def reconstruct(self, z: Tensor, batch: GraphBatch) -> Tensor:
        """Features ``[V, F]`` from latent nodes ``[V, L]``."""
        return self.decoder(z, batch.edge_index, batch.edge_attr, batch.batch)

    def forward(
        self, batch: GraphBatch, mask: Tensor | None = None, *, masked_ids_only: bool = False
    ) -> VGAEOutputs:
        """The six outputs for a batch.

        Args:
            batch: Window graphs.
            mask: Nodes to hide ``[V]``; none hides none.
            masked_ids_only: Logits of the ids of the hidden nodes alone, which is all the loss
                reads.
        """
        z, kl, _ = self.encode_batch(batch, mask)
        named = z[mask] if masked_ids_only and mask is not None else z
        edges = None
        if self.edge_head is not None:
            source, target = batch.edge_index
            ends = (z.index_select(0, source), z.index_select(0, target))
            edges = self.edge_head(torch.cat(ends, dim=-1))
        return VGAEOutputs(
            self.reconstruct(z, batch), self.canid_head(named), self.neighbour_head(z), z, kl, edges
        )


def _mlp(in_dim: int, widths: Sequence[int], out_dim: int, dropout: float) -> nn.Sequential:
    """Linear, ReLU and dropout per width, then a linear layer."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(in_dim, width), nn.ReLU(), nn.Dropout(dropout)]
        in_dim = width
    return nn.Sequential(*layers, nn.Linear(in_dim, out_dim))
