"""Runs of ``seeds`` in the process of a test: what ran, where rows stand, grids of one axis."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from analysis.sequential_rule import read_rule
from analysis.tables import Asked, Table, make_table, read_study
from analysis.tables.seeds import Standing, standings
from graphids.commands import seeds
from graphids.core.metrics import METRICS_VERSION
from graphids.runner.execute import DONE, SOME_FAILED, RunOptions, write_plan
from graphids.runner.plan import Plan
from graphids.runner.trainable import describe_failure
from graphids.stages.handoff import write_handoff
from graphids.store.ledger import Ledger
from graphids.store.outputs import OutputStore
from graphids.store.results import read_plans

GRID = Path(__file__).with_name("seeds_grid.py")
Execute = Callable[[Plan, Iterable[str], RunOptions], int]


class Here:
    """Runs plans in this process, and counts what it ran; may end in the middle, as a kill does."""

    def __init__(self, killed_after: int | None = None, broken: Iterable[str] = ()) -> None:
        self.ran: list[str] = []
        self.rounds = 0
        self.killed_after = killed_after
        self.broken = set(broken)
        """Labels of trials that fail by no fault of theirs."""

    def __call__(self, plan: Plan, wanted: Iterable[str], options: RunOptions) -> int:
        store, ledger = OutputStore(options.store), Ledger(options.store)
        self.rounds += 1
        write_plan(plan, f"run-{len(list(options.store.glob('plans/luck/*.parquet'))):03}",
                   options.store)  # fmt: skip
        code = DONE
        for key in plan.trials.keys() & set(wanted) - plan.committed(store):
            trial = plan.trials[key]
            if len(self.ran) == self.killed_after:
                raise KeyboardInterrupt
            self.ran.append(trial.label)
            try:
                if trial.label in self.broken:
                    raise FloatingPointError("the device was lost")
                found = trial.stage.run(trial, {}, lambda metrics: None)  # type: ignore[attr-defined]
            except FloatingPointError as error:
                ledger.fail(key, describe_failure(trial.label, error))
                code = SOME_FAILED
                continue
            folder = store.begin(key)
            write_handoff(found, folder)
            manifest = {
                "label": trial.label, "stage": trial.stage.name, "meta": {}, "holds": None,
                "upstream": {}, "device": "cpu", "metrics_version": METRICS_VERSION,
            }  # fmt: skip
            store.commit(folder, key, trial.label, manifest)
        return code


def add(store: Path, most: int = 20, **more: object) -> int:
    """The verb with its defaults."""
    given: dict[str, object] = {
        "grid": str(GRID), "until": "decided", "most": most, "metric": "mcc", "subset": None,
        "margin": None, "data": None, "store": store, "address": None, "datasets": None,
        "settings": None, "dry_run": False, "max_concurrent": None, "memory_limit": None,
        "fuse": True, "probe": True, "dashboard": False, "verbose": 0, "commit": "none",
    }  # fmt: skip
    return seeds.main(**{**given, **more})  # type: ignore[arg-type]


def planned(store: Path) -> dict[str, int]:
    """Seeds of each row."""
    plan = read_plans(store, "luck").filter(role="row")
    return dict(plan.group_by("variant").len().iter_rows())


def stands(store: Path) -> dict[str, Standing]:
    rule = read_rule(store, "luck")
    assert rule is not None
    return {one.variant: one for one in standings(read_study(store, "luck"), rule)}


def table(store: Path, **asked: object) -> Table:
    return make_table(store, "luck", "ablation", Asked(**asked))  # type: ignore[arg-type]


def plain_run(
    store: Path, grid: Path, chosen: str | None = None, datasets: str | None = None
) -> None:
    """What ``run`` leaves: every row with the grid's own seeds, or with others."""
    wanted = seeds.narrow(seeds.load_grid(str(grid)), chosen, datasets, None)
    plan = seeds.plan_grid(wanted, None, store)
    Here()(plan, plan.trials, RunOptions(store=store))


def write_axis(path: Path, *skills: float, given: int = 3) -> Path:
    """The grid with one axis alone, whose first skill is the baseline's."""
    text = GRID.read_text()
    levels = ", ".join(map(str, skills))
    path.write_text(
        text[: text.index("variants=(")] + f'variants=one_at_a_time(Guess(), Axis.of("skill", '
        f'{levels})), datasets=("sim_small",), seeds=range({given}))\n'
    )
    return path
