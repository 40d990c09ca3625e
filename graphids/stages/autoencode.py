"""The unsupervised detector: an autoencoder or a contrastive encoder, trained on benign windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import ClassVar

import torch

from graphids.core.budget import Budget
from graphids.core.losses import FeatureDistillation, RecordedNodes, VGAETaskLoss
from graphids.core.losses.autoencoder import AutoencoderLoss
from graphids.core.memory import trial_device
from graphids.core.models.autoencoder import DGIConfig, VGAEConfig
from graphids.core.models.autoencoder.fitted import FittedDetector
from graphids.grid.trial import Trial
from graphids.stages.dataset import Prepared
from graphids.stages.demands import chunk_of, training_demand
from graphids.stages.detect import TrainedDetector, detector_handoff, require_loss
from graphids.stages.handoff import Handoff
from graphids.stages.latency import detector_latency, with_latency
from graphids.stages.measure import measure_training
from graphids.stages.prepare import Prepare
from graphids.stages.protocol import Demand, Measured, Report, Sizes, Stage
from graphids.stages.record import Record, recorded_nodes
from graphids.stages.sizes import BENIGN, CALIBRATION, TESTS
from graphids.stages.training import FitConfig, fit, seed_everything


@dataclass(frozen=True, kw_only=True)
class FeatureDistillConfig:
    """How a student autoencoder is drawn towards its teacher."""

    alpha: float = 0.7
    """Share of the teacher in the loss."""
    latent_weight: float = 1.0
    """Weight of the distance between the latent means."""
    recon_weight: float = 1.0
    """Weight of the distance between the reconstructions."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.alpha <= 1.0:
            raise ValueError(f"alpha must lie in [0, 1] (got {self.alpha})")
        if min(self.latent_weight, self.recon_weight) < 0.0:
            raise ValueError(
                "latent_weight and recon_weight must not be negative "
                f"(got {self.latent_weight} and {self.recon_weight})"
            )


@dataclass(frozen=True, kw_only=True)
class Autoencode:
    """A detector without labels: windows that it did not learn to explain are attacks."""

    name: ClassVar[str] = "autoencode"
    version: ClassVar[int] = 3
    seeded: ClassVar[bool] = True

    data: Prepare = field(default_factory=Prepare)
    """The prepared dataset."""
    model: VGAEConfig | DGIConfig = field(default_factory=VGAEConfig)
    """The network."""
    teacher: Record | None = None
    """What a larger autoencoder said of the training windows; none trains without a teacher."""
    distill: FeatureDistillConfig = field(default_factory=FeatureDistillConfig)
    """How the teacher counts."""
    batch: Budget = field(default_factory=Budget)
    """Nodes and edges of one optimiser step."""
    fit: FitConfig = field(default_factory=FitConfig)
    """How long it trains."""

    def __post_init__(self) -> None:
        if self.teacher is not None:
            self.teacher.require("teacher", self.data, detector="autoencode", nodes=True)
            if not isinstance(self.model, VGAEConfig):
                raise ValueError(
                    f"a teacher needs a VGAE as its student (got {type(self.model).__name__}): "
                    "latents and reconstructions are what is distilled"
                )

    def upstream(self) -> Mapping[str, Stage]:
        """The prepared dataset, and the teacher where there is one."""
        return {"data": self.data} | ({"teacher": self.teacher} if self.teacher else {})

    def demand(self, inputs: Sizes) -> Demand:
        """One core or a GPU, for as long as the epochs take."""
        cost = 1.5 * self.fit.max_epochs
        # Calibration and scores: each a pass over the second half of validation.
        passes = (CALIBRATION, CALIBRATION, TESTS)
        return training_demand(inputs, self.batch, self.fit, BENIGN, passes, cost)

    def shape(self) -> Autoencode:
        """Data, network and batch, and the teacher whose outputs lie beside them."""
        teacher = self.teacher.shape() if self.teacher else None
        return Autoencode(
            data=self.data.shape(), model=self.model, batch=self.batch, teacher=teacher
        )

    def probe(self, data: Handoff) -> Measured:
        """Measures steps of training and passes that score.

        What a teacher said has the right shape and no meaning.
        """
        prepared = Prepared.of(data)
        with torch.random.fork_rng(devices=[]):
            model = self.untrained(prepared)
        return measure_training(model, model.score, prepared, self.batch, benign_only=True)

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        """Trains on benign windows, calibrates on benign validation windows, then scores."""
        seed = trial.seed or 0
        prepared = Prepared.of(inputs["data"])
        data = prepared.data_module(self.batch, seed, benign_only=True, holds=trial.holds)
        seed_everything(seed)
        # A projection draws from the same source as the model, which must not start elsewhere.
        with torch.random.fork_rng(devices=[]):
            loss = None
            if self.teacher:
                loss = self._distillation(recorded_nodes(inputs["teacher"], prepared))
        model = self.model.build(
            num_ids=data.num_ids,
            in_channels=data.in_channels,
            num_classes=data.num_classes,
            loss_fn=loss,
        )
        if loss is not None:
            require_loss(model, loss)
        chunk = chunk_of(self.batch, trial.holds)
        detector = TrainedDetector.of(model, fit(model, data, self.fit, report, chunk=chunk))
        model.on_test_setup(data, trial_device())
        fitted = model.calibration()
        found = detector_handoff(trial, detector, model.score, prepared, data, fitted)
        latency = detector_latency({"autoencoder": model}, model.score, prepared.train)
        return with_latency(found, latency)

    def untrained(self, prepared: Prepared) -> FittedDetector:
        """The network with random weights, calibrated to nothing, on the trial's device."""
        teacher = self._silent_teacher(prepared) if self.teacher else None
        model = self.model.build(
            num_ids=prepared.train.num_ids,
            in_channels=prepared.train.num_features,
            num_classes=2,
            loss_fn=self._distillation(teacher) if teacher else None,
        )
        ones = {name: torch.ones_like(model.get_buffer(name)) for name in model.statistics}
        model.load_calibration(ones)
        return model.to(trial_device())

    def _silent_teacher(self, prepared: Prepared) -> RecordedNodes:
        """A teacher of the right size that says nothing."""
        assert self.teacher is not None
        teacher = self.teacher.detector
        assert isinstance(teacher, Autoencode)
        assert isinstance(teacher.model, VGAEConfig)
        nodes = len(prepared.train.x)
        return RecordedNodes(
            torch.zeros(nodes, teacher.model.latent_width),
            torch.zeros(nodes, prepared.train.num_features),
            prepared.train.node_offsets,
        )

    def _distillation(self, nodes: RecordedNodes) -> AutoencoderLoss:
        """The task loss drawn towards what a teacher said of the nodes."""
        assert isinstance(self.model, VGAEConfig)
        return FeatureDistillation(
            VGAETaskLoss(),
            nodes,
            student_dim=self.model.latent_width,
            teacher_dim=nodes.mu.shape[1],
            **asdict(self.distill),
        )
