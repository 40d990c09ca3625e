"""``seeds``: adds seeds to the rows that are not decided yet, by a rule that is declared first."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import polars as pl

from analysis.sequential_rule import Rule, agreed, declare, keep_looks, make_rule, read_rule
from analysis.tables import Asked, read_study
from analysis.tables.seeds import Standing, awaited, standings, taken
from analysis.tables.study import TABULATED
from graphids.commands import table as table_command
from graphids.commands.errors import RequestError, as_request
from graphids.commands.loading import load_grid, narrow, plan_grid
from graphids.commands.run import RunFlags, ending_on_sigterm, execute_request, run_options
from graphids.data.datasets import open_dataset
from graphids.grid.grid import Grid, Variant
from graphids.runner.execute import DONE, SOME_FAILED, RunOptions
from graphids.runner.plan import Plan, Row
from graphids.store.ledger import Ledger
from graphids.store.outputs import SHORT, OutputStore
from graphids.store.results import read_design

DECIDED = "decided"


def main(
    *,
    grid: str,
    until: str,
    most: int,
    metric: str,
    subset: str | None,
    margin: float | None,
    data: Path | None,
    store: Path,
    datasets: str | None,
    settings: Sequence[str] | None,
    dry_run: bool,
    **flags: Unpack[RunFlags],
) -> int:
    """Declares the rule, runs a look's seeds of every open row, and again until none is open."""
    if until != DECIDED:
        raise RequestError(f"--until takes {DECIDED!r} (got {until!r})")
    with as_request():
        study = narrow(load_grid(grid), None, datasets, settings)
        Asked(metric=metric)
        _require_subset(study, subset, data, store)
        known = read_rule(store, study.name)
        design = plan_grid(study, data, store).design
        rule = make_rule(
            metric=metric,
            subset=subset,
            most=most,
            margin=margin,
            seeds=known.seeds[: known.given] if known else _seeds_so_far(study, design, store),
            rows=_sharing(study, known),
            design=design,
        )
        if not dry_run:
            rule = declare(store, study.name, rule)
        elif known:
            rule = agreed(study.name, known, rule)
        whole = plan_grid(replace(study, seeds=rule.seeds), data, store)
    adding = Adding(plan=whole, rule=rule, store=store)
    sys.stdout.write(f"Rule: {rule.sentence()}\nStore: {store}\n")
    if dry_run:
        adding.say()
        return 0
    with ending_on_sigterm():
        if known and known.design == design:
            # What could be seen before is kept before anything that failed is tried again.
            adding.look()
        code = adding.run(run_options(store, **flags))
    adding.say()
    table_command.main(
        grid=whole.grid.name, store=store, style=None, metric=rule.metric, allow_mixed=True
    )
    return code


@dataclass(frozen=True, kw_only=True)
class Adding:
    """Seeds on their way to the rows of a grid."""

    plan: Plan
    """Every row with every seed that the rule can give."""
    rule: Rule
    """The declared rule."""
    store: Path
    """Folder of the store."""

    @property
    def compared(self) -> Mapping[str, str]:
        """Baseline of each row that has one with its last stage."""
        return {row.name: base.name for row, base in _compared(self.plan.grid)}

    def standings(self) -> tuple[Standing, ...]:
        """Where the rows stand by the results in the store; none before the first run."""
        if _latest_design(self.store, self.plan.grid.name) != self.plan.design:
            return ()
        with as_request():
            study = read_study(self.store, self.plan.grid.name, Asked(allow_mixed=True))
        datasets = set(self.plan.grid.datasets)
        return tuple(one for one in standings(study, self.rule) if one.dataset in datasets)

    def look(self) -> None:
        """Takes every look that can be taken, and keeps what it finds for good."""
        with as_request():
            keep_looks(self.store, self.plan.grid.name, taken(self.standings(), self.rule))

    def run(self, options: RunOptions) -> int:
        """Runs look after look until no row is open; returns the exit code."""
        # What rows should have by now, and what failed of it: as `run` would.
        part = self.part(self.sizes_so_far())
        code = execute_request(part, part.trials, options)
        self.look()
        sizes, before = self.sizes(), None
        while sizes and sizes != before and code in (DONE, SOME_FAILED):
            self.say()
            part = self.part(sizes)
            # What failed in one round has failed, whatever the next one does.
            code = execute_request(part, self.not_failed(part), options) or code
            self.look()
            sizes, before = self.sizes(), sizes
        return code

    def sizes(self) -> dict[tuple[str, str], int]:
        """Seeds that each data set and row awaits; empty where no row is open."""
        return awaited(self.standings(), self.compared, self.plan.grid.datasets, self.rule)

    def sizes_so_far(self) -> dict[tuple[str, str], int]:
        """Seeds that each data set and row, references included, was given up to now."""
        sizes = {
            (dataset, row.name): self.rule.given
            for dataset in self.plan.grid.datasets
            for row in self.plan.variants
        }
        for one in self.standings():
            for name in (one.variant, one.baseline):
                sizes[one.dataset, name] = max(one.seeds, sizes[one.dataset, name])
        return sizes

    def part(self, sizes: Mapping[tuple[str, str], int]) -> Plan:
        """The plan of rows with so many seeds each; those that are not named have none."""
        order = {seed: i for i, seed in enumerate(self.rule.seeds)}

        def keep(row: Row) -> bool:
            return order[row.seed] < sizes.get((row.dataset, row.variant.name), 0)

        return self.plan.narrowed(keep)

    def not_failed(self, part: Plan) -> set[str]:
        """Trials without a failure of their own or upstream: what failed is not tried again."""
        failed = Ledger(self.store).failures()
        found: set[str] = set()
        for key, trial in part.trials.items():
            if key[:SHORT] not in failed and found.issuperset(trial.upstream.values()):
                found.add(key)
        return found

    def say(self) -> None:
        """Prints where each row stands and what comes next."""
        for one in self.standings():
            sys.stdout.write(f"  {one.dataset}: {one.told()}\n")
        sizes = self.sizes()
        part = self.part(sizes)
        left = len(self.not_failed(part) - part.committed(OutputStore(self.store)))
        rows = [
            f"{row} on {data} ({n})" for (data, row), n in sizes.items() if row in self.compared
        ]
        sys.stdout.write(
            f"Open, with the seeds of the next look: {', '.join(rows)}; {left} trials to run\n"
            if rows
            else "No row is open.\n"
        )
        sys.stdout.flush()


def _compared(grid: Grid) -> Iterator[tuple[Variant, Variant]]:
    """Rows that have a baseline with their last stage, and that baseline."""
    baselines = {row.stage.name: row for row in grid.variants if row.baseline}
    for row in grid.variants:
        if not row.baseline and row.stage.name in baselines:
            yield row, baselines[row.stage.name]


def _largest_axis(grid: Grid) -> int:
    """Most rows that one axis compares with one baseline.

    Raises:
        ValueError: no row is compared.
    """
    counts = Counter((row.stage.name, row.axis) for row, _ in _compared(grid))
    if not counts:
        raise ValueError(
            f"grid {grid.name!r} has no row with a baseline of the same last stage: no seed can "
            "decide anything; mark another baseline"
        )
    return max(counts.values())


def _sharing(grid: Grid, known: Rule | None) -> int:
    """Rows that share the level: as many as were declared, or those of the largest axis.

    Raises:
        ValueError: no row is compared, or an axis has more rows than were declared.
    """
    most = _largest_axis(grid)
    if known is None:
        return most
    if most > known.rows:
        raise ValueError(
            f"the declared rule shares its level among {known.rows} "
            f"row{'' if known.rows == 1 else 's'} of an axis, and grid {grid.name!r} now has "
            f"{most}; start anew with another --store"
        )
    return known.rows


def _seeds_so_far(grid: Grid, design: str, store: Path) -> list[int]:
    """Seeds of the grid, and others that this design was planned with in the store before."""
    if _latest_design(store, grid.name) != design:
        return list(grid.seeds)
    planned = read_design(store, grid.name).filter(pl.col("role").is_in(TABULATED))
    return [*grid.seeds, *planned["seed"].unique().sort().to_list()]


def _latest_design(store: Path, grid: str) -> str | None:
    """Digest of the rows that the latest run of a grid has planned; none before the first run."""
    try:
        return str(read_design(store, grid)["design"][0])
    except FileNotFoundError:
        return None


def _require_subset(grid: Grid, subset: str | None, data: Path | None, store: Path) -> None:
    """Refuses a subset that a data set does not have: nothing would ever be decided there.

    Raises:
        ValueError: names the subsets that there are.
    """
    for name in grid.datasets if subset else ():
        tests = open_dataset(name, data, digest_cache=store / "cache" / "digests.json").tests
        if not any(test.startswith(str(subset)) for test in tests):
            raise ValueError(
                f"data set {name!r} has no test subset {subset!r}; it has {', '.join(tests)}"
            )
