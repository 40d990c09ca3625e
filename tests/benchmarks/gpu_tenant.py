"""A trial that shares its device with others, as rounds of training that begin on a word.

Run as ``gpu_tenant.py FOLDER`` with the windows in FOLDER. It reads a line of JSON for each round,
trains as a trial does, says when it is warm, begins at the next line, and prints what it did.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, ClassVar, TextIO

import lightning
import torch
from gpu_data import BATCH, untrained
from lightning.pytorch.callbacks import Callback

from graphids.core.memory import CudaCard, limit_memory, release_cached, synchronize, trial_device
from graphids.data.loader import BudgetLoader
from graphids.data.packed import PackedGraphs
from graphids.runner.measuring import quiet_libraries
from graphids.stages.training import LAST, FitConfig, fit

WINDOWS_FILE = "windows.safetensors"
"""Where the windows are."""
ENDLESS = FitConfig(max_epochs=1_000_000, monitor=LAST)
"""Training that its meter ends."""


class Meter(Callback):
    """Counts the graphs of a window of time that begins once all tenants are warm."""

    def __init__(self, order: dict[str, Any], answers: TextIO) -> None:
        self.order, self.answers = order, answers
        self.steps = self.graphs = 0
        self.begun = self.seconds = 0.0

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Waits at the barrier, counts, and ends the training when the time is over."""
        self.steps += 1
        if self.steps < self.order["warm_up"]:
            return
        if self.steps == self.order["warm_up"]:
            synchronize(trial_device())
            answer(self.answers, ready=True)
            sys.stdin.readline()
            self.begun = time.monotonic()
            return
        self.graphs += batch.num_graphs
        if time.monotonic() - self.begun >= self.order["seconds"]:
            # What was only queued is not done.
            synchronize(trial_device())
            self.seconds = time.monotonic() - self.begun
            trainer.should_stop = True


class TrainingWindows(lightning.LightningDataModule):
    """Training batches and no validation, so that nothing but training is counted."""

    num_classes = 2
    test_names: ClassVar[tuple[str, ...]] = ()
    attack_names: ClassVar[Mapping[int, str]] = {}

    def __init__(self, graphs: PackedGraphs, seed: int) -> None:
        super().__init__()
        self.num_ids, self.in_channels = graphs.num_ids, graphs.num_features
        generator = torch.Generator().manual_seed(seed)
        self.loader = BudgetLoader(graphs, BATCH, generator=generator)

    def train_dataloader(self) -> BudgetLoader:
        """All windows, in a new order each epoch."""
        return self.loader


def answer(answers: TextIO, **what: Any) -> None:
    """Prints one line."""
    answers.write(json.dumps(what) + "\n")
    answers.flush()


def train(order: dict[str, Any], graphs: PackedGraphs, answers: TextIO) -> None:
    """One round: a model that is trained from its start."""
    # A trainer is full of cycles: what the round before left would count against this share.
    gc.collect()
    release_cached()
    device = trial_device()
    if device.type == "cuda":
        limit_memory(CudaCard(device).total_bytes // order["tenants"])
    data, meter = TrainingWindows(graphs, order["seed"]), Meter(order, answers)
    fit(untrained(order["model"], graphs), data, ENDLESS, lambda metrics: None, [meter])
    answer(answers, graphs=meter.graphs, seconds=meter.seconds)


def main(folder: Path) -> None:
    """Trains a round for each line of standard input."""
    quiet_libraries()
    torch.set_num_threads(1)
    graphs, answers = PackedGraphs.load(folder / WINDOWS_FILE), sys.stdout
    with redirect_stdout(sys.stderr):
        for line in sys.stdin:
            train(json.loads(line), graphs, answers)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
