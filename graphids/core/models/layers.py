"""Building blocks that the graph models share: input, convolution block, stack of blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from torch_geometric.nn import GATConv, GPSConv, GraphNorm, TransformerConv

from graphids.core.models.checks import require_choice
from graphids.core.models.edge_attention import EdgeAttention
from graphids.core.models.id_encoding.base import IdEncoder
from graphids.core.models.loops import one_loop_each

CONV_TYPES = ("gat", "gatv2", "transformer", "gps")
"""Graph convolutions that exist."""
EDGE_AWARE = frozenset({"gatv2", "transformer", "gps"})
"""Those that read edge features."""
SELF_LOOPS = ("pyg", "keep")
"""``pyg``: a node's own edges give way to one with the mean features of the edges that enter it.
``keep``: a node has the loops that its messages made. A transformer keeps them either way."""
KEEP = "+keep"
GPS_DROPOUT = 0.1


@dataclass(frozen=True, slots=True)
class ConvSpec:
    """A graph convolution and what it does with self-loops; its text is the ``conv_type``."""

    kind: str
    """One of ``CONV_TYPES``."""
    self_loops: str = "pyg"
    """One of ``SELF_LOOPS``."""

    def __str__(self) -> str:
        return self.kind + (KEEP if self.self_loops == "keep" else "")

    @property
    def edge_aware(self) -> bool:
        """Whether it reads edge features."""
        return self.kind in EDGE_AWARE

    @property
    def adds_loops(self) -> bool:
        """Whether real self-loops give way to added ones."""
        return self.self_loops == "pyg" and self.kind != "transformer"


class Edges(NamedTuple):
    """Edges as every convolution of a network sees them."""

    ends: Tensor
    """Source and target of each edge ``[2, E]``; a loop that was added is one of them."""
    features: Tensor | None
    """Edge features ``[E, D]``; none where the convolution reads none."""


def prepare_edges(
    conv: ConvSpec, edge_index: Tensor, edge_attr: Tensor | None, like: Tensor, edge_dim: int
) -> Edges:
    """The edges of a batch for all convolutions ``conv`` of a network, with the loops they add.

    Args:
        conv: What the convolutions read, and whether real loops give way to added ones.
        edge_index: Edges of the batch ``[2, E]``.
        edge_attr: Their features ``[E, edge_dim]``; none reads as features that are all 0.
        like: Nodes ``[V, any]``: how many there are, and the type of features that are 0.
        edge_dim: Features of an edge.
    """
    if not conv.edge_aware:
        edge_attr = None
    elif edge_attr is None:
        edge_attr = like.new_zeros(edge_index.shape[1], edge_dim)
    if not conv.adds_loops:
        return Edges(edge_index, edge_attr)
    return Edges(*one_loop_each(edge_index, edge_attr, like.shape[0]))


def require_conv(name: str, conv_type: str) -> None:
    """Raises unless ``conv_type`` is one of ``CONV_TYPES``, with or without ``+keep``.

    Raises:
        ValueError: Names the setting, its value and what is available.
    """
    require_choice(name, conv_type, [str(ConvSpec(k, s)) for s in SELF_LOOPS for k in CONV_TYPES])


def parse_conv(conv_type: str) -> ConvSpec:
    """What a ``conv_type`` says: ``gatv2`` or, with the loops of the messages, ``gatv2+keep``.

    Raises:
        ValueError: No such convolution.
    """
    require_conv("conv_type", conv_type)
    kind = conv_type.removesuffix(KEEP)
    return ConvSpec(kind, "pyg" if kind == conv_type else "keep")


def make_conv(conv: ConvSpec, in_dim: int, out_dim: int, heads: int, edge_dim: int) -> nn.Module:
    """Attention convolution from ``in_dim`` to ``out_dim``, of which each head makes a share.

    GAT: Velickovic et al. 2018, without edge features. GATv2: Brody et al. 2022. Transformer: Shi
    et al. 2021; its skip connection serves a node that no edge enters. GPS: ``GlobalConv``. None
    adds loops: ``prepare_edges`` does, once for all of them.
    """
    width = out_dim // heads
    if conv.kind == "gat":
        return GATConv(in_dim, width, heads, add_self_loops=False)
    if conv.kind == "gatv2":
        return EdgeAttention(in_dim, width, heads, edge_dim=edge_dim)
    if conv.kind == "transformer":
        return TransformerConv(in_dim, width, heads, edge_dim=edge_dim)
    return GlobalConv(in_dim, out_dim, heads, edge_dim)


class GlobalConv(nn.Module):
    """GATv2 over the edges beside attention among all nodes of a graph (GPS, Rampasek et al. 2022).

    Its norms and its attention stay within a graph. Each head of its GATv2 is ``channels`` wide,
    and the heads are averaged.
    """

    def __init__(self, in_dim: int, channels: int, heads: int, edge_dim: int) -> None:
        super().__init__()
        self.lift = nn.Linear(in_dim, channels) if in_dim != channels else nn.Identity()
        edges = EdgeAttention(channels, channels, heads, edge_dim=edge_dim, concat=False)
        self.gps = GPSConv(channels, edges, heads, dropout=GPS_DROPOUT, norm="graph_norm")

    def forward(
        self, x: Tensor, edge_index: Tensor, edge_attr: Tensor, batch: Tensor | None
    ) -> Tensor:
        """``[V, channels]`` of nodes ``[V, in_dim]``, edges and the graph of each node ``[V]``."""
        return self.gps(self.lift(x), edge_index, batch, edge_attr=edge_attr)


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
    """Convolution, then norm over each graph, ReLU and dropout.

    A plain block only convolves. GPS normalises and drops within, so it stands alone as well.
    """

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
    ) -> None:
        super().__init__()
        conv = parse_conv(conv_type)
        plain = plain or conv.kind == "gps"
        self.conv = make_conv(conv, in_dim, out_dim, heads, edge_dim)
        self.norm = GraphNorm(out_dim) if norm and not plain else None
        self.plain, self.dropout = plain, dropout

    def forward(self, x: Tensor, edges: Edges, batch: Tensor | None) -> Tensor:
        """``[V, out_dim]`` of nodes ``[V, in_dim]``, edges and the graph of each node ``[V]``."""
        if isinstance(self.conv, GlobalConv):
            return self.conv(x, *edges, batch)
        x = self.conv(x, *edges)
        if self.norm is not None:
            x = self.norm(x, batch)
        if self.plain:
            return x
        x = x.relu()
        return functional.dropout(x, self.dropout) if self.training else x

    def attention(self, x: Tensor, edges: Edges) -> tuple[Tensor, Tensor]:
        """Edges as the convolution sees them ``[2, E]`` and their weights ``[E, heads]``.

        Those of GPS are its GATv2's: its attention among all nodes is not over edges.
        """
        conv = self.conv
        if isinstance(conv, GlobalConv):
            x, conv = conv.lift(x), conv.gps.conv
        _, (seen, weights) = conv(x, *edges, return_attention_weights=True)
        return seen, weights


class BlockRunner(nn.ModuleList):
    """Blocks one after the other, whose activations training keeps or computes again.

    A block may be compiled. A compiler gives up on one that checkpoints within, so checkpointing is
    outside.
    """

    def __init__(self, blocks: Iterable[nn.Module], *, checkpointed: bool) -> None:
        super().__init__(blocks)
        self.checkpointed = checkpointed

    def outputs(self, x: Tensor, edges: Edges, batch: Tensor | None) -> list[Tensor]:
        """Nodes after each block, ``[V, width]`` each."""
        outputs = []
        for block in self:
            if self.checkpointed and self.training and x.requires_grad:
                x = checkpoint(block, x, edges, batch, use_reentrant=False)
            else:
                x = block(x, edges, batch)
            outputs.append(x)
        return outputs


def _as_it_is(block: nn.Module) -> nn.Module:
    return block


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
        compile_block: Callable[[nn.Module], nn.Module] = _as_it_is,
    ) -> None:
        """Builds a block per target width; a width that ``heads`` does not divide gets one head.

        ``compile_block`` makes of each block the module that runs.
        """
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
                )
            )
            in_dim = target
        self.blocks = BlockRunner(map(compile_block, blocks), checkpointed=checkpointed)

    def forward(self, x: Tensor, edges: Edges, batch: Tensor | None) -> Tensor:
        """``[V, targets[-1]]`` of nodes ``[V, in_dim]``."""
        return self.blocks.outputs(x, edges, batch)[-1]


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
