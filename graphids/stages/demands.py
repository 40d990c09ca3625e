"""What trials need, from the sizes of their dataset and from what was measured of their steps."""

from __future__ import annotations

from collections.abc import Sequence

from graphids.core.budget import Budget
from graphids.core.memory_model import BatchShape
from graphids.core.probe import ProbeResult
from graphids.stages.protocol import SCORE, TRAIN, Demand, Sizes
from graphids.stages.sizes import CALIBRATION, CAPTURES, STOP, TESTS
from graphids.stages.training import FitConfig

OVERHEAD_S = 0.5
"""Reading inputs, building the model and committing the output of a trial."""
WINDOW_BYTES = 40
"""Bytes of one window's score on disk, before compression."""


def chunk_of(batch: Budget, holds: tuple[int, int] | None) -> Budget | None:
    """What a training batch is split into; none where it fits the device whole."""
    return None if holds is None else batch.within(holds)


def expected_epochs(fit: FitConfig) -> float:
    """Epochs that a training is expected to take: midway between the earliest end and the latest.

    It ends at the earliest when nothing became better after the first epoch.
    """
    earliest = min(fit.patience + 1, fit.max_epochs)
    return 0.5 * (earliest + fit.max_epochs)


def training_demand(
    sizes: Sizes,
    batch: Budget,
    fit: FitConfig,
    part: str,
    passes: Sequence[str],
    cost: float,
    share: float = 1.0,
) -> Demand:
    """What the training of a detector needs.

    Args:
        sizes: Sizes of the dataset and what was measured.
        batch: Nodes and edges of one optimiser step.
        fit: How long it trains.
        part: Windows that it trains on.
        passes: Parts that it scores after its training.
        cost: Relative duration, where nothing was measured.
        share: Share of ``part`` that an epoch sees.
    """
    if not sizes.known:
        return Demand(accelerated=True, cost=cost)
    step, training, scoring = sizes.fullest(part, batch), sizes.probe[TRAIN], sizes.probe[SCORE]
    epoch = share * sizes.pass_seconds(part, batch, TRAIN) + sizes.pass_seconds(STOP, batch, SCORE)
    after = sum(sizes.pass_seconds(name, batch, SCORE) for name in passes)
    seconds = OVERHEAD_S + expected_epochs(fit) * epoch + after
    steps = ((training.memory, step), (scoring.memory, sizes.fullest(CAPTURES, batch)))
    return Demand(
        accelerated=True,
        cost=seconds,
        seconds=seconds,
        resident_bytes=sizes.resident_bytes,
        alone_share=_alone_share(training, step),
        tensor_bytes=max(memory.predict(largest) for memory, largest in steps),
        steps=steps,
        output_bytes=training.fixed_bytes // 4 + _scores_bytes(sizes),
    )


def scoring_demand(
    sizes: Sizes, batch: Budget, passes: Sequence[str], window_bytes: int, cost: float
) -> Demand:
    """What a pass over parts of a dataset needs, without any training.

    Args:
        sizes: Sizes of the dataset and what was measured.
        batch: Nodes and edges of one batch.
        passes: Parts that are passed over.
        window_bytes: Bytes that are kept of each window.
        cost: Relative duration, where nothing was measured.
    """
    if not sizes.known:
        return Demand(accelerated=True, cost=cost)
    seconds = OVERHEAD_S + sum(sizes.pass_seconds(name, batch, SCORE) for name in passes)
    windows = sum(sizes.parts[name].graphs for name in passes)
    step = (sizes.probe[SCORE].memory, sizes.fullest(CAPTURES, batch))
    return Demand(
        accelerated=True,
        cost=seconds,
        seconds=seconds,
        resident_bytes=sizes.resident_bytes,
        tensor_bytes=step[0].predict(step[1]),
        steps=(step,),
        output_bytes=windows * window_bytes,
    )


def _alone_share(measured: ProbeResult, batch: BatchShape) -> float | None:
    """Throughput with a trial's own batch, as a share of the best that was timed."""
    if not measured.saturated:
        return None
    best = max(rate for _, rate in measured.throughput)
    return min(1.0, batch.graphs / measured.seconds(batch) / best)


def _scores_bytes(sizes: Sizes) -> int:
    """Bytes of the scores of validation and of every test window."""
    return (sizes.parts[CALIBRATION].graphs + sizes.parts[TESTS].graphs) * WINDOW_BYTES
