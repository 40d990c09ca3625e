"""``plan``: what a run would do, what each trial would need and how long all of it would take."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from graphids.commands.errors import RequestError
from graphids.commands.loading import requested_plan
from graphids.runner.devices import local_device
from graphids.runner.forecast import Expected, Forecast
from graphids.runner.measuring import measure_here
from graphids.runner.outlook import Outlook, outlook
from graphids.runner.packing import GIB, Device, DoesNotFitError
from graphids.runner.plan import Plan
from graphids.runner.progress import clock
from graphids.store.outputs import OutputStore

FILE_WIDTH = 120
"""Characters of a line where the output goes to a file or a pipe."""


def main(
    *,
    grid: str,
    data: Path | None,
    store: Path,
    seeds: str | None,
    datasets: str | None,
    settings: Sequence[str] | None,
    probe: bool,
    as_json: bool,
) -> int:
    """Prints the plan of a grid; trains nothing and needs no Ray."""
    plan = requested_plan(grid, data, store, seeds, datasets, settings)
    outputs = OutputStore(store)
    committed = plan.committed(outputs)
    forecast = Forecast(plan, outputs, local_device())
    if probe:
        measure_here(forecast, outputs, say=_say)
    needs = read_needs(forecast, committed)
    if as_json:
        found = plan.summary(committed, needs.details())
        found["outlook"] = needs.outlook.to_dict()
        sys.stdout.write(json.dumps(found, indent=1) + "\n")
    else:
        show(plan, committed, needs)
    return 0


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What the trials of a plan are expected to need."""

    device: Device
    """What they run on."""
    expected: Mapping[str, Expected]
    """Expectations by fingerprint."""
    outlook: Outlook
    """The whole grid."""

    def details(self) -> dict[str, dict[str, Any]]:
        """Plain values for each trial, in JSON's terms."""
        return {
            key: {
                "predicted_bytes": one.peak_bytes,
                "reserved_bytes": one.share.reserved_bytes,
                "share": one.share.fraction,
                "per_device": one.share.tenants,
                "binding": one.share.binding,
                "predicted_seconds": one.seconds,
                "basis": one.basis,
            }
            for key, one in self.expected.items()
        }


def read_needs(forecast: Forecast, committed: set[str]) -> Needs:
    """Expectations of a plan from what the store knows; measures nothing.

    Raises:
        RequestError: A trial fits no device.
    """
    store = forecast.store
    folders = store.committed()
    trials = forecast.plan.trials
    manifests = {key: store.manifest(folders[trials[key].short]) for key in committed}
    try:
        expected = forecast.expected(manifests)
    except DoesNotFitError as error:
        raise RequestError(f"a trial of grid {forecast.plan.grid.name!r} {error}") from error
    return Needs(
        device=forecast.device,
        expected=expected,
        outlook=outlook(forecast.plan, expected, committed, forecast.device),
    )


def show(plan: Plan, committed: set[str], needs: Needs | None = None) -> None:
    """Prints rows, trials, what sharing saved, what is committed and what the rest will need."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else FILE_WIDTH)
    saved = plan.total_trials - len(plan.trials)
    rows = sum(not row.reference for row in plan.rows)
    console.print(
        f"Grid [bold]{plan.grid.name}[/bold]: {rows} rows = "
        f"{len(plan.grid.variants)} variants x {len(plan.grid.datasets)} datasets "
        f"x {len(plan.grid.seeds)} seeds; {len(plan.grid.references or ())} references below"
        + (f", {len(plan.analyses)} analyses" if plan.analyses else "")
    )
    console.print(
        f"{plan.total_trials} trials, {len(plan.trials)} after sharing ({saved} saved); "
        f"{len(committed)} committed, {len(plan.trials) - len(committed)} to run"
    )
    console.print(_stages(plan, committed) if needs is None else _kinds(plan, committed, needs))
    if needs is not None:
        console.print(_outlook_line(needs))
    for variant in plan.grid.variants:
        mark = " (baseline)" if variant.baseline else ""
        where = f"{variant.axis} = {variant.level}" if variant.axis else "outside the axes"
        console.print(f"  {variant.name}{mark}: {variant.stage.name}, {where}")
    for analysis in plan.grid.analyses:
        seeds = plan.grid.seeds if analysis.all_seeds else plan.grid.seeds[:1]
        told = f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"
        console.print(f"  {analysis.name} (analysis): {analysis.stage.name}, {told}")
    for entry in plan.dropped:
        console.print(f"  {entry['variant']}: dropped ({entry['rule']}): {entry['reason']}")
    for note in plan.notes:
        console.print(f"Note: {note}")


def _stages(plan: Plan, committed: set[str]) -> Table:
    """Trials of each stage."""
    table = Table("stage", "trials", "committed", "to run")
    stages = Counter(trial.stage.name for trial in plan.trials.values())
    ready = Counter(plan.trials[key].stage.name for key in committed)
    for stage, count in stages.items():
        table.add_row(stage, str(count), str(ready[stage]), str(count - ready[stage]))
    return table


def _kinds(plan: Plan, committed: set[str], needs: Needs) -> Table:
    """Trials of each kind (all seeds of one stage of one row) and what one of them needs."""
    table = Table()
    table.add_column("trial", no_wrap=True)
    for heading in ("seeds", "to run", "peak", "at once", "time each"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("bound by", no_wrap=True)
    table.add_column("basis", no_wrap=True)
    kinds: dict[str, list[str]] = {}
    for key, trial in plan.trials.items():
        kinds.setdefault(trial.label.partition(" seed ")[0], []).append(key)
    for name, keys in kinds.items():
        most = max((needs.expected[key] for key in keys), key=lambda one: one.peak_bytes)
        seconds = sum(needs.expected[key].seconds for key in keys) / len(keys)
        left = sum(key not in committed for key in keys)
        table.add_row(
            name,
            str(len(keys)),
            str(left),
            f"{most.peak_bytes / 2**20:,.0f} MiB",
            str(most.share.tenants),
            f"{seconds:.1f} s",
            most.share.binding,
            most.basis,
        )
    return table


def _outlook_line(needs: Needs) -> str:
    """One sentence about the whole grid."""
    ahead = needs.outlook
    return (
        f"On {needs.device.name} ({needs.device.free_bytes / GIB:.1f} GiB, "
        f"{needs.device.cores} cores), {ahead.slots} at once: about {clock(ahead.seconds)}, "
        f"of which the longest path takes {clock(ahead.critical_seconds)}; "
        f"{ahead.disk_bytes / 2**20:,.0f} MiB of outputs"
    )


def _say(what: str) -> None:
    """Tells on standard error what takes its time: standard output is the plan's."""
    sys.stderr.write(f"{what}\n")
