"""The unsupervised detector: an autoencoder trained on benign windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from graphids.core.budget import Budget
from graphids.core.memory import trial_device
from graphids.core.models.autoencoder.vgae import VGAEConfig
from graphids.grid.trial import Trial
from graphids.stages.dataset import Prepared
from graphids.stages.detect import detector_handoff
from graphids.stages.handoff import Handoff
from graphids.stages.prepare import Prepare
from graphids.stages.protocol import Demand, Report, Sizes, Stage
from graphids.stages.training import FitConfig, fit, seed_everything


@dataclass(frozen=True, kw_only=True)
class Autoencode:
    """A variational graph autoencoder whose errors, far from benign ones, mean an attack."""

    name: ClassVar[str] = "autoencode"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = True

    data: Prepare = field(default_factory=Prepare)
    """The prepared dataset."""
    model: VGAEConfig = field(default_factory=VGAEConfig)
    """The network."""
    batch: Budget = field(default_factory=Budget)
    """Nodes and edges of one optimiser step."""
    fit: FitConfig = field(default_factory=FitConfig)
    """How long it trains."""

    def upstream(self) -> Mapping[str, Stage]:
        """The prepared dataset."""
        return {"data": self.data}

    def demand(self, inputs: Sizes) -> Demand:
        """One core or a GPU, for as long as the epochs take."""
        return Demand(accelerated=True, cost=1.5 * self.fit.max_epochs)

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        """Trains on benign windows, calibrates on benign validation windows, then scores."""
        seed = trial.seed or 0
        prepared = Prepared.of(inputs["data"])
        data = prepared.data_module(self.batch, seed, benign_only=True)
        seed_everything(seed)
        model = self.model.build(
            num_ids=data.num_ids, in_channels=data.in_channels, num_classes=data.num_classes
        )
        trained = fit(model, data, self.fit, report)
        model.on_test_setup(data, trial_device())
        return detector_handoff(trial, model, model.score, prepared, data, trained)
