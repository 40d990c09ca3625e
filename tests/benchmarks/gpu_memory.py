"""Predicted against measured memory of training steps, in a process that does nothing else.

Run as ``gpu_memory.py FOLDER MODEL``; prints one line of JSON and leaves the folder as it is. On a
GPU its allocator is the judge. On a CPU torch's own tracker of tensors is, and there is nothing
reserved to judge.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

import torch
from gpu_data import BATCH, unseen, untrained, windows
from torch.distributed._tools.mem_tracker import MemTracker
from training_steps import TrainingSteps

from graphids.core.batch import GraphBatch
from graphids.core.card import CardConstants
from graphids.core.memory import (
    release_cached,
    reset_peak,
    step_peak,
    synchronize,
    trial_device,
    used_bytes,
)
from graphids.core.memory_model import BatchShape
from graphids.core.probe import ProbeConfig, ProbeResult, probe_training
from graphids.core.probe_batches import tensors_of
from graphids.data.packed import PackedGraphs
from graphids.stages.measure import probe_config, sampler

ON_GPU, ON_CPU = (40, 130, 260, 520), (40, 80)
"""Windows of the batches that the probe has not seen."""
LARGEST_ERROR = 0.05
"""Error to stay within."""


class Training(TrainingSteps):
    """What a step takes on a GPU, or on a CPU as torch tells it."""

    def peak(self, batch: GraphBatch) -> int:
        """Most bytes of tensors during a step, as the allocator or torch's tracker tells."""
        device = batch.x.device
        if device.type == "cuda":
            return step_peak(lambda: self.step(batch), device)
        tracker = MemTracker()
        tracker.track_external(self.model, self.optimizer, *tensors_of(batch))
        with tracker:
            self.step(batch)
        return int(tracker.get_tracker_snapshot("peak")[device]["Total"])


def measure(name: str) -> dict[str, Any]:
    """Probes a model, then trains it on batches that the probe has not seen."""
    device = trial_device()
    on_gpu = device.type == "cuda"
    torch.set_num_threads(1)
    graphs = windows()
    model = untrained(name, graphs).to(device)
    batches = sampler(graphs, torch.arange(len(graphs)))
    config = probe_config(graphs, BATCH) if on_gpu else ProbeConfig(max_graphs=8, repeats=1)
    probe = probe_training(model, batches, config)
    # An allocator counts what the probe left in cycles, which is no part of a step.
    gc.collect()
    training = Training(model, batches(8))
    held_out = unseen(graphs, ON_GPU if on_gpu else ON_CPU)
    found = {
        "model": name,
        "device": probe.device,
        "probe_seconds": probe.probe_seconds,
        "alone_share": alone_share(probe, graphs),
        "predicted_tensors": [probe.memory.predict(BatchShape.of(batch)) for batch in held_out],
        "measured_tensors": [training.peak(batch.to(device)) for batch in held_out],
    }
    return found | (reserved(training, held_out) if on_gpu else {})


def reserved(training: Training, held_out: Sequence[GraphBatch]) -> dict[str, int]:
    """What the allocator holds at most over many steps of changing size, and the whole process."""
    device = trial_device()
    gc.collect()
    release_cached()
    reset_peak()
    order = torch.randperm(2 * len(held_out), generator=torch.Generator().manual_seed(2))
    for place in order.tolist():
        training.step(held_out[place % len(held_out)].to(device))
    synchronize(device)
    return {
        "measured_reserved": torch.cuda.max_memory_reserved(device),
        "reserved_at_end": torch.cuda.memory_reserved(device),
        "card_used_at_end": used_bytes(device),
    }


def alone_share(probe: ProbeResult, graphs: PackedGraphs) -> float | None:
    """Throughput of a batch as trials have it, over the best; none where nothing saturated it."""
    if not probe.saturated:
        return None
    share = min(1.0, BATCH.nodes / len(graphs.x), BATCH.edges / len(graphs.edge_attr))
    batch = BatchShape(
        graphs=max(1, round(share * len(graphs))),
        nodes=round(share * len(graphs.x)),
        edges=round(share * len(graphs.edge_attr)),
    )
    rate = batch.graphs / probe.seconds(batch)
    return min(1.0, rate / max(best for _, best in probe.throughput))


def judged(
    found: Mapping[str, Any], card: CardConstants | None, used_before: int
) -> dict[str, Any]:
    """Errors of what was measured, as shares; those of reserved bytes where there is a card.

    Args:
        found: What ``measure`` gave.
        card: Constants of the card, none for a CPU.
        used_before: Bytes of the card that were used before the process began.
    """
    workspace = 0 if card is None else card.workspace_bytes
    predicted = [bytes_ + workspace for bytes_ in found["predicted_tensors"]]
    measured = found["measured_tensors"]
    errors = [p / m - 1.0 for p, m in zip(predicted, measured, strict=True)]
    row = {
        "model": found["model"],
        "batches": len(errors),
        "largest_measured_tensor_bytes": max(measured),
        "tensor_error_largest": max(errors, key=abs),
        "tensor_error_median": median(abs(error) for error in errors),
        "probe_seconds": found["probe_seconds"],
        "alone_share": found["alone_share"],
    }
    if card is not None:
        tensors = max(found["predicted_tensors"])
        context = found["card_used_at_end"] - used_before - found["reserved_at_end"]
        expected = card.context_bytes + workspace + round(card.reserved_ratio * tensors)
        taken = context + found["measured_reserved"]
        row |= {
            "predicted_process_bytes": expected,
            "measured_process_bytes": taken,
            "measured_context_bytes": context,
            "measured_reserved_bytes": found["measured_reserved"],
            "reserved_error": expected / taken - 1.0,
        }
    judgements = (row["tensor_error_largest"], row.get("reserved_error", 0.0))
    return row | {"held": all(abs(error) <= LARGEST_ERROR for error in judgements)}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[2])), flush=True)
