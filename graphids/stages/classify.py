"""The supervised detector: a GAT trained on labelled windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from graphids.core.budget import Budget
from graphids.core.losses import SoftLabelDistillation, WindowLoss, build_loss
from graphids.core.memory import trial_device
from graphids.core.models.supervised.gat import GAT, GATConfig
from graphids.core.models.tau_norm import apply_tau_norm
from graphids.data.splits import Part
from graphids.grid.trial import Trial
from graphids.stages.dataset import Prepared
from graphids.stages.demands import chunk_of, training_demand
from graphids.stages.detect import TrainedDetector, detector_handoff, require_loss
from graphids.stages.handoff import Handoff
from graphids.stages.latency import detector_latency, with_latency
from graphids.stages.measure import measure_training
from graphids.stages.prepare import Prepare
from graphids.stages.protocol import TRAIN, Demand, Measured, Report, Sizes, Stage
from graphids.stages.record import Record, difficulty, recorded_logits
from graphids.stages.sampling import Curriculum, LossClock, Undersample, random_difficulty
from graphids.stages.sizes import BENIGN, CALIBRATION, TESTS
from graphids.stages.training import FitConfig, fit, seed_everything

LOSSES = ("ce", "weighted_ce", "focal")
"""Losses of a classifier."""


@dataclass(frozen=True, kw_only=True)
class SoftLabelConfig:
    """How a student classifier is drawn towards its teacher."""

    temperature: float = 4.0
    """Divides the logits of both."""
    alpha: float = 0.7
    """Share of the teacher in the loss."""

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"temperature must be positive (got {self.temperature})")
        if not 0.0 <= self.alpha <= 1.0:
            raise ValueError(f"alpha must lie in [0, 1] (got {self.alpha})")


@dataclass(frozen=True, kw_only=True)
class Classify:
    """A graph attention network that tells windows with an attack from those without."""

    name: ClassVar[str] = "classify"
    version: ClassVar[int] = 3
    seeded: ClassVar[bool] = True

    data: Prepare = field(default_factory=Prepare)
    """The prepared dataset."""
    model: GATConfig = field(default_factory=GATConfig)
    """The network."""
    loss: str = "ce"
    """Loss: ``ce``, ``weighted_ce`` or ``focal``."""
    tau_norm: float = 0.0
    """Power of the norm that divides the last layer's rows after training; 0 leaves them."""
    sampling: Curriculum | Undersample | None = None
    """Which benign windows count, and when; none lets all count always."""
    scorer: Record | None = None
    """Who says how hard a window is; none draws it at random."""
    teacher: Record | None = None
    """What a larger classifier said of the training windows; none trains without a teacher."""
    distill: SoftLabelConfig = field(default_factory=SoftLabelConfig)
    """How the teacher counts."""
    batch: Budget = field(default_factory=Budget)
    """Nodes and edges of one optimiser step."""
    fit: FitConfig = field(default_factory=FitConfig)
    """How long it trains."""

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)} (got {self.loss!r})")
        if not 0.0 <= self.tau_norm <= 1.0:
            raise ValueError(f"tau_norm must lie in [0, 1] (got {self.tau_norm})")
        if self.model.sequence_pool != "auto" and self.data.sequence_length == 1:
            raise ValueError(
                f"sequence_pool {self.model.sequence_pool!r} needs sequences, and the data has "
                "single windows; set data.sequence_length or leave sequence_pool at 'auto'"
            )
        if self.teacher is not None:
            self.teacher.require("teacher", self.data, detector="classify")
        if self.scorer is not None:
            if self.sampling is None:
                raise ValueError("a scorer is of no use without sampling; set both or none")
            self.scorer.require("scorer", self.data)

    def upstream(self) -> Mapping[str, Stage]:
        """The prepared dataset, and the scorer and the teacher where there are any."""
        roles = {"data": self.data, "scorer": self.scorer, "teacher": self.teacher}
        return {role: stage for role, stage in roles.items() if stage is not None}

    def demand(self, inputs: Sizes) -> Demand:
        """One core or a GPU, for as long as the epochs take."""
        cost = 2.0 * self.fit.max_epochs
        share = 1.0
        if isinstance(self.sampling, Undersample) and inputs.known:
            benign = inputs.parts[BENIGN].graphs
            share = self.sampling.share(benign, inputs.parts[TRAIN].graphs - benign)
        passes = (CALIBRATION, TESTS)
        return training_demand(inputs, self.batch, self.fit, TRAIN, passes, cost, share)

    def shape(self) -> Classify:
        """Data, network and batch: losses of windows are small beside them."""
        return Classify(data=self.data.shape(), model=self.model, batch=self.batch)

    def probe(self, data: Handoff) -> Measured:
        """Measures steps of training and passes that score."""
        prepared = Prepared.of(data)
        with torch.random.fork_rng(devices=[]):
            model = self.untrained(prepared)
        return measure_training(
            model, model.predict_scores, prepared, self.batch, benign_only=False
        )

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        """Trains, then scores validation and every test subset."""
        seed = trial.seed or 0
        prepared = Prepared.of(inputs["data"])
        hardness = self._difficulty(prepared, inputs, seed)
        index = None
        if isinstance(self.sampling, Undersample):
            index = self.sampling.index(hardness, prepared)
        data = prepared.data_module(self.batch, seed, index=index, holds=trial.holds)
        seed_everything(seed)
        loss = self._loss(prepared, inputs, hardness)
        model = self.model.build(
            num_ids=data.num_ids,
            in_channels=data.in_channels,
            num_classes=data.num_classes,
            loss_fn=loss,
        )
        require_loss(model, loss)
        # Weights of a ramp that is not over would be those of another curriculum.
        first = (
            self.sampling.ramp_epochs(self.fit.max_epochs) - 1
            if isinstance(self.sampling, Curriculum)
            else 0
        )
        trained = fit(
            model,
            data,
            self.fit,
            report,
            [LossClock(loss)],
            first_epoch=first,
            chunk=chunk_of(self.batch, trial.holds),
        )
        if self.tau_norm > 0:
            apply_tau_norm(model.net.last_layer, self.tau_norm)
        detector = TrainedDetector.of(model, trained)
        available = len(prepared.index(Part.TRAIN))
        seen = available if index is None else len(index)
        facts = {"training_windows": available, "windows_seen": seen}
        found = detector_handoff(trial, detector, model.predict_scores, prepared, data, facts=facts)
        compiled = self.model.compile_model
        latency = detector_latency(
            {"classifier": model}, model.predict_scores, prepared.train, compiled=compiled
        )
        return with_latency(found, latency)

    def untrained(self, prepared: Prepared) -> GAT:
        """The network with random weights and its plain loss, on the trial's device."""
        return self.model.build(
            num_ids=prepared.train.num_ids,
            in_channels=prepared.train.num_features,
            num_classes=2,
            loss_fn=window_loss(self.loss, reduction="mean"),
        ).to(trial_device())

    def _difficulty(self, prepared: Prepared, inputs: Mapping[str, Handoff], seed: int) -> Tensor:
        """Difficulty of every window of the training captures ``[G]``."""
        if self.scorer is not None:
            return difficulty(inputs["scorer"], prepared)
        return random_difficulty(len(prepared.train), seed)

    def _loss(
        self, prepared: Prepared, inputs: Mapping[str, Handoff], hardness: Tensor
    ) -> WindowLoss:
        """The loss asked for: a curriculum around distillation around the plain loss."""
        in_curriculum = isinstance(self.sampling, Curriculum)
        loss = window_loss(self.loss, reduction="none" if in_curriculum else "mean")
        if self.teacher is not None:
            teacher = recorded_logits(inputs["teacher"])
            loss = SoftLabelDistillation(loss, teacher, **asdict(self.distill))
        if isinstance(self.sampling, Curriculum):
            loss = self.sampling.loss(loss, hardness, prepared, self.fit.max_epochs)
        return loss


def window_loss(name: str, reduction: str) -> WindowLoss:
    """The plain loss called ``name``.

    Raises:
        TypeError: The name is that of a loss of another kind.
    """
    loss = build_loss(name, reduction=reduction)
    if not isinstance(loss, WindowLoss):
        raise TypeError(f"{name!r} is a {type(loss).__name__}, not a loss of windows")
    return loss
