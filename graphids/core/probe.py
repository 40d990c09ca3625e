"""Memory and speed of a step, measured on the device that it will run on.

Works on a module and a callable that gives batches; it never sees a dataset. Training is measured
on a copy of the model with an optimiser of its own, so that nothing of what was measured remains.
"""

from __future__ import annotations

import copy
import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from statistics import median
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from graphids.core.batch import GraphBatch
from graphids.core.memory import (
    allocated_bytes,
    cuda_indices,
    device_name,
    step_peak,
    synchronize,
)
from graphids.core.memory_model import BatchShape, MemoryModel, fit_memory
from graphids.core.memory_trace import MemoryTrace, live_tensors
from graphids.core.probe_batches import Batches, tensors_of, thinned, varied
from graphids.core.probe_result import ProbeConfig, ProbeResult
from graphids.core.speed_model import fit_speed, knee

Step = Callable[[GraphBatch], object]
"""Does on a batch what is measured."""
JUDGE = 16
"""Size of the batch that judges a fit, in times of the smallest one."""
LARGER = 4
"""Times that batches are larger where the judge found the fit wrong, and on a processor."""
CHANCE = 0.03
"""Misfit on a processor that random masks explain."""
ENOUGH_S = 0.1
"""Seconds after which a step is not timed once more."""
TIMED_AFTER = 2.2
"""Steps that are timed after those of the last size, in steps of that size: a forward pass and a
step with fewer edges.
"""


@runtime_checkable
class Trainable(Protocol):
    """What the probe asks of a model beside being an ``nn.Module``."""

    def compute_loss(self, batch: GraphBatch) -> Tensor | tuple[Any, ...]:
        """Loss ``[]`` of a batch; the first where it comes with more."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """A new optimiser of the model's parameters."""


def probe_training(
    model: nn.Module, batches: Batches, config: ProbeConfig | None = None
) -> ProbeResult:
    """Measures steps of training: loss, backward pass, clipping of the gradient, optimiser.

    The model, the state of every random generator and the gradients stay as they are.

    Args:
        model: A built model that is ``Trainable``.
        batches: Gives batches of about as many graphs as it is asked for, on the device to measure.
        config: How it is measured.

    Raises:
        TypeError: The model is not ``Trainable``.
        FloatingPointError: The model's loss is not finite on a batch.
    """
    started = time.perf_counter()
    config = config or ProbeConfig()
    with _undisturbed(config.seed):
        device = batches(1).x.device
        trained = copy.deepcopy(model).to(device).train()
        if not isinstance(trained, Trainable):
            raise TypeError(
                f"{type(model).__name__} has no compute_loss and configure_optimizers; "
                "probe_training needs both"
            )
        optimizer = trained.configure_optimizers()

        def loss(batch: GraphBatch) -> Tensor:
            found = trained.compute_loss(batch)
            return found if isinstance(found, Tensor) else found[0]

        def step(batch: GraphBatch) -> None:
            # Gradients of the last step live until the loss of this one is known, as in Lightning.
            value = loss(batch)
            optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(trained.parameters(), config.gradient_clip)
            optimizer.step()

        step(batches(config.graphs))
        memory = _memory(step, lambda: live_tensors(trained, optimizer), batches, config)
        fixed = sum(t.nbytes for t in live_tensors(trained, optimizer)) - sum(
            buffer.nbytes for buffer in trained.buffers()
        )
        return _timed(step, loss, batches, config, memory, fixed, started)


def probe_forward(call: Step, batches: Batches, config: ProbeConfig | None = None) -> ProbeResult:
    """Measures calls without gradients, such as those that score windows.

    ``call`` must not change what it works on: it is no copy.

    Args:
        call: Takes a batch.
        batches: Gives batches of about as many graphs as it is asked for, on the device to measure.
        config: How it is measured.
    """
    started = time.perf_counter()
    config = config or ProbeConfig()
    with _undisturbed(config.seed), torch.no_grad():
        batch = batches(config.graphs)
        call(batch)
        with MemoryTrace(batch.x.device, tensors_of(batch)) as trace:
            call(batch)
        fixed = max(0, trace.before - sum(tensor.nbytes for tensor in tensors_of(batch)))
        memory = _memory(call, list, batches, config)
        return _timed(call, call, batches, config, memory, fixed, started)


@contextmanager
def _undisturbed(seed: int) -> Iterator[None]:
    """Fixed random numbers and gradients in the block, wherever it is; afterwards all as before."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with (
            torch.inference_mode(mode=False),
            torch.enable_grad(),
            torch.random.fork_rng(devices=cuda_indices()),
        ):
            random.seed(seed)
            np.random.seed(seed % 2**32)
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _memory(
    step: Step,
    alive: Callable[[], list[Tensor]],
    batches: Batches,
    config: ProbeConfig,
) -> MemoryModel:
    """Traces small steps, and larger ones where a large one shows that small ones differ.

    They do where layers work in pieces that a small batch does not fill, as ours do on a processor,
    and where chance, such as random masks, blurs them.
    """

    def traced(given: Iterable[GraphBatch], *, held_out: int = 0) -> MemoryModel:
        shapes, traces = [], []
        for batch in given:
            with MemoryTrace(batch.x.device, alive()) as trace:
                step(batch)
            shapes.append(BatchShape.of(batch))
            traces.append(trace.moments)
        return fit_memory(shapes, traces, held_out=held_out)

    graphs, misfit = config.graphs, config.misfit
    if batches(1).x.device.type == "cpu":
        graphs, misfit = LARGER * graphs, max(CHANCE, misfit)
    judged = chain(varied(batches, graphs), [batches(JUDGE * config.graphs)])
    model = traced(judged, held_out=1)
    if model.misfit > misfit:
        model = traced(varied(batches, LARGER * graphs))
    return replace(model, factor=_allocator_factor(step, alive, batches(2 * config.graphs)))


def _allocator_factor(step: Step, alive: Callable[[], list[Tensor]], batch: GraphBatch) -> float:
    """What a GPU's allocator counts for each byte of tensors that a step makes; 1 on a CPU.

    Kernels take memory within themselves, which shows in no trace.
    """
    device = batch.x.device
    if device.type != "cuda":
        return 1.0
    with MemoryTrace(device, alive()) as trace:
        step(batch)
    before = allocated_bytes(device)
    counted = step_peak(lambda: step(batch), device) - before
    return max(1.0, counted / max(1, trace.peak - trace.before))


def _timed(
    step: Step,
    forward: Step,
    batches: Batches,
    config: ProbeConfig,
    memory: MemoryModel,
    fixed_bytes: int,
    started: float,
) -> ProbeResult:
    """Times steps on growing batches, while there is time and memory, and makes the result."""
    shapes: list[BatchShape] = []
    seconds: list[float] = []
    throughput: list[tuple[int, float]] = []
    for graphs in _sizes(config):
        grown = batches(graphs)
        shape = BatchShape.of(grown)
        if seconds:
            expected = seconds[-1] * shape.nodes / max(1, shapes[-1].nodes)
            calls = 1 + min(config.repeats, math.ceil(ENOUGH_S / max(expected, 1e-9)))
            cost = expected * calls * TIMED_AFTER
            late = time.perf_counter() - started + cost > config.max_seconds
            if late or memory.predict(shape) > config.max_bytes:
                break
        batch = grown
        shapes.append(shape)
        seconds.append(_seconds(step, batch, config.repeats))
        throughput.append((shape.nodes, shape.graphs / seconds[-1]))
    whole = seconds[-1]
    with torch.no_grad():
        forward_seconds = whole if forward is step else _seconds(forward, batch, config.repeats)
    fewer = thinned(batch, 2)
    shapes.append(BatchShape.of(fewer))
    seconds.append(_seconds(step, fewer, config.repeats))
    return ProbeResult(
        memory=memory,
        fixed_bytes=fixed_bytes,
        speed=fit_speed(shapes, seconds),
        throughput=tuple(throughput),
        knee_nodes=knee(throughput),
        forward_seconds=forward_seconds,
        backward_multiplier=whole / forward_seconds,
        device=device_name(batch.x.device),
        probe_seconds=time.perf_counter() - started,
    )


def _sizes(config: ProbeConfig) -> Sequence[int]:
    """Graphs of the timed batches: from the smallest on in equal ratios to as many as allowed."""
    most = config.max_graphs
    least = min(config.graphs, most)
    steps = max(1, round(math.log(most / least, config.growth))) if most > least else 0
    return [round(least * (most / least) ** (i / steps)) for i in range(steps)] + [most]


def _seconds(step: Step, batch: GraphBatch, repeats: int) -> float:
    """Median of some calls after one to warm up, of few where they are long.

    Of a step on one core its processor time counts: what else runs on the machine does not.
    """
    device = batch.x.device
    single = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if single else time.perf_counter
    times: list[float] = []
    while len(times) <= repeats and sum(times[1:]) < ENOUGH_S:
        synchronize(device)
        start = clock()
        step(batch)
        synchronize(device)
        times.append(clock() - start)
    return median(times[1:])


__all__ = ["ProbeConfig", "ProbeResult", "Trainable", "probe_forward", "probe_training"]
