"""The one Tune trainable: runs a trial's stage on its inputs and commits what comes out."""

from __future__ import annotations

import errno
import logging
import os
import platform
import time
import traceback
import warnings
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import torch
from ray import tune

from graphids.core.memory import peak_bytes, reset_peak
from graphids.grid.trial import Trial
from graphids.runner.handoffs import fetch
from graphids.stages.handoff import write_handoff
from graphids.stages.protocol import Stage
from graphids.store.lease import LeaseLostError, check_fencing
from graphids.store.ledger import Ledger
from graphids.store.outputs import OutputStore

PACKAGES = ("graphids", "ray", "torch", "torch-geometric", "lightning", "polars", "numpy")


@dataclass(frozen=True, kw_only=True)
class RunContext:
    """What every trial of a run needs to know; sent to each worker once."""

    run: str
    """Name of the run."""
    root: Path
    """Folder of the store."""
    fencing: int
    """Number of the lease under which outputs are committed."""
    trials: Mapping[str, Trial]
    """Trials by fingerprint."""
    commit: str | None
    """Commit of the source, ``None`` where it is not known."""


def run_trial(config: dict[str, Any], context: RunContext) -> None:
    """Runs one trial and commits its output; a failure is kept in the store and raised again."""
    trial = context.trials[config["fingerprint"]]
    ledger = Ledger(context.root)
    try:
        _quiet()
        _run(trial, context)
    except Exception as error:
        # A run that lost the store must not write into it; a full disk takes no account of itself.
        with suppress(LeaseLostError, OSError):
            check_fencing(context.root, context.fencing)
            ledger.fail(trial.fingerprint, describe_failure(trial.label, error))
        raise
    ledger.forgive(trial.fingerprint)


def _run(trial: Trial, context: RunContext) -> None:
    """The trial itself: inputs in, stage, output committed."""
    started = time.time()
    # Trials share the machine: a second thread in each would only make them wait for one another.
    torch.set_num_threads(1)
    reset_peak()
    store = OutputStore(context.root)
    inputs = {role: fetch(store, context.run, key) for role, key in trial.upstream.items()}

    def report(metrics: Mapping[str, float]) -> None:
        tune.report({"trial": trial.label, **metrics})

    handoff = cast("Stage", trial.stage).run(trial, inputs, report)
    folder = store.begin(trial.fingerprint)
    write_handoff(handoff, folder)
    ended = time.time()
    manifest = {
        "stage": trial.stage.name,
        "version": trial.stage.version,
        "label": trial.label,
        "settings": dict(trial.settings),
        "dataset": trial.dataset,
        "dataset_digest": trial.dataset_digest,
        "seed": trial.seed,
        "upstream": dict(trial.upstream),
        "meta": dict(handoff.meta),
        "run": context.run,
        "commit": context.commit,
        "started": started,
        "ended": ended,
        "seconds": ended - started,
        "peak_bytes": peak_bytes(),
        "host": platform.node(),
        "worker": os.getpid(),
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "versions": {"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
    }
    store.commit(
        folder,
        trial.fingerprint,
        trial.label,
        manifest,
        lambda: check_fencing(context.root, context.fencing),
    )


def describe_failure(label: str, error: BaseException) -> dict[str, Any]:
    """A failure as the store keeps it: what kind, the message, where it was raised."""
    return {
        "label": label,
        "kind": failure_kind(error),
        "error": f"{type(error).__name__}: {error}",
        "traceback": "".join(traceback.format_exception(error)),
        "time": time.time(),
    }


def failure_kind(error: BaseException) -> str:
    """``nan``, ``oom``, ``disk``, ``lease`` or ``bug``."""
    if isinstance(error, LeaseLostError):
        return "lease"
    if is_disk_full(error):
        return "disk"
    if isinstance(error, FloatingPointError):
        return "nan"
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "oom"
    return "bug"


def is_disk_full(error: BaseException | None) -> bool:
    """Whether a full disk is behind an error; some writers tell it in words alone."""
    while error is not None:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return True
        if "No space left on device" in str(error) or "os error 28" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _quiet() -> None:
    """Keeps libraries from telling each trial what is true of every trial."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning.*")
