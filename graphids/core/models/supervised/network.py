"""The layers of the attention classifier, apart from training and scoring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch_geometric.nn import MultiAggregation

from graphids.core.batch import GraphBatch
from graphids.core.models.base import try_compile
from graphids.core.models.id_encoding import IdEncoder
from graphids.core.models.layers import ConvBlock, InputEncoder
from graphids.core.models.supervised.jumping import LayerAttention


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
        proj_dim: int,
        dropout: float,
        checkpointed: bool,
        compiled: bool,
    ) -> None:
        """Builds the layers; every convolution is ``hidden * heads`` wide."""
        super().__init__()
        width = hidden * heads
        self.input = InputEncoder(id_encoder, in_channels, proj_dim)
        self.convs = nn.ModuleList()
        for layer in range(num_layers):
            block: nn.Module = ConvBlock(
                conv_type,
                self.input.out_dim if layer == 0 else width,
                width,
                heads=heads,
                edge_dim=edge_dim,
                dropout=dropout,
                norm=False,
                checkpointed=checkpointed,
            )
            self.convs.append(try_compile(block, conv_type=conv_type) if compiled else block)
        self.jump = LayerAttention(width, num_layers)
        self.pool = MultiAggregation(list(aggregations))
        pooled = width * len(aggregations)
        head: list[nn.Module] = []
        for _ in range(fc_layers - 1):
            head += [nn.Linear(pooled, pooled), nn.ReLU(), nn.Dropout(dropout)]
        self.head = nn.Sequential(*head, nn.Linear(pooled, num_classes))

    def node_inputs(self, batch: GraphBatch) -> Tensor:
        """Ids and features as the first convolution reads them ``[V, in]``."""
        encoder = self.input.id_encoder
        ids = batch.node_id if encoder.reads == "node_id" else batch.arbitration_id
        return self.input(ids, batch.x)

    def layer_outputs(self, batch: GraphBatch) -> list[Tensor]:
        """Nodes after each convolution, ``[V, H]`` each."""
        x = self.node_inputs(batch)
        outputs = []
        for conv in self.convs:
            x = conv(x, batch.edge_index, batch.edge_attr, batch.batch)
            outputs.append(x)
        return outputs

    def embed(self, batch: GraphBatch) -> Tensor:
        """Pooled windows ``[G, H * aggregations]``."""
        nodes = self.jump(self.layer_outputs(batch))
        return self.pool(nodes, batch.batch, dim_size=batch.num_graphs)

    def forward(self, batch: GraphBatch) -> tuple[Tensor, Tensor]:
        """Logits ``[G, K]`` and pooled windows."""
        embedding = self.embed(batch)
        return self.head(embedding), embedding

    def attention_weights(self, batch: GraphBatch) -> list[tuple[Tensor, Tensor]]:
        """Edges with loops ``[2, E']`` and their weights ``[E', heads]`` in each layer."""
        inputs = [self.node_inputs(batch), *self.layer_outputs(batch)[:-1]]
        return [
            # A compiled block hands attributes through, which its type does not say.
            cast("ConvBlock", conv).attention(x, batch.edge_index, batch.edge_attr)
            for conv, x in zip(self.convs, inputs, strict=True)
        ]
