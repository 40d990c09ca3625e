"""The classifier as a user of PyG writes it, with weights copied from ours."""

from __future__ import annotations

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Data
from torch_geometric.nn import GATv2Conv, JumpingKnowledge, global_mean_pool

from graphids.core.models import GAT


class PlainGAT(lightning.LightningModule):
    """Embedding beside the features, GATv2 layers that add loops, jumping knowledge, mean, head."""

    def __init__(self, ours: GAT) -> None:
        super().__init__()
        net, settings = ours.net, ours.hparams
        convs = [block.conv for block in net.convs]
        self.settings = settings
        self.embedding = nn.Embedding(settings["num_ids"], settings["embedding_dim"])
        self.convs = nn.ModuleList(
            GATv2Conv(conv.in_channels, conv.out_channels, conv.heads, edge_dim=conv.edge_dim)
            for conv in convs
        )
        width = convs[0].heads * convs[0].out_channels
        self.jump = JumpingKnowledge("lstm", channels=width, num_layers=len(convs))
        layers: list[nn.Module] = []
        for _ in range(settings["fc_layers"] - 1):
            layers += [nn.Linear(width, width), nn.ReLU(), nn.Dropout(settings["dropout"])]
        self.head = nn.Sequential(*layers, nn.Linear(width, settings["num_classes"]))
        self.embedding.load_state_dict(net.input.id_encoder.table.state_dict())
        for mine, conv in zip(self.convs, convs, strict=True):
            mine.load_state_dict(conv.state_dict())
        self.jump.load_state_dict(net.jump.state_dict())
        self.head.load_state_dict(net.head.state_dict())

    def forward(self, batch: Data) -> Tensor:
        """Logits ``[G, K]``."""
        x = torch.cat((self.embedding(batch.node_id), batch.x), dim=-1)
        layers = []
        for conv in self.convs:
            x = functional.relu(conv(x, batch.edge_index, batch.edge_attr))
            x = functional.dropout(x, self.settings["dropout"], self.training)
            layers.append(x)
        return self.head(global_mean_pool(self.jump(layers), batch.batch, batch.num_graphs))

    def training_step(self, batch: Data, batch_idx: int) -> Tensor:
        """Cross-entropy of a batch, logged as a mean over the epoch beside the accuracy."""
        logits = self(batch)
        loss = functional.cross_entropy(logits, batch.y)
        accuracy = (logits.argmax(dim=-1) == batch.y).float().mean()
        values = {"train_loss": loss.detach(), "train_acc": accuracy}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=batch.num_graphs)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam as torch sets it up."""
        settings = self.settings
        return torch.optim.Adam(
            self.parameters(), lr=settings["lr"], weight_decay=settings["weight_decay"]
        )
