"""``run``: what is not committed yet of a grid, then its table."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TypedDict, Unpack

from graphids.commands import table as table_command
from graphids.commands.errors import RequestError
from graphids.commands.loading import requested_plan
from graphids.commands.plan import read_needs, show
from graphids.runner.ahead import TERMINATED
from graphids.runner.cluster import InfeasibleError
from graphids.runner.devices import local_device
from graphids.runner.execute import RunOptions, execute
from graphids.runner.forecast import Forecast
from graphids.runner.packing import GIB
from graphids.runner.plan import Plan
from graphids.store.ledger import Ledger
from graphids.store.outputs import OutputStore


class RunFlags(TypedDict):
    """What the command line asks of every verb that runs trials, by its names."""

    address: str | None
    """Ray cluster to join; none starts a local one."""
    max_concurrent: int | None
    """Most jobs at once."""
    memory_limit: float | None
    """Most GiB of a device that trials may use."""
    fuse: bool
    """Whether seeds of a short trial may share one process."""
    probe: bool
    """Whether to measure what was never measured."""
    dashboard: bool
    """Whether a local Ray has a dashboard."""
    verbose: int
    """What Tune prints."""
    commit: str | None
    """Commit of the source; none asks git."""


def main(
    *,
    grid: str,
    data: Path | None,
    store: Path,
    seeds: str | None,
    datasets: str | None,
    settings: Sequence[str] | None,
    only: str | None,
    dry_run: bool,
    **flags: Unpack[RunFlags],
) -> int:
    """Plans a grid, runs what is missing, prints the table and where its files are."""
    if only not in (None, "failed"):
        raise RequestError(f"--only takes 'failed' (got {only!r})")
    plan = requested_plan(grid, data, store, seeds, datasets, settings)
    committed = plan.committed(OutputStore(store))
    forecast = Forecast(plan, OutputStore(store), local_device())
    known = all(forecast.unmeasured(key) is None for key in plan.trials)
    show(plan, committed, read_needs(forecast, committed) if known else None)
    sys.stdout.write(f"Store: {store}\n")
    sys.stdout.flush()
    if dry_run:
        return 0
    wanted = failed_or_skipped(plan, committed, Ledger(store)) if only else set(plan.trials)
    options = run_options(store, **flags)
    with ending_on_sigterm():
        code = execute_request(plan, wanted, options)
    table_command.main(grid=plan.grid.name, store=store, style=None, allow_mixed=True)
    sys.stdout.write(
        f"Outputs: {store / 'outputs'}\nAgain: graphids table {grid} --store {store} --format md\n"
    )
    return code


def run_options(store: Path, **flags: Unpack[RunFlags]) -> RunOptions:
    """How to run on a store, as the flags ask for it."""
    memory_limit = flags["memory_limit"]
    return RunOptions(
        store=store,
        address=flags["address"],
        dashboard=flags["dashboard"],
        commit=flags["commit"] or source_commit(),
        verbose=flags["verbose"],
        max_concurrent=flags["max_concurrent"],
        memory_limit=None if memory_limit is None else int(memory_limit * GIB),
        together=flags["fuse"],
        probe=flags["probe"],
    )


def execute_request(plan: Plan, wanted: Iterable[str], options: RunOptions) -> int:
    """Runs what is wanted of a plan; returns the exit code.

    Raises:
        RequestError: the cluster cannot run it.
    """
    try:
        return execute(plan, wanted, options)
    except InfeasibleError as error:
        raise RequestError(str(error)) from error


def failed_or_skipped(plan: Plan, committed: set[str], ledger: Ledger) -> set[str]:
    """Trials that failed when they last ran, and those that were skipped because of them."""
    found: set[str] = set()
    for key, trial in plan.trials.items():
        behind = found & set(trial.upstream.values())
        if key not in committed and (behind or ledger.failure(key) is not None):
            found.add(key)
    return found


def source_commit() -> str | None:
    """Commit of the source that runs, ``None`` outside a git checkout."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()


@contextmanager
def ending_on_sigterm() -> Iterator[None]:
    """Ends on SIGTERM with code 143: the store is released, a local Ray ended, nothing lost."""
    received = []

    def terminate(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except SystemExit:
        # Ray turns an exit that reaches it in the middle of a call into one with code 1.
        if received:
            raise SystemExit(TERMINATED) from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
