"""The supervised detector: a GAT trained on labelled windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from graphids.core.budget import Budget
from graphids.core.losses import build_loss
from graphids.core.models.supervised.gat import GATConfig
from graphids.grid.trial import Trial
from graphids.stages.dataset import Prepared
from graphids.stages.detect import detector_handoff
from graphids.stages.handoff import Handoff
from graphids.stages.prepare import Prepare
from graphids.stages.protocol import Demand, Report, Sizes, Stage
from graphids.stages.training import FitConfig, fit, seed_everything

LOSSES = ("ce", "weighted_ce", "focal")
"""Losses of a classifier."""


@dataclass(frozen=True, kw_only=True)
class Classify:
    """A graph attention network that tells windows with an attack from those without."""

    name: ClassVar[str] = "classify"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = True

    data: Prepare = field(default_factory=Prepare)
    """The prepared dataset."""
    model: GATConfig = field(default_factory=GATConfig)
    """The network."""
    loss: str = "ce"
    """Loss: ``ce``, ``weighted_ce`` or ``focal``."""
    batch: Budget = field(default_factory=Budget)
    """Nodes and edges of one optimiser step."""
    fit: FitConfig = field(default_factory=FitConfig)
    """How long it trains."""

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)} (got {self.loss!r})")

    def upstream(self) -> Mapping[str, Stage]:
        """The prepared dataset."""
        return {"data": self.data}

    def demand(self, inputs: Sizes) -> Demand:
        """One core or a GPU, for as long as the epochs take."""
        return Demand(accelerated=True, cost=2.0 * self.fit.max_epochs)

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        """Trains, then scores validation and every test subset."""
        seed = trial.seed or 0
        prepared = Prepared.of(inputs["data"])
        data = prepared.data_module(self.batch, seed)
        seed_everything(seed)
        model = self.model.build(
            num_ids=data.num_ids,
            in_channels=data.in_channels,
            num_classes=data.num_classes,
            loss_fn=build_loss(self.loss),
        )
        trained = fit(model, data, self.fit, report)
        return detector_handoff(trial, model, model.predict_scores, prepared, data, trained)
