"""How long a trained detector takes to judge one window on one processor core.

A detector in a vehicle gets its windows one by one, so a batch of one is timed, from the ready
graph of a window (or its ready features) to its score. Building the graph is left out: it costs
every row the same. The time is the processor's for the one thread that works, which neighbours on
the machine disturb little; a model that was trained on a GPU is timed on the processor as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from time import thread_time
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from graphids.core.batch import GraphBatch
from graphids.data.loader import gather_batch
from graphids.data.packed import PackedGraphs
from graphids.stages.handoff import Handoff

Given = TypeVar("Given")

P50, P99 = "latency_p50_ms", "latency_p99_ms"
"""Median and 99th percentile of the processor time of a window, milliseconds."""
WINDOWS = "latency_windows"
"""Windows that they were measured on."""
WARM_UP = 10
"""Windows judged before any is timed."""
MOST_WINDOWS = 120
"""Windows that are timed at most."""
GOLDEN = 0.6180339887498949
"""Part of all windows from one to the next one, round and round: the golden section spreads any
number of first ones evenly."""
FEWEST_WINDOWS = 20
"""Windows that are timed however slow they are."""
TAIL_WINDOWS = 100
"""Windows from which a 99th percentile is told: of fewer it would be little but the slowest one."""
MOST_SECONDS = 1.0
"""Processor time after which no window beyond ``FEWEST_WINDOWS`` is begun, warm-up included: room
for ``TAIL_WINDOWS`` of 8 ms each, which both detectors of a fusion of the smaller scales keep to.
"""


def time_windows(
    give: Callable[[int], Given], judge: Callable[[Given], object], size: int
) -> dict[str, float]:
    """Processor time of judging single windows, spread evenly over those that there are.

    However early the time of a slow model is over, it was timed on windows from everywhere, as a
    fast one is. Random states are afterwards what they were before.

    Args:
        give: Makes ready window ``i`` of ``size``; not timed.
        judge: Scores it.
        size: Windows that there are.

    Returns:
        ``P50``, ``WINDOWS`` and, from ``TAIL_WINDOWS`` on, ``P99`` by name; nothing where there is
        no window.
    """
    places = np.arange(WARM_UP + MOST_WINDOWS if size else 0) * GOLDEN % 1.0
    order = places.argsort().argsort()
    picks = np.linspace(0, size - 1, order.size).astype(int)[order].tolist()
    taken: list[float] = []
    began = thread_time()
    with one_thread(), torch.random.fork_rng(devices=[]), torch.inference_mode():
        for pick in picks:
            enough = len(taken) >= WARM_UP + FEWEST_WINDOWS
            if enough and thread_time() - began > MOST_SECONDS:
                break
            given = give(pick)
            start = thread_time()
            judge(given)
            taken.append(1000.0 * (thread_time() - start))
    timed = taken[WARM_UP:]
    if not timed:
        return {}
    found = {P50: float(np.percentile(timed, 50)), WINDOWS: float(len(timed))}
    if len(timed) >= TAIL_WINDOWS:
        found[P99] = float(np.percentile(timed, 99))
    return found


def detector_latency(
    models: Mapping[str, nn.Module],
    judge: Callable[[GraphBatch], object],
    graphs: PackedGraphs,
    *,
    compiled: bool = False,
) -> dict[str, float]:
    """``time_windows`` of one or several models; they stand on the processor afterwards.

    Args:
        models: All that ``judge`` calls, by any name.
        judge: Scores a batch of one graph.
        graphs: Windows to judge.
        compiled: Whether a model is compiled: it is then called as it was written, because code
            for a GPU is no code for a processor.
    """
    for model in models.values():
        model.cpu()
    with torch.compiler.set_stance("force_eager") if compiled else nullcontext():
        return time_windows(lambda i: gather_batch(graphs, torch.tensor([i])), judge, len(graphs))


def added(own: Mapping[str, float], before: Mapping[str, Any]) -> dict[str, float]:
    """Latency of what runs after something else: percentiles are added.

    The sum is exact where times do not vary, or vary alike. That of the 99th percentiles takes the
    slow windows of both parts to be the same ones, which is rather too much than too little.

    Args:
        own: What ``time_windows`` gave of the later part.
        before: The same of the earlier part.

    Returns:
        Sums of the percentiles that both have, and the fewer windows; nothing where either was not
        measured.
    """
    if not own or P50 not in before:
        return {}
    sums = {name: own[name] + before[name] for name in (P50, P99) if name in own and name in before}
    return sums | {WINDOWS: min(own[WINDOWS], before[WINDOWS])}


def with_latency(handoff: Handoff, latency: Mapping[str, float]) -> Handoff:
    """What a trial hands on, with its latency among the small facts."""
    return replace(handoff, meta={**handoff.meta, **latency})


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch for the block; afterwards as many as before."""
    former = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(former)
