"""What every trained detector does after its training: score all windows and hand itself on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from graphids.core.batch import GraphBatch
from graphids.core.losses import loss_name
from graphids.core.memory import trial_device
from graphids.core.models.base import GraphModuleBase, ScoreBasedDetectorMixin
from graphids.core.models.checkpoint import checkpoint_tensors, model_from_checkpoint_tensors
from graphids.data.datamodule import GraphDataModule
from graphids.data.splits import Part
from graphids.grid.trial import Trial
from graphids.stages.dataset import Prepared
from graphids.stages.evaluation import Scored, evaluate, score_all
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.training import Trained, move

MODEL_FILE = "model"
"""Checkpoint of a detector."""
CALIBRATION_FILE = "calibration"
"""What a detector without labels took from benign windows after its training."""


@dataclass(frozen=True, kw_only=True)
class TrainedDetector:
    """A detector at the end of its training, before anything is fitted on validation."""

    model: GraphModuleBase
    """The model, in evaluation mode."""
    file: TensorFile
    """Its checkpoint."""
    trained: Trained
    """What the training left."""

    @classmethod
    def of(cls, model: GraphModuleBase, trained: Trained) -> TrainedDetector:
        """Takes the checkpoint now: what is calibrated later is an artefact of its own."""
        tensors, header = checkpoint_tensors(model)
        # Copies: on a CPU the model's own tensors would be those, and calibration fills some.
        copies = {name: tensor.clone() for name, tensor in tensors.items()}
        return cls(model=model, file=TensorFile(copies, header), trained=trained)


def detector_handoff(
    trial: Trial,
    detector: TrainedDetector,
    score: Callable[[GraphBatch], Tensor],
    prepared: Prepared,
    data: GraphDataModule,
    calibration: Mapping[str, Tensor] | None = None,
    facts: Mapping[str, Any] | None = None,
) -> Handoff:
    """Scores the second half of validation and every test subset, and packs the checkpoint.

    Args:
        trial: The trial that trained the model.
        detector: The trained detector.
        score: Scores of a batch ``[G]``, higher = more anomalous.
        prepared: The dataset.
        data: Its loaders.
        calibration: What the score reads beside the weights, where it reads anything.
        facts: What else to keep of the training.
    """
    device = trial_device()
    with torch.no_grad():
        found = score_all(score, move(data.calibration_dataloader(), device), len(prepared.train))
        tests = {
            name: Scored(
                windows=prepared.windows(name),
                scores=score_all(score, move(loader, device), len(prepared.tests[name])),
            )
            for name, loader in zip(data.test_names, data.test_dataloader(), strict=True)
        }
    validation = Scored(
        windows=prepared.part_windows(Part.CALIBRATION),
        scores=found[prepared.index(Part.CALIBRATION)],
    )
    result = evaluate(trial.fingerprint, validation, tests, prepared.attack_names)
    header = {**detector.file.header, "test_threshold": json.dumps(result.threshold.value)}
    files = {MODEL_FILE: TensorFile(detector.file.tensors, header)}
    if calibration is not None:
        files[CALIBRATION_FILE] = TensorFile(calibration)
    model = detector.model
    # The teacher's projection and the like are no part of the detector.
    own = [p for name, p in model.named_parameters() if not name.startswith("loss_fn.")]
    return Handoff(
        files=files,
        meta={
            **detector.trained.facts,
            **(facts or {}),
            **result.facts(),
            "loss": loss_name(model.loss_fn),
            "parameters": sum(p.numel() for p in own if p.requires_grad),
        },
        metrics=result.metrics,
        scores=result.scores,
        history=detector.trained.history,
    )


def require_loss(model: GraphModuleBase, loss: nn.Module) -> None:
    """Raises unless the model trains with the loss that it was built for.

    Raises:
        RuntimeError: Names both.
    """
    if model.loss_fn is not loss:
        raise RuntimeError(f"the model trains with {model.loss_fn}, {loss} was asked for")


def load_detector(handoff: Handoff) -> GraphModuleBase:
    """The detector that a trial handed on, calibrated, on the trial's device, ready to score.

    Raises:
        TypeError: The checkpoint holds something else.
        RuntimeError: Its state does not fit its settings.
        ValueError: It is damaged or of an unknown class.
    """
    file = handoff.files[MODEL_FILE]
    model = model_from_checkpoint_tensors(file.tensors, file.header)
    if not isinstance(model, GraphModuleBase):
        raise TypeError(f"a detector of graphs was expected, the checkpoint holds {type(model)}")
    if CALIBRATION_FILE in handoff.files:
        if not isinstance(model, ScoreBasedDetectorMixin):
            raise TypeError(f"{type(model).__name__} has a calibration but takes none")
        model.load_calibration(handoff.files[CALIBRATION_FILE].tensors)
    return model.to(trial_device()).eval()
