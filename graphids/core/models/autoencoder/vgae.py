"""Variational graph autoencoder that is trained to fill in hidden nodes of benign windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphids.core.batch import GraphBatch, as_graph_batch
from graphids.core.losses import VGAEOutputs, VGAETaskLoss
from graphids.core.losses.autoencoder import AutoencoderLoss
from graphids.core.losses.finite import require_finite
from graphids.core.models import masking, scores
from graphids.core.models.autoencoder.calibration import CalibratedDetector, WindowAxes
from graphids.core.models.autoencoder.config import EncoderConfig
from graphids.core.models.autoencoder.discrimination import HiddenErrors
from graphids.core.models.autoencoder.network import VGAENetwork, ids_or_unknown
from graphids.core.models.autoencoder.scales import VGAE_SCALES, VGAEScale
from graphids.core.models.autoencoder.stacks import Stacks
from graphids.core.models.checks import require_at_least_one, require_positive, require_share
from graphids.core.models.id_encoding import IdEncodingCfg, plain_encoding
from graphids.core.models.layers import encoder_targets, require_conv
from graphids.core.models.selection import select_graphs, select_outputs
from graphids.core.models.splitting import SplitStep, in_chunks


@dataclass(frozen=True, kw_only=True)
class VGAEConfig(EncoderConfig):
    """Settings of the autoencoder."""

    heads: int = 4
    """Attention heads of the first convolution."""
    embedding_dim: int = 32
    """Length of an id's vector."""
    mlp_hidden: int | None = None
    """Width of the neighbourhood head; none takes the latent one."""
    mask_rate: float = 0.15
    """Share of nodes hidden while training; evaluation uses the nearest whole number of masks."""
    lr: float = 3e-3
    """Learning rate of Adam."""

    def __post_init__(self) -> None:
        self.check(VGAE_SCALES)
        require_at_least_one(self, "heads", "embedding_dim", "mlp_hidden")
        require_share(self, "mask_rate")
        require_positive(self, "mask_rate")

    @property
    def latent_width(self) -> int:
        """Width of the latent nodes."""
        return self.latent_dim or VGAE_SCALES[self.scale].latent_dim

    def build(
        self,
        *,
        num_ids: int,
        in_channels: int,
        num_classes: int = 2,
        loss_fn: nn.Module | None = None,
    ) -> VGAE:
        """The model for data of these sizes; no loss is the task loss."""
        return VGAE(
            loss_fn=loss_fn,
            num_ids=num_ids,
            in_channels=in_channels,
            num_classes=num_classes,
            **self.arguments(),
        )


class VGAE(CalibratedDetector, SplitStep):
    """Variational graph autoencoder (Kipf and Welling 2016) with masked nodes.

    Encodes ids, features and edges of a window into latent nodes; decodes features, ids,
    neighbourhoods and edges. In training the latent is sampled and random nodes are hidden; at
    evaluation the latent is its mean and complementary fixed masks hide every node exactly once, so
    a score is deterministic and does not depend on the other windows of the batch.
    """

    fold_table: Tensor

    def __init__(
        self,
        *,
        loss_fn: nn.Module | None = None,
        conv_type: str = "gatv2",
        hidden_dims: Sequence[int] | None = None,
        latent_dim: int | None = None,
        heads: int = 4,
        embedding_dim: int = 32,
        dropout: float = 0.1,
        edge_dim: int = 11,
        proj_dim: int = 0,
        gradient_checkpointing: bool = True,
        compile_model: bool = False,
        batch_norm: bool = True,
        mlp_hidden: int | None = None,
        id_encoder_cfg: IdEncodingCfg | Mapping[str, Any] | None = None,
        id_encoder_class_path: str = "graphids.core.models.id_encoding.LookupIdEncoder",
        id_encoder_kwargs: Mapping[str, Any] | None = None,
        lr: float = 0.003,
        weight_decay: float = 0.0001,
        mask_rate: float = 0.15,
        score_recon_weight: float = 1.0,
        score_mahal_weight: float = 1.0,
        score_kl_weight: float = 1.0,
        scale: str = "small",
        model_type: str = "vgae",
        dataset: str = "",
        seed: int = 42,
        num_ids: int = 0,
        in_channels: int = 0,
        num_classes: int = 2,
    ) -> None:
        """Records the settings and builds the layers where the sizes are given.

        The three ``score_*_weight`` are kept and weigh nothing: a score is its largest axis.

        Raises:
            ValueError: A convolution that does not exist, or a mask rate outside ``(0, 1)``.
        """
        require_conv("conv_type", conv_type)
        if not 0.0 < mask_rate < 1.0:
            raise ValueError(f"mask_rate must lie in (0, 1) (got {mask_rate})")
        super().__init__()
        # A checkpoint holds plain values only, so typed settings are recorded in their plain form.
        id_encoder_cfg = plain_encoding(id_encoder_cfg)
        hidden_dims = None if hidden_dims is None else list(hidden_dims)
        self.save_hyperparameters(ignore=["loss_fn"])
        self.loss_fn = loss_fn or VGAETaskLoss()
        self._errors = HiddenErrors()
        self.build_if_sized()

    def _build(self) -> None:
        settings = self.hparams
        scale = VGAE_SCALES.get(settings["scale"], VGAEScale())
        latent = settings["latent_dim"] or scale.latent_dim
        self.net = VGAENetwork(
            # One row more than the vocabulary: the id of a hidden node.
            self.make_id_encoder(settings["num_ids"] + 1, mask_index=settings["num_ids"]),
            Stacks.of(settings, settings["heads"]),
            num_ids=settings["num_ids"],
            in_channels=settings["in_channels"],
            targets=encoder_targets(settings["hidden_dims"] or scale.hidden_dims, latent),
            latent_dim=latent,
            head_width=settings["mlp_hidden"] or latent,
            proj_dim=settings["proj_dim"],
        )
        self.num_folds = masking.num_folds(settings["mask_rate"])
        self.register_buffer("fold_table", masking.fold_table(self.num_folds), persistent=False)
        self.register_calibration(latent)

    def encode(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor | None = None,
        batch: Tensor | None = None,
        node_id: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Latent nodes.

        Args:
            x: Features ``[V, F]``.
            edge_index: Edges ``[2, E]``.
            edge_attr: Edge features ``[E, D]``; none where the convolution does not read them.
            batch: Graph of each node ``[V]``; none is one graph.
            node_id: Id of each node as the id encoder reads it ``[V]``, a hash as it stood on the
                bus; none is the unknown id.

        Returns:
            ``z [V, L]``, sampled in training and the mean otherwise; divergence of each node from
            the standard normal ``[V]``, nats per dimension; mean ``[V, L]``.
        """
        self.require_built()
        ids = ids_or_unknown(self.net.input.id_encoder, node_id, x)
        return self.net.encode(x, edge_index, edge_attr, batch, ids)

    def forward(self, batch: GraphBatch | Data, mask: Tensor | None = None) -> VGAEOutputs:
        """The six outputs for a batch, the nodes in ``mask [V]`` hidden."""
        self.require_built()
        outputs, _ = self.net(as_graph_batch(batch), mask)
        return outputs

    def compute_loss(
        self, batch: GraphBatch | Data, generator: torch.Generator | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss ``[]`` with random nodes hidden, and its unweighted terms.

        Raises:
            FloatingPointError: The loss is not finite.
        """
        self.require_built()
        batch = as_graph_batch(batch)
        rate = self.hparams["mask_rate"]
        mask = masking.random_mask(batch.num_nodes, rate, batch.x.device, generator)
        *said, mu = in_chunks(self.net, self._training_outputs, batch, mask, chunk=self.chunk)
        return self._loss(VGAEOutputs(*said), batch, mask, mu)

    def _training_outputs(self, batch: GraphBatch, mask: Tensor) -> tuple[Any, ...]:
        """The six outputs and the mean latent, with the nodes in ``mask [V]`` hidden."""
        outputs, mu = self.net(batch, mask, masked_ids_only=True)
        return *outputs, mu

    def _loss(
        self, outputs: VGAEOutputs, batch: GraphBatch, mask: Tensor, mu: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss of the outputs, and the terms that a loss of an autoencoder remembers."""
        loss = self.loss_fn(outputs, batch, mask, mu)
        terms = self.loss_fn.components() if isinstance(self.loss_fn, AutoencoderLoss) else {}
        require_finite(loss, {"loss": loss, **terms}, "VGAE loss")
        return loss, terms

    def training_step(self, batch: GraphBatch | Data, batch_idx: int) -> Tensor:
        """Loss of a batch; logs ``train_loss`` and its terms, such as ``train_recon``."""
        batch = as_graph_batch(batch)
        loss, terms = self.compute_loss(batch)
        values = {f"train_{name}": value for name, value in terms.items()}
        self.log_epoch({"train_loss": loss.detach(), **values}, batch.num_graphs)
        return loss

    def on_validation_epoch_start(self) -> None:
        """Forgets what an interrupted validation left."""
        self._errors = HiddenErrors()

    def validation_step(self, batch: GraphBatch | Data, batch_idx: int) -> None:
        """Logs ``val_loss``, the loss of benign windows; keeps the errors for the epoch's end.

        Labels of attacks select nothing: they only split off what ``val_loss`` must not see. One
        fixed mask hides the nodes, so equal weights give equal losses.
        """
        self.require_built()
        batch = as_graph_batch(batch)
        mask = self.node_folds(batch) == 0
        outputs, mu = self.net(batch, mask)
        self._errors.add(scores.node_error(batch.x, outputs.reconstruction), mask, batch)
        benign = batch.y == 0
        count = int(benign.sum())
        if count == 0:
            return
        if count < batch.num_graphs:
            batch, nodes, edges = select_graphs(batch, benign)
            outputs, mask, mu = select_outputs(outputs, nodes, edges), mask[nodes], mu[nodes]
        loss, _ = self._loss(outputs, batch, mask, mu)
        self.log_epoch({"val_loss": loss}, count)

    def on_validation_epoch_end(self) -> None:
        """Logs what ``HiddenErrors`` says of the epoch."""
        self.log_dict(self._errors.values())
        self._errors = HiddenErrors()
        super().on_validation_epoch_end()

    def node_folds(self, batch: GraphBatch) -> Tensor:
        """Fold ``[V]`` in which each node is hidden at evaluation."""
        self.require_built()
        return masking.node_folds(batch.batch, batch.num_graphs, self.fold_table)

    def window_axes(self, batch: GraphBatch) -> WindowAxes:
        """Axes of each window from one unmasked encoding and one masked one per fold."""
        z, kl, mu = self.net.encode_batch(batch)
        error = self.net.hidden_error(batch, self.node_folds(batch), self.num_folds)
        graphs = batch.num_graphs
        affinity = scores.node_affinity(z, batch.edge_index)
        axes = (
            scores.graph_mean(error, batch.batch, graphs),
            scores.graph_max(error, batch.batch, graphs),
            scores.graph_mean(affinity, batch.batch, graphs),
            scores.rayleigh_quotient(batch.x, batch.edge_index, batch.batch, graphs),
        )
        return WindowAxes(axes=torch.stack(axes, dim=-1), z=z, kl=kl, mu=mu)
