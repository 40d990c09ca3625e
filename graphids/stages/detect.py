"""What every trained detector does after its training: score all windows and hand itself on."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from graphids.core.batch import GraphBatch
from graphids.core.memory import trial_device
from graphids.core.models.checkpoint import checkpoint_tensors
from graphids.core.models.evaluation import ScoringModule
from graphids.data.datamodule import GraphDataModule
from graphids.data.splits import Part
from graphids.grid.trial import Trial
from graphids.stages.dataset import Prepared
from graphids.stages.evaluation import Scored, evaluate, score_all
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.training import Trained, move


def detector_handoff(
    trial: Trial,
    model: ScoringModule,
    score: Callable[[GraphBatch], Tensor],
    prepared: Prepared,
    data: GraphDataModule,
    trained: Trained,
) -> Handoff:
    """Scores the second half of validation and every test subset, and packs the checkpoint.

    Args:
        trial: The trial that trained the model.
        model: The trained model, in evaluation mode.
        score: Scores of a batch ``[G]``, higher = more anomalous.
        prepared: The dataset.
        data: Its loaders.
        trained: What the training left.
    """
    device = trial_device()
    with torch.no_grad():
        calibration = score_all(
            score, move(data.calibration_dataloader(), device), len(prepared.train)
        )
        tests = {
            name: Scored(
                windows=prepared.windows(name),
                scores=score_all(score, move(loader, device), len(prepared.tests[name])),
            )
            for name, loader in zip(data.test_names, data.test_dataloader(), strict=True)
        }
    validation = Scored(
        windows=prepared.part_windows(Part.CALIBRATION),
        scores=calibration[prepared.index(Part.CALIBRATION)],
    )
    result = evaluate(trial.fingerprint, validation, tests, prepared.attack_names)
    tensors, header = checkpoint_tensors(model, test_threshold=result.threshold.value)
    parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Handoff(
        files={"model": TensorFile(tensors, header)},
        meta={**trained.facts, **result.facts(), "parameters": parameters},
        metrics=result.metrics,
        scores=result.scores,
        history=trained.history,
    )
