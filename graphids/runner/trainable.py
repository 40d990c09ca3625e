"""The one Tune trainable: runs a trial's stage on its inputs and commits what comes out."""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from graphids.imports import uncollected

# A worker imports this module first of all. A process that has torch already may hold models of its
# own, which nothing would free any more.
with nullcontext() if "torch" in sys.modules else uncollected():
    import torch
    from ray import tune

    from graphids.core.memory import limit_memory, trial_device
    from graphids.core.metrics import METRICS_VERSION
    from graphids.core.usage import Usage
    from graphids.grid.trial import Trial
    from graphids.runner.handoffs import fetch
    from graphids.runner.measuring import measure, quiet_libraries
    from graphids.stages.handoff import Handoff, write_handoff
    from graphids.stages.protocol import Report, Stage, Together
    from graphids.store.disk import is_disk_full
    from graphids.store.lease import LeaseLostError, check_fencing
    from graphids.store.ledger import Ledger
    from graphids.store.measurements import Measurements
    from graphids.store.outputs import OutputStore

PACKAGES = ("graphids", "ray", "torch", "torch-geometric", "lightning", "polars", "numpy")
KEEP_S, KEEP_STEP_S = 30.0, 0.05
"""How long a worker is kept by one job at most, and how often it looks whether it is needed."""


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


def run_job(config: dict[str, Any], context: RunContext) -> None:
    """Runs the trials of a job and commits their outputs, or measures a shape.

    A failure is kept in the store under the trial that failed, and raised again at the end: the
    other trials of the job are committed all the same.
    """
    quiet_libraries()
    # Trials share the machine: a second thread in each would only make them wait for one another.
    torch.set_num_threads(1)
    if config["awaits"] is not None:
        _keep(config["awaits"], context)
        return
    if config["probe"]:
        _measure(config, context)
        return
    trials = [context.trials[key] for key in config["fingerprints"]]
    ledger = Ledger(context.root)
    try:
        outcomes = _run(trials, Reserved.of(config), context)
    except Exception as error:
        outcomes = [error] * len(trials)
    failures = []
    for trial, outcome in zip(trials, outcomes, strict=True):
        if outcome is None:
            ledger.forgive(trial.fingerprint)
            continue
        failures.append(outcome)
        # A run that lost the store must not write into it; a full disk takes no account of itself.
        with suppress(LeaseLostError, OSError):
            check_fencing(context.root, context.fencing)
            ledger.fail(trial.fingerprint, describe_failure(trial.label, outcome))
    if failures:
        raise failures[0]


@dataclass(frozen=True, kw_only=True)
class Reserved:
    """What a job was given of a device, for its manifests."""

    reserved_bytes: int
    """Memory that it may use."""
    holds: tuple[int, int] | None
    """Nodes and edges that fit at once; ``None`` where a whole batch does."""
    predicted_bytes: int | None
    """Predicted peak of its tensors."""
    predicted_seconds: float | None
    """Predicted duration of one of its trials."""
    allocation_bytes: int
    """What its allocator may hold of a GPU."""
    attempt: int
    """How often it ran out of memory before."""

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Reserved:
        """Reads what the driver wrote."""
        return cls(attempt=config["attempt"], **config["reserved"])


def _keep(told: int, context: RunContext) -> None:
    """Keeps a worker, now that its libraries are imported, until there may be work for it."""
    ledger, deadline = Ledger(context.root), time.time() + KEEP_S
    while not ledger.ended_since(context.run, told) and time.time() < deadline:
        time.sleep(KEEP_STEP_S)


def _measure(config: Mapping[str, Any], context: RunContext) -> None:
    """Measures the shape of a trial on its prepared dataset."""
    trial, prepared = context.trials[config["fingerprints"][0]], config["prepared"]
    data = fetch(OutputStore(context.root), context.run, prepared)
    check_fencing(context.root, context.fencing)
    measure(trial, config["probe"], data, Measurements(context.root))


def _run(
    trials: Sequence[Trial], reserved: Reserved, context: RunContext
) -> Sequence[Exception | None]:
    """The trials themselves: inputs in, stage, outputs committed."""
    started = time.time()
    limit_memory(reserved.allocation_bytes)
    usage = Usage.start()
    store = OutputStore(context.root)
    inputs = [
        {role: fetch(store, context.run, key) for role, key in trial.upstream.items()}
        for trial in trials
    ]
    bounded = [replace(trial, holds=reserved.holds) for trial in trials]
    handoffs = _handoffs(bounded, inputs, _report(trials))
    used = {
        "peak_bytes": usage.peak_bytes(),
        "predicted_bytes": reserved.predicted_bytes,
        "predicted_seconds": reserved.predicted_seconds,
        "reserved_bytes": reserved.reserved_bytes,
        "holds": reserved.holds,
        "attempts": reserved.attempt + 1,
    }
    # Trials that shared a process share its time.
    seconds = (time.time() - started) / len(trials)
    outcomes: list[Exception | None] = []
    for trial, handoff in zip(trials, handoffs, strict=True):
        if isinstance(handoff, Exception):
            outcomes.append(handoff)
            continue
        try:
            _commit(trial, handoff, used, (started, seconds), context)
        except Exception as error:
            outcomes.append(error)
        else:
            outcomes.append(None)
    return outcomes


def _handoffs(
    trials: Sequence[Trial], inputs: Sequence[Mapping[str, Handoff]], report: Report
) -> Sequence[Handoff | Exception]:
    """What the trials hand on: of several, each its output or its error."""
    stage = cast("Stage", trials[0].stage)
    if len(trials) == 1:
        return [stage.run(trials[0], inputs[0], report)]
    assert isinstance(stage, Together)
    return stage.run_together(trials, inputs, report)


def _report(trials: Sequence[Trial]) -> Report:
    """Passes the metrics of an epoch to Tune."""
    label = trials[0].label

    def report(metrics: Mapping[str, float]) -> None:
        tune.report({"trial": label, **metrics})

    return report


def _commit(
    trial: Trial,
    handoff: Handoff,
    used: Mapping[str, Any],
    times: tuple[float, float],
    context: RunContext,
) -> None:
    """Writes a trial's output and its manifest, and commits both."""
    store = OutputStore(context.root)
    folder = store.begin(trial.fingerprint)
    write_handoff(handoff, folder)
    started, seconds = times
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
        "metrics_version": METRICS_VERSION,
        "run": context.run,
        "commit": context.commit,
        "started": started,
        "ended": time.time(),
        "seconds": seconds,
        **used,
        "host": platform.node(),
        "worker": os.getpid(),
        "device": trial_device().type,
        "versions": dict(versions()),
    }
    store.commit(
        folder,
        trial.fingerprint,
        trial.label,
        manifest,
        lambda: check_fencing(context.root, context.fencing),
    )


@cache
def versions() -> Mapping[str, str]:
    """Versions of what a result depends on; looked up once a process."""
    return {"python": platform.python_version()} | {name: version(name) for name in PACKAGES}


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
