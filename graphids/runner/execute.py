"""Runs a plan: takes the store, starts the keepers, hands the graph of trials to one Tune run."""

from __future__ import annotations

import logging
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError

from graphids.runner.ahead import handlers_kept
from graphids.runner.cluster import check_store_is_shared, cluster, node_device, slots
from graphids.runner.forecast import Forecast
from graphids.runner.handoffs import start_keepers
from graphids.runner.jobs import Knowledge
from graphids.runner.plan import Plan, cost
from graphids.runner.progress import Progress
from graphids.runner.reservation import Reservations
from graphids.runner.search import ReadyTrials
from graphids.runner.trainable import RunContext, run_job
from graphids.store.disk import is_disk_full
from graphids.store.files import write_atomic
from graphids.store.lease import Lease
from graphids.store.ledger import Ledger
from graphids.store.outputs import OutputStore
from graphids.store.results import PlanFacts, plan_bytes, plan_path

SAID_ELSEWHERE = (
    "ray.tune.execution.tune_controller",
    "ray.tune.tune",
    "ray.tune.analysis.experiment_analysis",
)
DONE, SOME_FAILED, DISK_FULL, STORE_LOST, INTERRUPTED = 0, 1, 4, 5, 130


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a plan is run; none of it bears on a result."""

    store: Path
    """Folder of the store."""
    address: str | None = None
    """Cluster to join; ``None`` starts a local one."""
    dashboard: bool = True
    """Whether a local cluster has a dashboard."""
    commit: str | None = None
    """Commit of the source, for the manifests."""
    verbose: int = 1
    """How much Tune prints: 0 nothing, 1 its status table, 2 every epoch."""
    max_concurrent: int | None = None
    """Most jobs at once; ``None`` for as many as there are cores."""
    memory_limit: int | None = None
    """Most bytes of a device that trials may use; ``None`` for all that is free."""
    probe: bool = True
    """Whether shapes that were never measured are measured before their first trial."""
    together: bool = True
    """Whether short trials that differ in their seed alone share a process."""


def execute(plan: Plan, wanted: Iterable[str], options: RunOptions) -> int:
    """Runs what is wanted of a plan and not committed yet.

    Args:
        plan: The graph of trials.
        wanted: Fingerprints to run; what they need upstream runs as well.
        options: How to run it.

    Returns:
        The exit code: 0 all trials done, 1 some failed, 4 disk full, 5 the store was lost to
        another run, 130 interrupted.

    Raises:
        StoreHeldError: if another run writes the store.
        InfeasibleError: if the cluster cannot run it.
    """
    run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{uuid.uuid4().hex[:6]}"
    store, ledger = OutputStore(options.store), Ledger(options.store)
    with Lease(options.store, run) as lease:
        store.sweep()
        write_plan(plan, run, options.store)
        search = ReadyTrials(plan, plan.committed(store), wanted)
        ledger.append(run, "run_started", grid=plan.grid.name, trials=len(search.waiting))
        if search.waiting:
            _tune(plan, search, lease, options)
        counts = {"done": len(search.done), "failed": len(search.failed)}
        _tell(ledger, search, run, "run_ended", **counts)
    return _exit_code(search)


def write_plan(plan: Plan, run: str, root: Path) -> None:
    """Writes the plan of a run, so that tables and status need nothing but the store."""
    facts = PlanFacts(dropped=plan.dropped, notes=plan.notes)
    write_atomic(plan_path(root, plan.grid.name, run), plan_bytes(plan.frame(run), facts))


def _tune(plan: Plan, search: ReadyTrials, lease: Lease, options: RunOptions) -> None:
    """One Tune run over the whole graph of trials."""
    _carry_own_stages(plan)
    store, ledger = OutputStore(options.store), Ledger(options.store)
    with cluster(options.address, dashboard=options.dashboard) as dashboard:
        sys.stdout.write(f"Ray: {options.address or 'local'}, dashboard {dashboard}\n")
        sys.stdout.flush()
        parallel = min(slots(), options.max_concurrent or slots())
        check_store_is_shared(options.store)
        keepers = start_keepers(lease.run, options.store)
        forecast = Forecast(plan, store, node_device(options.memory_limit))
        reservations = Reservations(forecast)
        reservations.refuse_what_does_not_fit(search.waiting)
        search.knowledge = Knowledge(
            is_committed=lambda key: store.find(key) is not None,
            unmeasured=forecast.unmeasured if options.probe else lambda key: None,
            failure=ledger.failure,
            together=options.together,
            reserve=reservations.config,
            told=partial(ledger.size, lease.run),
        )
        context = RunContext(
            run=lease.run,
            root=options.store,
            fencing=lease.fencing,
            trials=plan.trials,
            commit=options.commit,
        )
        # In the store, which every node sees; what a kill leaves behind is swept by the next run.
        store.temporary.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix="tune-", dir=store.temporary, ignore_cleanup_errors=True
        ) as scratch:
            tuner = tune.Tuner(
                tune.with_resources(
                    tune.with_parameters(run_job, context=context),
                    lambda config: tune.PlacementGroupFactory([config["bundle"]]),
                ),
                tune_config=tune.TuneConfig(
                    search_alg=search,
                    # How many jobs there are turns out on the way: probes, retries, workers kept.
                    num_samples=-1,
                    max_concurrent_trials=parallel,
                    reuse_actors=True,
                    trial_name_creator=_name,
                    trial_dirname_creator=_folder,
                ),
                run_config=tune.RunConfig(
                    name=lease.run,
                    # Tune's own state is never read back: the store is the truth.
                    storage_path=scratch,
                    verbose=options.verbose,
                    callbacks=[_progress(plan, search, lease, options)],
                ),
            )
            _fit(tuner)
        _tell(ledger, search, lease.run, "handoffs", reads=_handoffs(keepers))


def _tell(ledger: Ledger, search: ReadyTrials, run: str, event: str, **details: Any) -> None:
    """Notes an event at the end of a run; where the disk is full, that is how the run ended."""
    try:
        ledger.append(run, event, **details)
    except OSError as error:
        if not is_disk_full(error):
            raise
        search.stop("disk")


def _handoffs(keepers: list[Any]) -> dict[str, int]:
    """How often each output was read from disk; a keeper that is gone tells nothing."""
    reads: dict[str, int] = {}
    for keeper in keepers:
        with suppress(RayError):
            for key, count in ray.get(keeper.counts.remote()).items():
                reads[key[:12]] = max(count, reads.get(key[:12], 0))
    return reads


def _fit(tuner: tune.Tuner) -> None:
    """Runs Tune without what it would say twice or in vain.

    A failure is in the store and in the line of progress; Tune's own log files are switched off.
    """
    loggers = [logging.getLogger(name) for name in SAID_ELSEWHERE]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        # Tune's handler of SIGINT would swallow what comes after the run, round by round.
        with handlers_kept():
            tuner.fit()
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _progress(plan: Plan, search: ReadyTrials, lease: Lease, options: RunOptions) -> Progress:
    """The callback that keeps the ledger and prints the line of progress."""
    costs = {key: cost(trial.stage) for key, trial in plan.trials.items()}
    return Progress(Ledger(options.store), lease.run, lease.fencing, search, costs)


def _name(trial: Any) -> str:
    """A trial's name in Tune's output."""
    return str(trial.config["label"])


def _folder(trial: Any) -> str:
    """A trial's scratch folder."""
    keys = trial.config["fingerprints"]
    return f"{keys[0][:12] if keys else 'keep'}-{trial.trial_id}"


def _carry_own_stages(plan: Plan) -> None:
    """Sends the code of a user's own stages along: workers cannot import it by name."""
    for trial in plan.trials.values():
        module = sys.modules[type(trial.stage).__module__]
        if not module.__name__.startswith("graphids."):
            ray.cloudpickle.register_pickle_by_value(module)


def _exit_code(search: ReadyTrials) -> int:
    """How a run ended."""
    if search.stopped:
        return {"disk": DISK_FULL, "lease": STORE_LOST}[search.stopped]
    if search.waiting or search.running:
        return INTERRUPTED
    return SOME_FAILED if search.failed or search.skipped else DONE
