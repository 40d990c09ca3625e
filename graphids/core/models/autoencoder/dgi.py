"""Deep Graph Infomax: windows whose embedding lies far from benign ones are attacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphids.core.batch import GraphBatch, as_graph_batch
from graphids.core.losses.finite import require_finite
from graphids.core.models import scores
from graphids.core.models.autoencoder.centre import CentredDetector
from graphids.core.models.autoencoder.config import EncoderConfig
from graphids.core.models.autoencoder.corruption import CORRUPTIONS, corrupt, fixed_generator
from graphids.core.models.autoencoder.infomax import DGINetwork, InfomaxLoss
from graphids.core.models.autoencoder.network import ids_or_unknown
from graphids.core.models.autoencoder.scales import DGI_SCALES, DGIScale
from graphids.core.models.autoencoder.stacks import Stacks
from graphids.core.models.base import eval_mode
from graphids.core.models.checkpoint import LateSettings
from graphids.core.models.checks import require_at_least_one, require_choice
from graphids.core.models.id_encoding import IdEncodingCfg, plain_encoding
from graphids.core.models.layers import encoder_targets, require_conv
from graphids.core.models.selection import select_graphs
from graphids.core.models.splitting import SplitStep, in_chunks


@dataclass(frozen=True, kw_only=True)
class DGIConfig(EncoderConfig):
    """Settings of Deep Graph Infomax."""

    heads: int | None = None
    """Attention heads of the first convolution; none takes the scale's."""
    embedding_dim: int | None = None
    """Length of an id's vector; none takes the scale's."""
    dropout: float = 0.15
    """Share of activations dropped while training."""
    corruption: str = "graph"
    """How negative examples are made: one of ``CORRUPTIONS``."""

    def __post_init__(self) -> None:
        self.check(DGI_SCALES)
        require_choice("corruption", self.corruption, CORRUPTIONS)
        require_at_least_one(self, "heads", "embedding_dim")

    def build(
        self,
        *,
        num_ids: int,
        in_channels: int,
        num_classes: int = 2,
        loss_fn: nn.Module | None = None,
    ) -> DGI:
        """The model for data of these sizes.

        Raises:
            ValueError: A loss is given; the model has its own.
        """
        if loss_fn is not None:
            raise ValueError(
                f"DGI trains on its own loss (got {type(loss_fn).__name__}); give none"
            )
        settings = self.arguments()
        corruption = settings.pop("corruption")
        model = DGI(num_ids=num_ids, in_channels=in_channels, num_classes=num_classes, **settings)
        model.corruption = corruption
        return model


class DGI(CentredDetector, LateSettings, SplitStep):
    """Deep Graph Infomax (Velickovic et al. 2019) of windows, scored as one class.

    Learns to tell the nodes of a window from corrupted ones by the window's summary. The score is
    the squared distance of the window's mean latent node from the mean over benign training
    windows, which is fitted at every test start and is no part of a checkpoint.
    """

    late_settings = ("corruption",)

    def __init__(
        self,
        conv_type: str = "gatv2",
        hidden_dims: Sequence[int] | None = None,
        latent_dim: int | None = None,
        heads: int | None = None,
        embedding_dim: int | None = None,
        dropout: float = 0.15,
        edge_dim: int = 11,
        proj_dim: int = 0,
        gradient_checkpointing: bool = True,
        compile_model: bool = False,
        batch_norm: bool = True,
        id_encoder_cfg: IdEncodingCfg | Mapping[str, Any] | None = None,
        id_encoder_class_path: str = "graphids.core.models.id_encoding.LookupIdEncoder",
        id_encoder_kwargs: Mapping[str, Any] | None = None,
        lr: float = 0.001,
        weight_decay: float = 0.0001,
        scale: str = "small",
        model_type: str = "dgi",
        dataset: str = "",
        seed: int = 42,
        num_ids: int = 0,
        in_channels: int = 0,
        num_classes: int = 2,
    ) -> None:
        """Records the settings and builds the layers where the sizes are given.

        ``corruption`` is a setting too, an attribute to set before training.

        Raises:
            ValueError: A convolution that does not exist.
        """
        require_conv("conv_type", conv_type)
        super().__init__()
        # A checkpoint holds plain values only, so typed settings are recorded in their plain form.
        id_encoder_cfg = plain_encoding(id_encoder_cfg)
        hidden_dims = None if hidden_dims is None else list(hidden_dims)
        self.save_hyperparameters()
        self.corruption = CORRUPTIONS[0]
        self.loss_fn = InfomaxLoss()
        self.build_if_sized()

    @property
    def corruption(self) -> str:
        """How negative examples are made: one of ``CORRUPTIONS``."""
        return str(self.hparams["corruption"])

    @corruption.setter
    def corruption(self, value: str) -> None:
        require_choice("corruption", value, CORRUPTIONS)
        self.hparams["corruption"] = value

    @property
    def _scale(self) -> DGIScale:
        return DGI_SCALES.get(self.hparams["scale"], DGIScale())

    @property
    def num_heads(self) -> int:
        """Attention heads of the first convolution."""
        return int(self.hparams["heads"] or self._scale.heads)

    def _build(self) -> None:
        settings, scale = self.hparams, self._scale
        latent = settings["latent_dim"] or scale.latent_dim
        # Without widths one wide convolution: the projection makes the latent nodes.
        wide = encoder_targets(None, latent)[:1]
        hidden = settings["hidden_dims"] or scale.hidden_dims or wide
        self.net = DGINetwork(
            self.make_id_encoder(
                settings["num_ids"],
                embedding_dim=settings["embedding_dim"] or scale.embedding_dim,
            ),
            Stacks.of(settings, self.num_heads),
            in_channels=settings["in_channels"],
            targets=encoder_targets(hidden, latent),
            latent_dim=latent,
            proj_dim=settings["proj_dim"],
        )
        self.register_centre(latent)

    def encode(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        node_id: Tensor | None = None,
    ) -> Tensor:
        """Latent nodes ``[V, L]``.

        Args:
            x: Features ``[V, F]``.
            edge_index: Edges ``[2, E]``.
            edge_attr: Edge features ``[E, D]``; none where the convolution does not read them.
            batch: Graph of each node ``[V]``; none is one graph.
            node_id: Id of each node as the id encoder reads it ``[V]``, a hash as it stood on the
                bus; none is the unknown id.
        """
        self.require_built()
        ids = ids_or_unknown(self.net.input.id_encoder, node_id, x)
        return self.net.encode(x, edge_index, edge_attr, batch, ids)

    def forward(self, batch: GraphBatch | Data) -> Tensor:
        """Latent nodes ``[V, L]`` of a batch."""
        self.require_built()
        return self.net(as_graph_batch(batch))

    def summarize(self, z: Tensor, batch: Tensor) -> Tensor:
        """Sigmoid of each graph's mean latent node ``[G, L]``.

        Args:
            z: Latent nodes ``[V, L]``.
            batch: Graph of each node ``[V]``.
        """
        return scores.graph_mean(z, batch, int(batch.max()) + 1).sigmoid()

    def discriminate(self, z: Tensor, summary: Tensor, batch: Tensor) -> Tensor:
        """Probability that a node belongs to its graph ``[V]``: ``sigmoid(z W s)``.

        Args:
            z: Latent nodes ``[V, L]``.
            summary: Summary of each graph ``[G, L]``.
            batch: Graph of each node ``[V]``.
        """
        self.require_built()
        return self.net.logits(z, summary, batch).sigmoid()

    def dgi_loss(self, pos_z: Tensor, neg_z: Tensor, summary: Tensor, batch_idx: Tensor) -> Tensor:
        """Loss ``[]`` of real and corrupted latent nodes ``[V, L]`` (``InfomaxLoss``).

        Args:
            pos_z: Latent nodes of the graphs ``[V, L]``.
            neg_z: Latent nodes of their corruptions ``[V, L]``.
            summary: Summary of each graph ``[G, L]``.
            batch_idx: Graph of each node ``[V]``.
        """
        self.require_built()
        positive = self.net.logits(pos_z, summary, batch_idx)
        return self.loss_fn(positive, self.net.logits(neg_z, summary, batch_idx))

    def compute_loss(
        self, batch: GraphBatch | Data, generator: torch.Generator | None = None
    ) -> Tensor:
        """Loss ``[]`` against a corruption that ``generator`` draws.

        Raises:
            FloatingPointError: The loss is not finite.
        """
        self.require_built()
        batch = as_graph_batch(batch)
        z = self._training_latent(batch)
        corrupted = self._training_latent(corrupt(batch, self.corruption, generator))
        summary = self.summarize(z, batch.batch)
        loss = self.dgi_loss(z, corrupted, summary, batch.batch)
        require_finite(loss, {"loss": loss, "largest_latent": z.abs().max()}, "DGI loss")
        return loss

    def _training_latent(self, batch: GraphBatch) -> Tensor:
        """Latent nodes ``[V, L]``, in chunks where the training asks for them."""
        (z,) = in_chunks(self.net, lambda part: (self.net(part),), batch, chunk=self.chunk)
        return z

    def training_step(self, batch: GraphBatch | Data, batch_idx: int) -> Tensor:
        """Loss of a batch; logs ``train_loss``."""
        batch = as_graph_batch(batch)
        loss = self.compute_loss(batch)
        self.log_epoch({"train_loss": loss.detach()}, batch.num_graphs)
        return loss

    def validation_step(self, batch: GraphBatch | Data, batch_idx: int) -> None:
        """Logs ``val_loss``, the loss of benign windows against one fixed corruption of them.

        Equal weights give equal losses, and attacks do not move it.
        """
        batch = as_graph_batch(batch)
        benign = batch.y == 0
        count = int(benign.sum())
        if count == 0:
            return
        if count < batch.num_graphs:
            batch, _, _ = select_graphs(batch, benign)
        loss = self.compute_loss(batch, fixed_generator(batch.x.device))
        self.log_epoch({"val_loss": loss}, count)

    def embed(self, batch: GraphBatch) -> Tensor:
        """Mean latent node of each window ``[G, L]``."""
        return scores.graph_mean(self.net(batch), batch.batch, batch.num_graphs)

    @torch.no_grad()
    def extract_features(
        self, batch: GraphBatch | Data, device: torch.device | str
    ) -> dict[str, Tensor]:
        """State of each window for a fusion head; it reads no centre.

        Args:
            batch: Window graphs.
            device: Where the model is moved and the batch goes.

        Returns:
            ``pos_stats [G, 3]`` = 1 minus the mean of D, its mean and its deviation over the
            window's nodes, D the probability that a node belongs to its window; ``conf [G, 1]`` =
            1 / (2 - mean of D); ``z_stats [G, 4]``.
        """
        self.require_built()
        self.move_to(device)
        batch = as_graph_batch(batch).to(device)
        with eval_mode(self):
            z = self.net(batch)
            belongs = self.discriminate(z, self.summarize(z, batch.batch), batch.batch)
        mean, deviation = scores.graph_moments(belongs, batch.batch, batch.num_graphs)
        anomaly = 1.0 - mean
        return {
            "pos_stats": torch.stack((anomaly, mean, deviation), dim=-1),
            "conf": (1.0 / (1.0 + anomaly)).unsqueeze(-1),
            "z_stats": scores.latent_statistics(z, batch.batch, batch.num_graphs),
        }
