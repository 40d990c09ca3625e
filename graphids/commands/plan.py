"""``plan``: what a run would do."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from graphids.commands.loading import requested_plan
from graphids.runner.plan import Plan
from graphids.store.outputs import OutputStore


def main(
    *,
    grid: str,
    data: Path | None,
    store: Path,
    seeds: str | None,
    datasets: str | None,
    settings: Sequence[str] | None,
    as_json: bool,
) -> int:
    """Prints the plan of a grid; trains nothing and needs no Ray."""
    plan = requested_plan(grid, data, store, seeds, datasets, settings)
    committed = plan.committed(OutputStore(store))
    if as_json:
        sys.stdout.write(json.dumps(plan.summary(committed), indent=1) + "\n")
    else:
        show(plan, committed)
    return 0


def show(plan: Plan, committed: set[str]) -> None:
    """Prints rows, trials, what sharing saved and what is committed."""
    console = Console(highlight=False)
    saved = plan.total_trials - len(plan.trials)
    rows = sum(not row.reference for row in plan.rows)
    console.print(
        f"Grid [bold]{plan.grid.name}[/bold]: {rows} rows = "
        f"{len(plan.grid.variants)} variants x {len(plan.grid.datasets)} datasets "
        f"x {len(plan.grid.seeds)} seeds; {len(plan.grid.references or ())} references below"
    )
    console.print(
        f"{plan.total_trials} trials, {len(plan.trials)} after sharing ({saved} saved); "
        f"{len(committed)} committed, {len(plan.trials) - len(committed)} to run"
    )
    table = Table("stage", "trials", "committed", "to run")
    stages = Counter(trial.stage.name for trial in plan.trials.values())
    ready = Counter(plan.trials[key].stage.name for key in committed)
    for stage, count in stages.items():
        table.add_row(stage, str(count), str(ready[stage]), str(count - ready[stage]))
    console.print(table)
    for variant in plan.grid.variants:
        mark = " (baseline)" if variant.baseline else ""
        where = f"{variant.axis} = {variant.level}" if variant.axis else "outside the axes"
        console.print(f"  {variant.name}{mark}: {variant.stage.name}, {where}")
    for entry in plan.dropped:
        console.print(f"  {entry['variant']}: dropped ({entry['rule']}): {entry['reason']}")
    for note in plan.notes:
        console.print(f"Note: {note}")
