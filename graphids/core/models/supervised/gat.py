"""Attack classifier: graph attention, an LSTM over the layers' outputs, pooling, a small head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphids.core.batch import GraphBatch, as_graph_batch
from graphids.core.losses import CrossEntropy, RunningLoss, WindowLoss
from graphids.core.losses.finite import require_finite
from graphids.core.models.base import GraphModuleBase, eval_mode
from graphids.core.models.checks import (
    require_at_least_one,
    require_choice,
    require_non_negative,
    require_positive,
    require_share,
)
from graphids.core.models.id_encoding import IdEncodingCfg, plain_encoding
from graphids.core.models.layers import CONV_TYPES, SELF_LOOPS, ConvSpec, require_conv
from graphids.core.models.splitting import SplitStep, in_chunks
from graphids.core.models.supervised.evidence import accuracy, attack_probability, window_features
from graphids.core.models.supervised.network import Activations, GATNetwork
from graphids.core.models.supervised.pooling import POOLINGS, SEQUENCE_POOLS
from graphids.core.models.supervised.scales import FALLBACK_SCALE, SCALES


@dataclass(frozen=True, kw_only=True)
class GATConfig:
    """Settings of the classifier."""

    conv: str = "gatv2"
    """Graph convolution."""
    self_loops: str = "pyg"
    """What the convolution does with a node's own edges: a value of ``SELF_LOOPS``."""
    scale: str = "small"
    """Preset of hidden width, layers and heads."""
    hidden: int | None = None
    """Width per head; none takes the scale's."""
    layers: int | None = None
    """Convolutions; none takes the scale's."""
    heads: int | None = None
    """Attention heads; none takes the scale's."""
    dropout: float = 0.2
    """Share of activations dropped while training."""
    fc_layers: int = 3
    """Linear layers of the head."""
    embedding_dim: int = 16
    """Length of an id's vector."""
    pooling: str = "mean"
    """How nodes become a window: a name of ``POOLINGS``; ``multi`` sets three side by side."""
    sequence_pool: str = "auto"
    """How the steps of a sequence become one window: a value of ``SEQUENCE_POOLS``."""
    proj_dim: int = 0
    """Width to which the features are projected; 0 leaves them."""
    p_unk_drop: float = 0.1
    """Probability that an id reads as unknown while training."""
    ids: IdEncodingCfg | None = None
    """Encoder of the ids, with its own length and probability; none is a table with those above."""
    lr: float = 1e-3
    """Learning rate of Adam."""
    weight_decay: float = 1e-4
    """Weight decay of Adam."""
    gradient_checkpointing: bool = False
    """Recompute the convolutions in the backward pass to save memory."""
    compile_model: bool = False
    """Compile the convolutions."""

    def __post_init__(self) -> None:
        require_choice("conv", self.conv, CONV_TYPES)
        require_choice("self_loops", self.self_loops, SELF_LOOPS)
        require_choice("scale", self.scale, SCALES)
        require_choice("pooling", self.pooling, POOLINGS)
        require_choice("sequence_pool", self.sequence_pool, SEQUENCE_POOLS)
        require_at_least_one(self, "hidden", "layers", "heads", "fc_layers", "embedding_dim")
        require_share(self, "dropout", "p_unk_drop")
        require_positive(self, "lr")
        require_non_negative(self, "weight_decay", "proj_dim")

    def build(
        self,
        *,
        num_ids: int,
        in_channels: int,
        num_classes: int = 2,
        loss_fn: nn.Module | None = None,
    ) -> GAT:
        """The model for data of these sizes."""
        settings = dict(vars(self))
        conv = ConvSpec(settings.pop("conv"), settings.pop("self_loops"))
        return GAT(
            loss_fn=loss_fn,
            conv_type=str(conv),
            pool_aggrs=POOLINGS[settings.pop("pooling")],
            id_encoder_cfg=settings.pop("ids"),
            id_encoder_kwargs={"p_unk_drop": settings.pop("p_unk_drop")},
            num_ids=num_ids,
            in_channels=in_channels,
            num_classes=num_classes,
            **settings,
        )


class GAT(GraphModuleBase, SplitStep):
    """Graph attention classifier (Velickovic et al. 2018; Brody et al. 2022).

    Convolutions with concatenated heads, ReLU and dropout; a bidirectional LSTM weighs the layers
    (Xu et al. 2018); pooled nodes go through ``fc_layers`` linear layers to the logits of the
    window.
    """

    def __init__(
        self,
        *,
        loss_fn: nn.Module | None = None,
        hidden: int | None = None,
        layers: int | None = None,
        heads: int | None = None,
        dropout: float = 0.2,
        fc_layers: int = 3,
        embedding_dim: int = 16,
        conv_type: str = "gatv2",
        edge_dim: int = 11,
        pool_aggrs: Sequence[str] | None = None,
        sequence_pool: str = "auto",
        proj_dim: int = 0,
        gradient_checkpointing: bool = True,
        compile_model: bool = False,
        id_encoder_cfg: IdEncodingCfg | Mapping[str, Any] | None = None,
        id_encoder_class_path: str = "graphids.core.models.id_encoding.LookupIdEncoder",
        id_encoder_kwargs: Mapping[str, Any] | None = None,
        lr: float = 0.001,
        weight_decay: float = 0.0001,
        scale: str = "small",
        model_type: str = "gat",
        dataset: str = "",
        seed: int = 42,
        variational: bool = True,
        num_ids: int = 0,
        in_channels: int = 0,
        num_classes: int = 2,
    ) -> None:
        """Records the settings and builds the layers where the sizes are given.

        Raises:
            ValueError: A convolution or sequence pooling that does not exist.
        """
        require_conv("conv_type", conv_type)
        require_choice("sequence_pool", sequence_pool, SEQUENCE_POOLS)
        super().__init__()
        # A checkpoint holds plain values only, so typed settings are recorded in their plain form.
        id_encoder_cfg = plain_encoding(id_encoder_cfg)
        pool_aggrs = None if pool_aggrs is None else list(pool_aggrs)
        self.save_hyperparameters(ignore=["loss_fn"])
        self.loss_fn = loss_fn or CrossEntropy()
        self._val_loss = RunningLoss(self.loss_fn)
        self.build_if_sized()

    @property
    def num_heads(self) -> int:
        """Attention heads of each convolution."""
        return int(self.hparams["heads"] or SCALES.get(self.hparams["scale"], FALLBACK_SCALE)[2])

    def _build(self) -> None:
        settings = self.hparams
        hidden, layers, _ = SCALES.get(settings["scale"], FALLBACK_SCALE)
        self.net = GATNetwork(
            self.make_id_encoder(settings["num_ids"]),
            in_channels=settings["in_channels"],
            num_classes=settings["num_classes"],
            edge_dim=settings["edge_dim"],
            conv_type=settings["conv_type"],
            hidden=settings["hidden"] or hidden,
            num_layers=settings["layers"] or layers,
            heads=self.num_heads,
            fc_layers=settings["fc_layers"],
            aggregations=settings["pool_aggrs"] or ["mean"],
            sequence_pool=settings["sequence_pool"],
            proj_dim=settings["proj_dim"],
            dropout=settings["dropout"],
            checkpointed=settings["gradient_checkpointing"],
            compiled=settings["compile_model"],
        )

    def forward(
        self,
        batch: GraphBatch | Data,
        *,
        return_intermediate: bool = False,
        return_attention_weights: bool = False,
        return_embedding: bool = False,
    ) -> Tensor | tuple[Any, ...]:
        """Logits ``[G, K]``; where more is asked for, a tuple of them and it, in this order.

        Args:
            batch: Window graphs.
            return_embedding: The pooled windows ``[G, H * aggregations]``.
            return_intermediate: What ``layer_outputs`` gives.
            return_attention_weights: What ``attention_weights`` gives.
        """
        batch, found = self._activations(batch)
        asked: list[Any] = [found.embedding] if return_embedding else []
        if return_intermediate:
            asked.append(found.layers)
        if return_attention_weights:
            asked.append(self.net.attention_weights(batch, found))
        return (found.logits, *asked) if asked else found.logits

    def _activations(self, batch: GraphBatch | Data) -> tuple[GraphBatch, Activations]:
        self.require_built()
        batch = as_graph_batch(batch)
        return batch, self.net(batch)

    def layer_outputs(self, batch: GraphBatch | Data) -> list[Tensor]:
        """Nodes after each convolution, ``[V, H]`` each."""
        return self._activations(batch)[1].layers

    def attention_weights(self, batch: GraphBatch | Data) -> list[tuple[Tensor, Tensor]]:
        """Edges as each convolution sees them ``[2, E']`` and their weights ``[E', heads]``.

        The loops that a convolution adds are among them. GPS says those of its GATv2.
        """
        return self.net.attention_weights(*self._activations(batch))

    @torch.no_grad()
    def predict_scores(self, batch: GraphBatch | Data) -> Tensor:
        """Probability of an attack ``[G]``, float64, in evaluation mode."""
        with eval_mode(self):
            return attack_probability(self._activations(batch)[1].logits)

    @property
    def decision_threshold(self) -> float:
        """Threshold from validation, else one half."""
        return 0.5 if self.test_threshold is None else self.test_threshold

    def compute_loss(self, batch: GraphBatch | Data) -> tuple[Tensor, Tensor]:
        """Loss ``[]`` and logits ``[G, K]``.

        Raises:
            FloatingPointError: The loss is not finite.
        """
        self.require_built()
        batch = as_graph_batch(batch)
        (logits,) = in_chunks(
            self.net, lambda part: (self.net(part).logits,), batch, chunk=self.chunk
        )
        loss = self.loss_fn(logits, batch.y, graph=batch)
        require_finite(loss, {"loss": loss, "largest_logit": logits.abs().max()}, "GAT loss")
        return loss, logits

    def training_step(self, batch: GraphBatch | Data, batch_idx: int) -> Tensor:
        """Loss of a batch; logs ``train_loss``, its parts if it has any, and ``train_acc``."""
        batch = as_graph_batch(batch)
        loss, logits = self.compute_loss(batch)
        parts = self.loss_fn.components() if isinstance(self.loss_fn, WindowLoss) else {}
        values = {"loss": loss.detach(), "acc": accuracy(logits, batch.y), **parts}
        self.log_epoch({f"train_{name}": v for name, v in values.items()}, batch.num_graphs)
        return loss

    def validation_step(self, batch: GraphBatch | Data, batch_idx: int) -> None:
        """Logs ``val_acc``; the epoch's end logs ``val_loss`` and ``val_auroc``."""
        batch = as_graph_batch(batch)
        loss, logits = self.compute_loss(batch)
        self._val_loss.add(loss, batch.y)
        self.log_epoch({"val_acc": accuracy(logits, batch.y)}, batch.num_graphs)
        self.collect_validation(attack_probability(logits), batch.y)

    def on_validation_epoch_start(self) -> None:
        """Forgets what an interrupted validation left."""
        self._val_loss = RunningLoss(self.loss_fn)

    def on_validation_epoch_end(self) -> None:
        """Logs ``val_loss``, that of all windows whatever the batches, and ``val_auroc``."""
        loss = self._val_loss.value()
        if loss is not None:
            self.log("val_loss", loss)
        super().on_validation_epoch_end()

    @torch.no_grad()
    def extract_features(
        self, batch: GraphBatch | Data, device: torch.device | str
    ) -> dict[str, Tensor]:
        """``window_features`` of each window, for a fusion head; the model moves to ``device``."""
        self.require_built()
        self.move_to(device)
        with eval_mode(self):
            _, found = self._activations(as_graph_batch(batch).to(device))
        return window_features(found.logits, found.embedding)
