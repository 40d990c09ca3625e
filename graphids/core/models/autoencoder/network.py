"""The layers of the variational graph autoencoder, apart from training and scoring."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphids.core.batch import GraphBatch
from graphids.core.losses import VGAEOutputs
from graphids.core.models import masking, scores
from graphids.core.models.autoencoder.stacks import Stacks
from graphids.core.models.id_encoding import IdEncoder
from graphids.core.models.layers import Edges, InputEncoder, parse_conv

LOGVAR_LIMIT = 10.0
SIDE_BY_SIDE = 512
"""Nodes of all passes up to which they run as one: some windows."""


class VGAENetwork(nn.Module):
    """Encoder, decoder and three heads: arbitration id, neighbourhood, edge features."""

    mask_token: Tensor

    def __init__(
        self,
        id_encoder: IdEncoder,
        stacks: Stacks,
        *,
        num_ids: int,
        in_channels: int,
        targets: Sequence[int],
        latent_dim: int,
        head_width: int,
        proj_dim: int,
    ) -> None:
        """Builds the layers; ``id_encoder`` has a vector for hidden nodes."""
        super().__init__()
        self.stacks = stacks
        self.input = InputEncoder(id_encoder, in_channels, proj_dim)
        self.encoder = stacks.make(self.input.out_dim, targets)
        self.z_mean = nn.Linear(targets[-1], latent_dim)
        self.z_logvar = nn.Linear(targets[-1], latent_dim)
        widths = [*reversed(targets)][:-1]
        self.decoder = stacks.make(latent_dim, [*widths, in_channels], plain_last=True)
        self.canid_head = nn.Linear(latent_dim, num_ids)
        self.neighbour_head = _mlp(latent_dim, [head_width] * 2, latent_dim, stacks.dropout)
        self.edge_head: nn.Sequential | None = None
        if parse_conv(stacks.conv_type).edge_aware:
            self.edge_head = _mlp(2 * latent_dim, [latent_dim], stacks.edge_dim, stacks.dropout)
        self.register_buffer("mask_token", torch.zeros(in_channels))

    def encode(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor | None,
        batch: Tensor | None,
        ids: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Latent ``z [V, L]``, its divergence ``[V]`` from the standard normal, mean ``[V, L]``.

        ``ids [V]`` are those that the id encoder reads. The latent is sampled in training and is
        the mean otherwise, so that scores are deterministic.
        """
        return self._encode(x, ids, self.stacks.edges(edge_index, edge_attr, x), batch)

    def _encode(
        self, x: Tensor, ids: Tensor, edges: Edges, batch: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``encode`` over edges that are prepared."""
        hidden = self.encoder(self.input(ids, x), edges, batch)
        mu = self.z_mean(hidden)
        logvar = self.z_logvar(hidden).clamp(-LOGVAR_LIMIT, LOGVAR_LIMIT)
        kl = -0.5 * (1.0 + logvar - mu.square() - logvar.exp()).mean(dim=-1)
        z = mu
        if self.training:
            z = mu + torch.exp(0.5 * logvar) * torch.randn_like(mu)
        return z, kl, mu

    def _edges(self, batch: GraphBatch) -> Edges:
        """Edges of a batch as the convolutions of encoder and decoder see them."""
        return self.stacks.edges(batch.edge_index, batch.edge_attr, batch.x)

    def encode_batch(
        self, batch: GraphBatch, mask: Tensor | None = None, edges: Edges | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``encode`` of a batch, the nodes in ``mask [V]`` hidden, over its prepared edges."""
        encoder = self.input.id_encoder
        x, ids = batch.x, encoder.ids_of(batch)
        if mask is not None:
            x, ids = masking.hide(x, ids, mask, self.mask_token, encoder.mask_value)
        return self._encode(x, ids, edges or self._edges(batch), batch.batch)

    def hidden_error(self, batch: GraphBatch, folds: Tensor, num_folds: int) -> Tensor:
        """Error of each node ``[V]`` in the pass that hides its fold ``[V]``.

        The passes over a window or two stand side by side: their calls cost more than their
        arithmetic, which is what a detector on a bus waits for.
        """
        edges = self._edges(batch)
        if num_folds * batch.num_nodes <= SIDE_BY_SIDE:
            return self._hidden_error_at_once(batch, edges, folds, num_folds)
        error = batch.x.new_zeros(batch.num_nodes)
        for fold in range(num_folds):
            mask = folds == fold
            z, _, _ = self.encode_batch(batch, mask, edges)
            found = scores.node_error(batch.x, self.decoder(z, edges, batch.batch))
            error = torch.where(mask, found, error)
        return error

    def _hidden_error_at_once(
        self, batch: GraphBatch, edges: Edges, folds: Tensor, num_folds: int
    ) -> Tensor:
        """``hidden_error`` of one pass over a copy of the batch for each fold."""
        copies = torch.arange(num_folds, device=batch.x.device).unsqueeze(-1)
        graph = (batch.batch + batch.num_graphs * copies).flatten()
        ends = edges.ends.unsqueeze(1) + batch.num_nodes * copies
        features = None if edges.features is None else edges.features.repeat(num_folds, 1)
        edges = Edges(ends.flatten(1), features)
        mask = folds == copies
        encoder, x = self.input.id_encoder, batch.x.repeat(num_folds, 1)
        ids = encoder.ids_of(batch).repeat(num_folds)
        hidden = masking.hide(x, ids, mask.flatten(), self.mask_token, encoder.mask_value)
        z, _, _ = self._encode(*hidden, edges, graph)
        found = scores.node_error(x, self.decoder(z, edges, graph)).view_as(mask)
        return torch.where(mask, found, 0.0).sum(dim=0)

    def forward(
        self, batch: GraphBatch, mask: Tensor | None = None, *, masked_ids_only: bool = False
    ) -> tuple[VGAEOutputs, Tensor]:
        """The six outputs for a batch, and the mean latent of each node ``[V, L]``.

        Args:
            batch: Window graphs.
            mask: Nodes to hide ``[V]``; none hides none.
            masked_ids_only: Logits of the ids of the hidden nodes alone, which is all the loss
                reads.
        """
        edges = self._edges(batch)
        z, kl, mu = self.encode_batch(batch, mask, edges)
        named = z[mask] if masked_ids_only and mask is not None else z
        outputs = VGAEOutputs(
            self.decoder(z, edges, batch.batch),
            self.canid_head(named),
            self.neighbour_head(z),
            z,
            kl,
            None if self.edge_head is None else _of_ends(self.edge_head, z, batch.edge_index),
        )
        return outputs, mu


def ids_or_unknown(encoder: IdEncoder, ids: Tensor | None, x: Tensor) -> Tensor:
    """``ids [V]``, or the unknown one for each of the features ``x [V, F]``."""
    if ids is None:
        return torch.full((x.shape[0],), encoder.unknown_value, device=x.device)
    return ids


def _mlp(in_dim: int, widths: Sequence[int], out_dim: int, dropout: float) -> nn.Sequential:
    """Linear, ReLU and dropout per width, then a linear layer."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Linear(in_dim, width), nn.ReLU(), nn.Dropout(dropout)]
        in_dim = width
    return nn.Sequential(*layers, nn.Linear(in_dim, out_dim))


def _of_ends(head: nn.Sequential, z: Tensor, edge_index: Tensor) -> Tensor:
    """``head`` of the latents ``z [V, L]`` of both ends of each edge, side by side.

    The first layer is linear: its halves are applied to the nodes, of which there are fewer.
    """
    first, *others = head
    assert isinstance(first, nn.Linear)
    begin, end = first.weight.chunk(2, dim=1)
    source, target = edge_index
    hidden = functional.linear(z, begin, first.bias).index_select(0, source)
    hidden = hidden + functional.linear(z, end).index_select(0, target)
    for layer in others:
        hidden = layer(hidden)
    return hidden
