"""The layers of the attention classifier, apart from training and scoring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

from torch import Tensor, nn

from graphids.core.batch import GraphBatch
from graphids.core.models.base import try_compile
from graphids.core.models.id_encoding import IdEncoder
from graphids.core.models.layers import (
    BlockRunner,
    ConvBlock,
    Edges,
    InputEncoder,
    parse_conv,
    prepare_edges,
)
from graphids.core.models.supervised.jumping import LayerAttention
from graphids.core.models.supervised.pooling import WindowPool


class Activations(NamedTuple):
    """What the network makes of a batch on its way to the logits."""

    logits: Tensor
    """``[G, K]``."""
    embedding: Tensor
    """Pooled windows ``[G, H * aggregations]``."""
    inputs: Tensor
    """Ids and features as the first convolution reads them ``[V, in]``."""
    layers: list[Tensor]
    """Nodes after each convolution, ``[V, H]`` each."""


class GATNetwork(nn.Module):
    """Convolutions, attention over their outputs, pooling, head."""

    def __init__(
        self,
        id_encoder: IdEncoder,
        *,
        in_channels: int,
        num_classes: int,
        edge_dim: int,
        conv_type: str,
        hidden: int,
        num_layers: int,
        heads: int,
        fc_layers: int,
        aggregations: Sequence[str],
        sequence_pool: str,
        proj_dim: int,
        dropout: float,
        checkpointed: bool,
        compiled: bool,
    ) -> None:
        """Builds the layers; every convolution is ``hidden * heads`` wide."""
        super().__init__()
        self.conv, self.edge_dim = parse_conv(conv_type), edge_dim
        width = hidden * heads
        self.input = InputEncoder(id_encoder, in_channels, proj_dim)
        blocks: list[nn.Module] = [
            ConvBlock(
                conv_type,
                self.input.out_dim if layer == 0 else width,
                width,
                heads=heads,
                edge_dim=edge_dim,
                dropout=dropout,
                norm=False,
            )
            for layer in range(num_layers)
        ]
        if compiled:
            blocks = [try_compile(block, conv_type=conv_type) for block in blocks]
        self.convs = BlockRunner(blocks, checkpointed=checkpointed)
        self.jump = LayerAttention(width, num_layers)
        self.pool = WindowPool(aggregations, width, sequence_pool)
        pooled = self.pool.out_dim
        head: list[nn.Module] = []
        for _ in range(fc_layers - 1):
            head += [nn.Linear(pooled, pooled), nn.ReLU(), nn.Dropout(dropout)]
        self.head = nn.Sequential(*head, nn.Linear(pooled, num_classes))

    @property
    def last_layer(self) -> nn.Linear:
        """The layer that makes the logits."""
        return cast("nn.Linear", self.head[-1])

    def forward(self, batch: GraphBatch) -> Activations:
        """Logits and what came before them."""
        inputs = self.input(self.input.id_encoder.ids_of(batch), batch.x)
        layers = self.convs.outputs(inputs, self._edges(batch), batch.batch)
        embedding = self.pool(self.jump(layers), batch.batch, batch.step, batch.num_graphs)
        return Activations(self._logits(embedding), embedding, inputs, layers)

    def _logits(self, embedding: Tensor) -> Tensor:
        """``[G, K]`` by the head, whose dropout is called in training alone."""
        for layer in self.head:
            if layer.training or not isinstance(layer, nn.Dropout):
                embedding = layer(embedding)
        return embedding

    def attention_weights(
        self, batch: GraphBatch, activations: Activations
    ) -> list[tuple[Tensor, Tensor]]:
        """Edges as each convolution sees them ``[2, E']`` and their weights ``[E', heads]``."""
        inputs, edges = (activations.inputs, *activations.layers[:-1]), self._edges(batch)
        return [
            # A compiled block hands attributes through, which its type does not say.
            cast("ConvBlock", conv).attention(x, edges)
            for conv, x in zip(self.convs, inputs, strict=True)
        ]

    def _edges(self, batch: GraphBatch) -> Edges:
        """Edges as the convolutions see them."""
        return prepare_edges(self.conv, batch.edge_index, batch.edge_attr, batch.x, self.edge_dim)
