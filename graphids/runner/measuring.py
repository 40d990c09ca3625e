"""Measures the shape of a trial on the device of this process and keeps what was found."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import torch

from graphids.core.memory import card_constants, device_name, trial_device
from graphids.core.usage import Usage
from graphids.grid.trial import Trial
from graphids.runner.forecast import TORCH, Forecast
from graphids.runner.handoffs import from_disk
from graphids.stages.handoff import Handoff
from graphids.stages.protocol import Measurable, Stage
from graphids.store.measurements import Measurements
from graphids.store.outputs import OutputStore

CPU_OVERHEAD = 1.0
"""Resident bytes for each byte of tensors: the heap gives large blocks back at once."""


def measure(trial: Trial, shape: str, data: Handoff, store: Measurements) -> dict[str, Any]:
    """Measures a trial's shape on its prepared dataset and writes what was found.

    Args:
        trial: A trial of the shape.
        shape: Key of the shape.
        data: The prepared dataset.
        store: Where measurements are kept.

    Returns:
        The entry as it was written.
    """
    device = trial_device()
    before = Usage.start().resident
    measured = cast("Measurable", cast("Measurable", trial.stage).shape()).probe(data)
    found = {
        "label": trial.label,
        "stage": trial.stage.name,
        "device": device_name(device),
        "accelerated": device.type == "cuda",
        "steps": {name: result.to_dict() for name, result in measured.steps.items()},
        "resident_bytes": measured.resident_bytes,
        **_constants(before),
    }
    store.write(shape, found["device"], TORCH, found)
    return found


def measure_here(
    forecast: Forecast, store: OutputStore, say: Callable[[str], None] = lambda what: None
) -> None:
    """Measures in this process what a plan needs and the store does not know yet.

    Datasets that are not committed are prepared in memory and forgotten. A shape that cannot be
    measured is left to an estimate: its trial will tell what is wrong with it.

    Args:
        forecast: The plan and what is known of it.
        store: Where committed datasets are read and measurements are kept.
        say: Told what is being measured.
    """
    quiet_libraries()
    torch.set_num_threads(1)
    kept, trials = Measurements(store.root), forecast.plan.trials
    prepared: dict[str, Handoff] = {}
    for key, trial in trials.items():
        source, shape = forecast.prepare_key(key), forecast.unmeasured(key)
        if source is None or (shape is None and forecast.sizes(key).parts):
            continue
        if source not in prepared:
            # One dataset at a time: the trials of a plan come dataset by dataset.
            prepared.clear()
            say(f"reading {trials[source].label}")
            prepared[source] = _prepared(trials[source], store, kept)
        if shape is not None:
            say(f"measuring {trial.label}")
            with suppress(ValueError, RuntimeError, FloatingPointError):
                measure(trial, shape, prepared[source], kept)


def quiet_libraries() -> None:
    """Keeps libraries from telling each trial what is true of every trial."""
    lightning = logging.getLogger("lightning.pytorch")
    # To set a level has every logger of the process forget what it had worked out.
    if lightning.level != logging.WARNING:
        lightning.setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning.*")


def _prepared(trial: Trial, store: OutputStore, kept: Measurements) -> Handoff:
    """A prepared dataset: from the store, or built here and surveyed."""
    if store.find(trial.fingerprint) is not None:
        return from_disk(store, trial.fingerprint)
    started, usage = time.monotonic(), Usage.start()
    handoff = cast("Stage", trial.stage).run(trial, {}, lambda metrics: None)
    kept.write_sizes(
        trial.fingerprint,
        {
            "sizes": handoff.meta["sizes"],
            "seconds": time.monotonic() - started,
            "peak_bytes": usage.peak_bytes(),
        },
    )
    return handoff


def _constants(resident: int) -> dict[str, Any]:
    """What the device takes beside tensors."""
    device = trial_device()
    if device.type != "cuda":
        return {"process_bytes": resident, "overhead": CPU_OVERHEAD, "others_bytes": 0}
    card = card_constants(device)
    return {
        "process_bytes": card.context_bytes + card.workspace_bytes,
        "overhead": card.reserved_ratio,
        "others_bytes": card.others_bytes,
    }
