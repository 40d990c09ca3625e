"""Building blocks that the graph models share: input, convolution block, stack of blocks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch_geometric.nn import GATConv, GATv2Conv, GraphNorm

from graphids.core.models.checks import require_choice
from graphids.core.models.id_encoding.base import IdEncoder

CONV_TYPES = ("gat", "gatv2")
"""Graph convolutions that exist."""
EDGE_AWARE = frozenset({"gatv2"})
"""Those that read edge features."""


def make_conv(conv_type: str, in_dim: int, out_dim: int, heads: int, edge_dim: int) -> nn.Module:
    """Attention convolution from ``in_dim`` to ``heads`` concatenated parts, ``out_dim`` in all.

    GAT: Velickovic et al. 2018, without edge features. GATv2: Brody et al. 2022, with them.
    Self-loops are the layer's own: real ones are replaced by a loop with the mean of the node's
    edge features.

    Raises:
        ValueError: Unknown ``conv_type``.
    """
    require_choice("conv_type", conv_type, CONV_TYPES)
    if conv_type == "gat":
        return GATConv(in_dim, out_dim // heads, heads=heads)
    return GATv2Conv(in_dim, out_dim // heads, heads=heads, edge_dim=edge_dim)


class InputEncoder(nn.Module):
    """Vector of the id beside the features, projected where a width is given; no activation."""

    def __init__(self, id_encoder: IdEncoder, in_channels: int, proj_dim: int = 0) -> None:
        super().__init__()
        self.id_encoder = id_encoder
        self.projection = nn.Linear(in_channels, proj_dim) if proj_dim > 0 else nn.Identity()
        self.out_dim = id_encoder.out_dim + (proj_dim or in_channels)

    def forward(self, ids: Tensor, x: Tensor) -> Tensor:
        """``[V, out_dim]`` of ids ``[V]`` and features ``[V, F]``."""
        return torch.cat((self.id_encoder(ids), self.projection(x)), dim=-1)


class ConvBlock(nn.Module):
    """Convolution, then norm over each graph, ReLU and dropout; a plain block only convolves."""

    def __init__(
        self,
        conv_type: str,
        in_dim: int,
        out_dim: int,
        *,
        heads: int,
        edge_dim: int,
        dropout: float,
        norm: bool,
        plain: bool = False,
        checkpointed: bool = False,
    ) -> None:
        super().__init__()
        self.conv = make_conv(conv_type, in_dim, out_dim, heads, edge_dim)
        self.norm = GraphNorm(out_dim) if norm and not plain else None
        self.tail = nn.Identity() if plain else nn.Sequential(nn.ReLU(), nn.Dropout(dropout))
        self.reads_edges = conv_type in EDGE_AWARE
        self.checkpointed = checkpointed

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None, batch: Tensor | None
    ) -> Tensor:
        """``[V, out_dim]`` of nodes ``[V, in_dim]``, edges and the graph of each node ``[V]``."""
        if self.checkpointed and self.training and x.requires_grad:
            return checkpoint(self._compute, x, edge_index, edge_attr, batch, use_reentrant=False)
        return self._compute(x, edge_index, edge_attr, batch)

    def _compute(
        self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None, batch: Tensor | None
    ) -> Tensor:
        x = self.conv(x, edge_index, edge_attr) if self.reads_edges else self.conv(x, edge_index)
        if self.norm is not None:
            x = self.norm(x, batch)
        return self.tail(x)

    def attention(
        self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Edges with loops ``[2, E']`` and the weight of each under each head ``[E', heads]``."""
        edges = edge_attr if self.reads_edges else None
        _, (with_loops, weights) = self.conv(x, edge_index, edges, return_attention_weights=True)
        return with_loops, weights


class ConvStack(nn.Module):
    """Blocks one after the other: the first with ``heads`` heads, later ones with one."""

    def __init__(
        self,
        conv_type: str,
        in_dim: int,
        targets: Sequence[int],
        *,
        heads: int,
        edge_dim: int,
        dropout: float,
        norm: bool,
        plain_last: bool = False,
        checkpointed: bool = False,
    ) -> None:
        """Builds a block per target width; a width that ``heads`` does not divide gets one head."""
        super().__init__()
        blocks = []
        for position, target in enumerate(targets):
            block_heads = heads if position == 0 and target % heads == 0 else 1
            blocks.append(
                ConvBlock(
                    conv_type,
                    in_dim,
                    target,
                    heads=block_heads,
                    edge_dim=edge_dim,
                    dropout=dropout,
                    norm=norm,
                    plain=plain_last and position == len(targets) - 1,
                    checkpointed=checkpointed,
                )
            )
            in_dim = target
        self.blocks = nn.ModuleList(blocks)

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_attr: Tensor | None, batch: Tensor | None
    ) -> Tensor:
        """``[V, targets[-1]]`` of nodes ``[V, in_dim]``."""
        for block in self.blocks:
            x = block(x, edge_index, edge_attr, batch)
        return x


def encoder_targets(hidden_dims: Sequence[int] | None, latent_dim: int) -> list[int]:
    """Widths of the encoder's blocks: the hidden ones, or ``[max(128, 2L), L]`` without them.

    A last hidden width that equals the latent one is dropped: the heads of mean and variance make
    it.
    """
    if not hidden_dims:
        return [max(128, 2 * latent_dim), latent_dim]
    targets = list(hidden_dims)
    if len(targets) >= 2 and targets[-1] == latent_dim:
        targets.pop()
    return targets
