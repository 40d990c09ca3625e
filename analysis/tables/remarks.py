"""What stands below a table: rows that are missing, how rows and thresholds came about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polars as pl

from analysis.many import INTERVAL_PAIRS
from analysis.tables.decisions import threshold_facts
from analysis.tables.guard import other_windows
from analysis.tables.mixed import Difference
from analysis.tables.seeds import seed_notes
from analysis.tables.study import AS_RUN, SATURATED, Study
from graphids.grid.grid import FLOOR
from graphids.store.ledger import Ledger
from graphids.store.outputs import SHORT
from graphids.store.results import plan_path, read_plan_facts

FEW_SEEDS = 10
"""Below so many seeds an interval is too narrow to be shown without a word."""
COVERAGE = "73 % with 3 seeds, 80 % with 4, 85 % with 5 and 90 % with 10"
"""How often the interval of normal differences holds the truth, simulated; 95 % is what it says."""
DEFINED = "fixed"


def remarks(
    study: Study, cells: pl.DataFrame, differences: Iterable[Difference]
) -> tuple[str, ...]:
    """What every table of results says below its rows.

    Args:
        study: The rows and their results.
        cells: What ``decisions.cells`` gives of it.
        differences: What the guard found, shown because that was allowed.
    """
    return (
        *(f"mixed: {difference.text}" for difference in differences),
        *_aliases(study.rows),
        *dropped(study),
        *study.told,
        *missing(study),
        *other_windows(cells),
        *_twins(cells),
        selection(study.manifests),
        *seed_notes(study),
        *_decisions(study),
        *_saturated(cells),
    )


def few_seeds(n: pl.Series) -> tuple[str, ...]:
    """What to say of intervals of so few seeds."""
    if not any(INTERVAL_PAIRS <= count < FEW_SEEDS for count in n.unique()):
        return ()
    return (
        "the 95 % intervals (BCa bootstrap over seeds) are too narrow for few seeds: of simulated "
        f"studies with normal values they hold the truth in {COVERAGE}",
    )


def missing(study: Study) -> tuple[str, ...]:
    """Why rows have fewer seeds than planned: the error, or that they have not run."""
    rows = study.rows.filter(~pl.col("fingerprint").str.head(SHORT).is_in(list(study.folders)))
    if rows.is_empty():
        return ()
    ledger = Ledger(study.outputs.root)
    failed = ledger.failures()
    keys = ["variant", "dataset", "seed"]
    chains = study.plan.join(rows.select(keys), on=keys, how="semi")
    blocked = chains.filter(pl.col("fingerprint").str.head(SHORT).is_in(list(failed)))
    waiting = set(blocked.select(keys).iter_rows())
    told: dict[tuple[str, str, str], list[int]] = {}
    for variant, dataset, seed, key in rows.select(*keys, "fingerprint").iter_rows():
        failure = ledger.failure(key) if key[:SHORT] in failed else None
        if failure is not None:
            reason = f"failed: {failure['error'].splitlines()[0]}"
        else:
            skipped = (variant, dataset, seed) in waiting
            reason = "skipped: upstream failed" if skipped else "not run"
        told.setdefault((variant, dataset, reason), []).append(seed)
    # While a large grid runs, most of its rows lack the same seeds.
    alike: dict[tuple[str, tuple[int, ...], str], list[str]] = {}
    for (variant, dataset, reason), seeds in told.items():
        alike.setdefault((dataset, tuple(seeds), reason), []).append(variant)
    return tuple(
        f"{', '.join(variants)} on {dataset}, seed{'s' * (len(seeds) > 1)} "
        f"{', '.join(map(str, seeds))}: {reason}"
        for (dataset, seeds, reason), variants in alike.items()
    )


def dropped(study: Study) -> tuple[str, ...]:
    """Rows that the rules of the grid take out, and what its plan says of the data sets."""
    facts = read_plan_facts(plan_path(study.outputs.root, study.grid, str(study.plan["run"].max())))
    rules = (
        f"no row {entry['variant']} (rule {entry['rule']}): {entry['reason']}"
        for entry in facts.dropped
        if entry["rule"] != "alias"
    )
    return (*rules, *facts.notes)


def selection(manifests: Mapping[str, Mapping[str, Any]]) -> str:
    """How the rows were chosen, and their weights."""
    epochs: dict[str, list[int]] = {}
    for manifest in manifests.values():
        meta = manifest["meta"]
        if meta.get("monitor") and meta.get("epochs"):
            epochs.setdefault(meta["monitor"], []).append(int(meta["epochs"]))
    weights = "; ".join(
        f"weights of the best epoch by {monitor} on validation, one of {_range(numbers)}"
        if monitor != "last"
        else f"weights of the last epoch, after {_range(numbers)}"
        for monitor, numbers in epochs.items()
    )
    fixed = "selection: every row is one setting that the grid declares, none chosen by its results"
    return f"{fixed}; {weights}" if weights else fixed


def _aliases(rows: pl.DataFrame) -> Iterator[str]:
    """Rows that stand for several variants of equal settings."""
    named = rows.unique("variant", maintain_order=True).filter(pl.col("aliases").list.len() > 0)
    for row in named.iter_rows(named=True):
        yield f"{row['variant']} is also {', '.join(row['aliases'])}: equal settings, one training"


def _twins(cells: pl.DataFrame) -> Iterator[str]:
    """Subsets of two data sets that look like one: averages over both would count it twice."""
    found = cells.filter(variant=FLOOR).filter(pl.col("n_attacks") > 0)
    found = found.unique(["dataset", "subset"], maintain_order=True)
    for _, same in found.group_by("n_windows", "n_attacks", maintain_order=True):
        if same["dataset"].n_unique() > 1:
            names = " and ".join(f"{d} / {s}" for d, s in same.select("dataset", "subset").rows())
            yield f"{names} have as many windows and attacks: if they are one, count it once"


def _decisions(study: Study) -> Iterator[str]:
    """How the thresholds came about, and the fall-backs among them."""
    rules: dict[str, int] = {}
    notes: dict[str, int] = {}
    for manifest in study.manifests.values():
        rule, _, note = threshold_facts(manifest)
        if rule is not None:
            rules[rule] = rules.get(rule, 0) + 1
        if note:
            notes[note] = notes.get(note, 0) + 1
    own = f"{rules.pop(DEFINED)} trials by definition" if DEFINED in rules else ""
    chosen = ", ".join(f"{n} trials by {rule} on validation" for rule, n in rules.items())
    if study.asked.policies:
        seconds = study.asked.lead_in_seconds
        yield (
            "thresholds: chosen again from stored scores under each policy; one that reads a "
            f"lead-in has seen the first {seconds:g} s of the capture, which count in the metrics"
        )
        if own:
            yield f"thresholds: {own} (look-ups and rules) keep theirs under every policy"
    elif rules or own:
        yield f"thresholds: {', '.join(part for part in (chosen, own) if part)}"
    for note, n in notes.items():
        yield f"thresholds: {n} trials: {note}"


def _saturated(cells: pl.DataFrame) -> Iterator[str]:
    """Rows whose validation is solved: their threshold lies anywhere in a gap."""
    found = cells.filter(pl.col("saturated"), pl.col("policy") == AS_RUN)
    if cells.filter(pl.col("policy") != AS_RUN).height:
        found = cells.filter(pl.col("saturated"))
    rows = found.unique(["variant", "dataset", "seed"], maintain_order=True)
    if rows.is_empty():
        return
    counts = rows.group_by("dataset", "variant", maintain_order=True).len()
    told = ", ".join(f"{v} on {d} ({n} seeds)" for d, v, n in counts.iter_rows())
    yield (
        f"saturated (†): validation AUROC above {SATURATED}, so that a threshold chosen there lies "
        f"anywhere between the classes: {told}"
    )


def _range(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low} epochs" if low == high else f"{low} to {high} epochs"
