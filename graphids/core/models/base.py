"""What the graph models share: building once the sizes are known, optimiser, budget."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from lightning import Trainer
from torch import Tensor, nn
from torch_geometric.data import Data

from graphids.core.batch import GraphBatch, as_graph_batch
from graphids.core.budget import SizedGraphs, node_budget
from graphids.core.losses import describe_loss
from graphids.core.models.checkpoint import safe_load_checkpoint, strip_orig_mod_prefix
from graphids.core.models.evaluation import ScoringModule, adam
from graphids.core.models.id_encoding import IdEncoder, build_encoder, encoding_cfg
from graphids.core.models.layers import parse_conv

NOT_COMPILED = frozenset({"gps"})
"""Convolutions whose shapes depend on the data in ways that break a compiled graph."""


class GraphData(Protocol):
    """What a model reads from a data module."""

    @property
    def num_ids(self) -> int:
        """Size of the vocabulary, unknown included."""

    @property
    def in_channels(self) -> int:
        """Node features."""

    @property
    def num_classes(self) -> int:
        """Classes of a window."""

    @property
    def test_names(self) -> Sequence[str]:
        """Name of each test loader."""

    @property
    def attack_names(self) -> Mapping[int, str]:
        """Name of each attack code."""

    def calibration_dataloader(self) -> Iterable[GraphBatch]:
        """Batches of the second half of validation, fixed order."""

    def train_eval_dataloader(self) -> Iterable[GraphBatch]:
        """Batches of the benign training windows, fixed order."""


def attached_data(trainer: Trainer) -> GraphData | None:
    """Data module that the Trainer was started with, if any; Lightning sets it untyped."""
    found: GraphData | None = vars(trainer).get("datamodule")
    return found


class GraphModuleBase(ScoringModule):
    """A model of window graphs, built in its constructor or, once, from a data module.

    A subclass records its settings by ``save_hyperparameters`` and gives ``_build``, which makes
    the layers from ``self.hparams``.
    """

    loss_fn: nn.Module

    def __init__(self) -> None:
        super().__init__()
        self._built = False
        self._budgets: dict[str, dict[str, Any]] = {}

    @property
    def built(self) -> bool:
        """True once the layers exist."""
        return self._built

    def _build(self) -> None:
        """Makes the layers; ``self.hparams`` holds every size."""
        raise NotImplementedError

    def extract_features(
        self, batch: GraphBatch | Data, device: torch.device | str
    ) -> dict[str, Tensor]:
        """What the fusion reads of each window: ``[G, n]`` by the name of the feature."""
        raise NotImplementedError

    def build_if_sized(self) -> None:
        """Builds where the settings give both sizes; the end of a subclass's constructor."""
        if self.hparams["num_ids"] > 0 and self.hparams["in_channels"] > 0:
            self._build()
            self._built = True

    def require_built(self) -> None:
        """Raises while the layers do not exist.

        Raises:
            RuntimeError: Says how to build.
        """
        if not self._built:
            raise RuntimeError(
                f"{type(self).__name__} has no layers yet; give num_ids and in_channels to the "
                "constructor or call prepare_from_datamodule(datamodule)"
            )

    def prepare_from_datamodule(self, dm: GraphData) -> None:
        """Takes names from ``dm`` and, where the model is not built yet, the sizes, and builds it.

        Raises:
            ValueError: The data module's sizes differ from those that the model was built with.
        """
        self.test_names = tuple(dm.test_names)
        self.attack_names = dict(dm.attack_names)
        sizes = {
            "num_ids": dm.num_ids,
            "in_channels": dm.in_channels,
            "num_classes": dm.num_classes,
        }
        if self._built:
            own = {name: self.hparams[name] for name in sizes}
            if own != sizes:
                raise ValueError(
                    f"{type(self).__name__} was built for {own}, the data has {sizes}; "
                    "prepare the data with the vocabulary of the training run"
                )
            return
        self.hparams.update(sizes)
        self.build_if_sized()
        self.require_built()

    def setup(self, stage: str) -> None:
        """Builds from the Trainer's data module where the sizes were not given."""
        datamodule = attached_data(self.trainer)
        if datamodule is not None:
            self.prepare_from_datamodule(datamodule)
        self.require_built()

    def make_id_encoder(
        self, num_ids: int, *, mask_index: int | None = None, embedding_dim: int | None = None
    ) -> IdEncoder:
        """The encoder that the settings name: typed settings win over path and keywords.

        Args:
            num_ids: Rows of the vocabulary, those of unknown and hidden ids included.
            mask_index: Row of hidden ids; none where the model hides none.
            embedding_dim: Length of a vector; none takes the settings'.
        """
        cfg = encoding_cfg(self.hparams["id_encoder_cfg"])
        if cfg is not None:
            return cfg.build(num_ids, mask_index=mask_index)
        return build_encoder(
            self.hparams["id_encoder_class_path"],
            num_ids,
            embedding_dim or self.hparams["embedding_dim"],
            mask_index=mask_index,
            **(self.hparams["id_encoder_kwargs"] or {}),
        )

    def loss_description(self) -> dict[str, object] | None:
        """Name and settings of the loss; none where its class is not one of ``LOSSES``."""
        return describe_loss(self.loss_fn)

    def targets(self, batch: GraphBatch | Data) -> tuple[Tensor, Tensor | None]:
        """Labels and attack codes ``[G]``."""
        joined = as_graph_batch(batch)
        return joined.y, joined.attack_type

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam with the settings' ``lr`` and ``weight_decay``."""
        return adam(self.parameters(), self.hparams["lr"], self.hparams["weight_decay"])

    @property
    def num_heads(self) -> int:
        """Attention heads of the first convolution; a subclass with presets knows the preset's."""
        return int(self.hparams["heads"])

    @property
    def quadratic_heads(self) -> int | None:
        """Heads with which every node attends to every node; none where only edges count."""
        return self.num_heads if parse_conv(self.hparams["conv_type"]).kind == "gps" else None

    def compute_budget(
        self, train_dataset: SizedGraphs, dataset_name: str, min_steps: int | None = None
    ) -> dict[str, Any]:
        """Nodes and edges that one batch may hold; kept per dataset.

        Measured on a few steps where the layers exist and the dataset gives graphs, else estimated.

        Args:
            train_dataset: Packed training graphs.
            dataset_name: Key under which the result is kept.
            min_steps: Fewest batches of an epoch; none means 1.

        Returns:
            What ``graphids.core.budget.node_budget`` says of this model.
        """
        key = f"{dataset_name}/{min_steps or 1}"
        if key not in self._budgets:
            self._budgets[key] = node_budget(
                dataset_name, model=self, train_dataset=train_dataset, min_steps=min_steps
            )
        return self._budgets[key]


class ScoreBasedDetectorMixin(GraphModuleBase):
    """A detector whose score is a distance from benign windows, calibrated before it scores."""

    def __init__(self) -> None:
        super().__init__()

    def score(self, batch: GraphBatch | Data) -> Tensor:
        """Scores ``[G]``, higher is more anomalous.

        Raises:
            RuntimeError: The detector is not calibrated.
        """
        raise NotImplementedError

    def on_test_setup(self, datamodule: GraphData, device: torch.device | str) -> None:
        """Calibrates on benign windows of ``datamodule``."""
        raise NotImplementedError

    def calibration(self) -> dict[str, Tensor]:
        """What ``on_test_setup`` fitted, by name, on the CPU: an artefact beside the checkpoint.

        Raises:
            RuntimeError: The detector is not calibrated.
        """
        raise NotImplementedError

    def load_calibration(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes what ``calibration`` gave, in place of a fit.

        Raises:
            KeyError: A statistic is missing.
            ValueError: One is unknown or of another shape.
        """
        raise NotImplementedError

    def predict_scores(self, batch: GraphBatch | Data) -> Tensor:
        """Scores ``[G]``, float64."""
        return self.score(batch).double()

    def on_test_start(self) -> None:
        """Calibrates from the Trainer's data module, where it has one."""
        datamodule = attached_data(self.trainer)
        if datamodule is not None:
            self.on_test_setup(datamodule, self.device)

    def on_predict_start(self) -> None:
        """Calibrates from the Trainer's data module, where it has one."""
        self.on_test_start()


@contextmanager
def eval_mode(model: nn.Module) -> Iterator[nn.Module]:
    """Evaluation mode for the block; afterwards what was training trains again.

    The block sets nothing to train.
    """
    training = [module for module in model.modules() if module.training]
    if training:
        model.eval()
    try:
        yield model
    finally:
        for module in training:
            module.training = True


def try_compile(model: nn.Module, *, conv_type: str | None = None, **kwargs: Any) -> nn.Module:
    """``model`` compiled for dynamic shapes, or as it is where its convolution cannot be compiled.

    The return value is the compiled module; the argument stays uncompiled.

    Args:
        model: A module of tensors.
        conv_type: Convolution inside it.
        **kwargs: Further arguments of ``torch.compile``.
    """
    if conv_type is not None and conv_type.partition("+")[0] in NOT_COMPILED:
        return model
    compiled = torch.compile(model, dynamic=True, **kwargs)
    assert isinstance(compiled, nn.Module)
    return compiled


__all__ = [
    "GraphData",
    "GraphModuleBase",
    "ScoreBasedDetectorMixin",
    "SizedGraphs",
    "eval_mode",
    "safe_load_checkpoint",
    "strip_orig_mod_prefix",
    "try_compile",
]
