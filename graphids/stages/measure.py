"""How a stage is measured: a probe of its steps, and a rehearsal on batches as its trials have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice

import torch
from torch import Tensor

from graphids.core.batch import GraphBatch
from graphids.core.budget import Budget
from graphids.core.memory import trial_device
from graphids.core.models.base import GraphModuleBase, ScoreBasedDetectorMixin
from graphids.core.probe import ProbeConfig, ProbeResult, probe_forward, probe_training
from graphids.core.resident import system_bytes
from graphids.core.usage import Usage
from graphids.data.datamodule import GraphDataModule
from graphids.data.loader import gather_batch
from graphids.data.packed import PackedGraphs
from graphids.data.splits import Part
from graphids.stages.dataset import Prepared
from graphids.stages.protocol import SCORE, TRAIN, Measured
from graphids.stages.sizes import CAPTURES
from graphids.stages.training import FitConfig, fit

SATURATING = 16
"""Batches' worth of graphs up to which a GPU is timed."""
COARSE = 4
"""Growth of the batches that a processor is timed on, where no packing depends on the knee."""
REHEARSED = 12
"""Batches of a rehearsal."""
MOST_REHEARSED = 0.25
"""Share of the memory that is left beyond which nothing is rehearsed."""
HEAP_FACTOR = 2.0
"""Resident bytes for each byte of tensors, where that was not measured."""
Score = Callable[[GraphBatch], object]
"""Scores the windows of a batch."""


def sampler(graphs: PackedGraphs, index: Tensor) -> Callable[[int], GraphBatch]:
    """Batches of any number of the graphs at ``index``, evenly spread, on the trial's device."""
    device = trial_device()

    def batch(num_graphs: int) -> GraphBatch:
        steps = torch.linspace(0, len(index) - 1, max(1, num_graphs)).round().long()
        return gather_batch(graphs, index[steps]).to(device)

    return batch


def probe_config(graphs: PackedGraphs, batch: Budget) -> ProbeConfig:
    """How a stage's steps are measured: at most the batch that its trials will have."""
    nodes, edges = max(1, len(graphs.x)), max(1, len(graphs.edge_attr))
    share = min(1.0, batch.nodes / nodes, batch.edges / edges)
    graphs_a_batch = max(1, round(share * len(graphs)))
    if trial_device().type == "cuda":
        # Larger batches show where the device is saturated, which is what packed trials share.
        return ProbeConfig(max_graphs=graphs_a_batch * SATURATING)
    return ProbeConfig(max_graphs=graphs_a_batch, growth=COARSE)


def measure_training(
    model: GraphModuleBase, score: Score, prepared: Prepared, batch: Budget, *, benign_only: bool
) -> Measured:
    """Measures a detector: its training steps, its scores, and both on real batches.

    Args:
        model: The untrained detector, on the trial's device.
        score: Scores of a batch by that detector.
        prepared: The dataset.
        batch: Nodes and edges of one optimiser step.
        benign_only: Whether it trains on benign windows alone.
    """
    graphs, index = prepared.train, prepared.index(Part.TRAIN)
    batches, config = sampler(graphs, index), probe_config(graphs, batch)
    steps = {
        TRAIN: probe_training(model, batches, config),
        SCORE: probe_forward(score, batches, config),
    }
    if benign_only:
        index = index[graphs.y[index] == 0]
    few = index[: REHEARSED * prepared.sizes.fullest(TRAIN, batch).graphs]

    def rehearsal() -> None:
        data = prepared.data_module(batch, 0, benign_only=benign_only, index=few)
        kept = model.calibration() if isinstance(model, ScoreBasedDetectorMixin) else None
        fit(model, data, FitConfig(max_epochs=1, patience=1), lambda metrics: None)
        if isinstance(model, ScoreBasedDetectorMixin) and kept is not None:
            model.load_calibration(kept)
        _score(score, data)

    return Measured(steps=steps, resident_bytes=rehearse(rehearsal, prepared, batch, steps))


def measure_scoring(score: Score, prepared: Prepared, batch: Budget) -> Measured:
    """Measures a pass over windows, without gradients; arguments as in ``measure_training``."""
    graphs, index = prepared.train, prepared.index(Part.TRAIN)
    steps = {SCORE: probe_forward(score, sampler(graphs, index), probe_config(graphs, batch))}

    def rehearsal() -> None:
        _score(score, prepared.data_module(batch, 0))

    return Measured(steps=steps, resident_bytes=rehearse(rehearsal, prepared, batch, steps))


def _score(score: Score, data: GraphDataModule) -> None:
    """Scores a few batches of validation."""
    with torch.no_grad():
        for given in islice(data.calibration_dataloader(), REHEARSED):
            score(given)


def rehearse(
    rehearsal: Callable[[], None],
    prepared: Prepared,
    batch: Budget,
    steps: Mapping[str, ProbeResult],
) -> int | None:
    """Growth of this process over a few steps on batches as a trial has them.

    The heap does not give each freed tensor back, and how much it keeps depends on how sizes
    follow one another: that is measured, not derived. The random state stays as it was.

    Returns:
        Bytes; none on a GPU. What is predicted to need a good part of this machine is not tried:
        then it is a multiple of the tensors.
    """
    if trial_device().type == "cuda":
        return None
    fullest = prepared.sizes.fullest(CAPTURES, batch)
    tensors = max(one.memory.predict(fullest) for one in steps.values())
    if tensors > MOST_REHEARSED * system_bytes():
        return round(HEAP_FACTOR * tensors)
    with torch.random.fork_rng(devices=[]):
        usage = Usage.start()
        rehearsal()
        return usage.peak_bytes()
