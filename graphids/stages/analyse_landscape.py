"""How the training loss of a detector rises around the weights that its training found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from graphids.core.analysis.landscape import loss_landscape
from graphids.core.losses import loss_name
from graphids.core.models import GAT
from graphids.data.splits import Part
from graphids.grid.trial import Trial
from graphids.stages.analyse_models import LIGHT, batches_of, mean_loss
from graphids.stages.dataset import Prepared
from graphids.stages.detect import load_detector
from graphids.stages.extract import thinned
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.protocol import Demand, Report, Sizes, Stage
from graphids.stages.record import Detector

LANDSCAPE_FILE = "landscape"


@dataclass(frozen=True, kw_only=True)
class Landscape:
    """Loss over some training windows on a square of steps along two random directions."""

    name: ClassVar[str] = "landscape"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = True

    detector: Detector
    """The stage that trains the detector."""
    points: int = 11
    """Steps along each direction, odd, so that the trained weights are one of them."""
    reach: float = 1.0
    """Longest step; at 1 it is as long as the weights themselves, filter by filter."""
    windows: int = 200
    """Most training windows, drawn at random; benign ones for a detector that trains on these."""

    def __post_init__(self) -> None:
        if self.points < 3 or self.points % 2 == 0:
            raise ValueError(f"points must be odd and at least 3 (got {self.points})")
        if self.reach <= 0 or self.windows < 1:
            raise ValueError(
                "reach must be positive and windows at least 1 "
                f"(got {self.reach} and {self.windows})"
            )

    def upstream(self) -> Mapping[str, Stage]:
        """The prepared dataset and the detector."""
        return {"data": self.detector.data, "detector": self.detector}

    def demand(self, inputs: Sizes) -> Demand:
        """A core, for seconds."""
        return LIGHT

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        """Evaluates the loss at every point, in evaluation mode.

        A loss that a checkpoint cannot restore, such as one that draws towards a teacher, gives way
        to the plain loss of its kind of detector.
        """
        prepared, model = Prepared.of(inputs["data"]), load_detector(inputs["detector"])
        seed = trial.seed or 0
        chance = torch.Generator().manual_seed(seed)
        candidates = prepared.index(Part.TRAIN)
        if not isinstance(model, GAT):
            candidates = candidates[prepared.train.y[candidates] == 0]
        index = thinned(candidates, self.windows, chance)
        budget = self.detector.batch.within(trial.holds)
        loss = mean_loss(model, batches_of(prepared.train, budget, index), seed)
        weights = [p for name, p in model.named_parameters() if not name.startswith("loss_fn.")]
        steps = torch.linspace(-self.reach, self.reach, self.points, dtype=torch.float64)
        steps[self.points // 2] = 0.0
        found = loss_landscape(weights, loss, steps.tolist(), chance)
        report({"windows": float(len(index))})
        return Handoff(
            files={LANDSCAPE_FILE: TensorFile({"steps": steps, "loss": found})},
            meta={"windows": len(index), "loss": loss_name(model.loss_fn), "centre": loss()},
        )
