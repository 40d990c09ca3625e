"""What all convolutions of one detector share, whether they encode or decode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from graphids.core.models.base import try_compile
from graphids.core.models.layers import ConvStack, Edges, parse_conv, prepare_edges


@dataclass(frozen=True, kw_only=True, slots=True)
class Stacks:
    """Settings of stacks of convolutions; ``make`` makes one."""

    conv_type: str
    """Graph convolution, with or without ``+keep``."""
    heads: int
    """Attention heads of the first convolution of a stack."""
    edge_dim: int
    """Edge features."""
    dropout: float
    """Share of activations dropped while training."""
    norm: bool
    """Normalise over each graph after a convolution."""
    checkpointed: bool
    """Recompute the convolutions in the backward pass."""
    compiled: bool
    """Compile the convolutions."""

    @classmethod
    def of(cls, settings: Mapping[str, Any], heads: int) -> Stacks:
        """From the settings of a model, with the heads that its scale resolved."""
        return cls(
            conv_type=settings["conv_type"],
            heads=heads,
            edge_dim=settings["edge_dim"],
            dropout=settings["dropout"],
            norm=settings["batch_norm"],
            checkpointed=settings["gradient_checkpointing"],
            compiled=settings["compile_model"],
        )

    def make(self, in_dim: int, widths: Sequence[int], *, plain_last: bool = False) -> nn.Module:
        """Convolutions from ``in_dim`` over ``widths``, the last one bare where it is plain."""
        return ConvStack(
            self.conv_type,
            in_dim,
            widths,
            heads=self.heads,
            edge_dim=self.edge_dim,
            dropout=self.dropout,
            norm=self.norm,
            plain_last=plain_last,
            checkpointed=self.checkpointed,
            compile_block=self._compile,
        )

    def edges(self, edge_index: Tensor, edge_attr: Tensor | None, like: Tensor) -> Edges:
        """Edges ``[2, E]`` and features ``[E, D]`` as the convolutions see them.

        ``like [V, any]`` are nodes; without features all are 0.
        """
        return prepare_edges(parse_conv(self.conv_type), edge_index, edge_attr, like, self.edge_dim)

    def _compile(self, block: nn.Module) -> nn.Module:
        """``block``, compiled where that is asked for and possible."""
        return try_compile(block, conv_type=self.conv_type) if self.compiled else block
