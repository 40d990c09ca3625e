"""Where the rows of a grid stand by the rule that adds seeds to them, read from results alone.

Nothing but the rule is kept: which looks were taken, and what they decided, follows from the
results, so that a run that was killed goes on where it was and a table tells what happened.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import polars as pl

from analysis.sequential import Look, look
from analysis.sequential_rule import Rule
from analysis.tables.decisions import as_run
from analysis.tables.study import Study
from graphids.store.ledger import Ledger
from graphids.store.outputs import SHORT

NO_PAIR = "cannot be compared"
"""What ends a row that has results and no pair: other windows than the baseline, an undefined
metric, or one trial that all seeds share."""
ROW = ["dataset", "variant", "seed"]


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One row on one data set, by the rule."""

    dataset: str
    """Data set."""
    variant: str
    """Row."""
    baseline: str
    """Row that it is compared with."""
    seeds: int
    """Seeds that it was planned with."""
    looks: tuple[Look, ...]
    """Looks that were taken."""
    hopeless: bool
    """Whether its results give no pair, and further seeds would not either."""
    awaited: int | None
    """Seeds of the next look; none where the row gets no more."""

    @property
    def decision(self) -> str | None:
        """What ended it; none where it is open, or the last look left it so."""
        if self.hopeless:
            return NO_PAIR
        return self.looks[-1].decision if self.looks else None

    def told(self) -> str:
        """Seeds, decision and the last interval in words."""
        last = self.looks[-1] if self.looks else None
        what = self.decision or ("open" if self.awaited else "undecided after the last look")
        text = f"{self.variant} {self.seeds} seeds, {what}"
        if last is None or self.hopeless:
            return text
        missing = f", {last.pairs} pairs" if last.pairs < last.seeds else ""
        if last.mean is None or last.low is None or last.high is None:
            return f"{text} (look at {last.seeds}{missing})"
        return (
            f"{text} (look at {last.seeds}{missing}: Δ {last.mean:+.4f}, "
            f"{last.low:+.4f} to {last.high:+.4f})"
        )


def standings(study: Study, rule: Rule) -> tuple[Standing, ...]:
    """Where each row stands that has a baseline with its last stage, in the order of the table.

    A look is taken once each of its seeds has given a pair, or has failed in one of both rows; it
    reads the first seeds of the rule's order and no others.
    """
    rows = study.rows.filter(role="row")
    base = rows.filter("baseline").select(
        "dataset", "stage", "seed", base="variant", fingerprint_base="fingerprint"
    )
    compared = rows.filter(~pl.col("baseline")).join(
        base.select("dataset", "stage", "base").unique(), on=["dataset", "stage"],
        maintain_order="left",
    )  # fmt: skip
    both = compared.join(
        base.drop("base"), on=["dataset", "stage", "seed"], how="left", maintain_order="left"
    ).join(_differences(study, rule, rows), on=ROW, how="left", maintain_order="left")
    lost = _lost(study)
    done = set(study.manifests)
    found = []
    for (dataset, variant, name), group in both.group_by(
        "dataset", "variant", "base", maintain_order=True
    ):
        pairs: dict[int, float] = {}
        ended: set[int] = set()
        complete: list[tuple[str, str]] = []
        for seed, own, other, delta in group.select(
            "seed", "fingerprint", "fingerprint_base", "delta"
        ).iter_rows():
            trials = (own, other)
            if other is not None and not lost.isdisjoint(
                {(dataset, variant, seed), (dataset, name, seed)}
            ):
                ended.add(seed)
            if done.issuperset(trials):
                ended.add(seed)
                # Trials that several seeds share are one measurement.
                if delta is not None and trials not in complete:
                    pairs[seed] = delta
                complete.append(trials)
        looks, size = _looks(pairs, ended, rule)
        # Two seeds tell: others would have no pair either, or the same one.
        still_open = not looks or looks[-1].decision is None
        hopeless = still_open and len(complete) > 1 and (not pairs or len(set(complete)) == 1)
        found.append(
            Standing(
                dataset=str(dataset), variant=str(variant), baseline=str(name), seeds=len(group),
                looks=looks, hopeless=hopeless, awaited=None if hopeless else size,
            )
        )  # fmt: skip
    return tuple(found)


def _looks(
    pairs: Mapping[int, float], ended: set[int], rule: Rule
) -> tuple[tuple[Look, ...], int | None]:
    """The looks of one row until one decides or lacks a seed, and the seeds that one awaits."""
    looks: list[Look] = []
    for size in rule.looks:
        first = rule.seeds[:size]
        if not ended.issuperset(first):
            return tuple(looks), size
        deltas = [pairs[seed] for seed in first if seed in pairs]
        looks.append(look(deltas, size, rule.share, rule.margin))
        if looks[-1].decision is not None:
            break
    return tuple(looks), None


def _differences(study: Study, rule: Rule, rows: pl.DataFrame) -> pl.DataFrame:
    """Row minus baseline of each seed, mean over the subsets in which both are defined.

    Returns:
        ``dataset``, ``variant``, ``seed``, ``delta``.
    """
    wanted = pl.col("subset").str.starts_with(rule.subset or "")
    counts = ("n_windows", "n_attacks")
    values = as_run(study).filter(wanted).select("fingerprint", "subset", rule.metric, *counts)
    own = rows.select(*ROW, "stage", "baseline", "fingerprint").join(
        values, on="fingerprint", maintain_order="left"
    )
    on = ["dataset", "stage", "seed", "subset"]
    base = own.filter("baseline").select(
        *on, value=rule.metric, **{f"{name}_base": name for name in counts}
    )
    same = (pl.col(name).eq_missing(pl.col(f"{name}_base")) for name in counts)
    return (
        own.filter(~pl.col("baseline"))
        .join(base, on=on, maintain_order="left")
        .filter(pl.col(rule.metric).is_not_null(), pl.col("value").is_not_null(), *same)
        .group_by(ROW, maintain_order=True)
        .agg(delta=(pl.col(rule.metric) - pl.col("value")).mean())
    )


def _lost(study: Study) -> set[tuple[str, str, int]]:
    """Rows and seeds that have no result because they failed, or something upstream of them did."""
    failed = list(Ledger(study.outputs.root).failures())
    missing = study.plan.filter(
        ~pl.col("fingerprint").str.head(SHORT).is_in(list(study.folders)),
        pl.col("fingerprint").str.head(SHORT).is_in(failed),
    )
    return set(missing.select(ROW).unique().iter_rows())


def seed_notes(study: Study) -> Iterator[str]:
    """What a table says of seeds that a declared rule adds: the rule, and where rows stand."""
    rule = study.rule
    if rule is None:
        return
    yield f"seeds: added by a rule that was declared before the first of them: {rule.sentence()}"
    found = standings(study, rule)
    for dataset in dict.fromkeys(one.dataset for one in found):
        told = "; ".join(one.told() for one in found if one.dataset == dataset)
        yield f"seeds on {dataset}: {told}"
    if len(set(_planned(study.rows).values())) > 1:
        yield (
            "seeds: rows have unequal numbers of them by that rule; Δ is over the seeds of both, "
            "a mean over each row's own, so that means do not subtract to Δ; intervals at 95 % "
            "and p are those of a single look"
        )


def off_rule(rows: pl.DataFrame, rule: Rule) -> Iterator[tuple[str, str, list[int]]]:
    """Data set, row and seeds of rows that have other seeds than the rule gives."""
    allowed = {tuple(sorted(rule.seeds[:size])) for size in rule.sizes}
    for (dataset, variant), seeds in _planned(rows).items():
        if seeds not in allowed:
            yield dataset, variant, list(seeds)


def _planned(rows: pl.DataFrame) -> dict[tuple[str, str], tuple[int, ...]]:
    """Seeds of each data set and row."""
    found = rows.group_by("dataset", "variant", maintain_order=True).agg(
        pl.col("seed").unique().sort()
    )
    return {(dataset, variant): tuple(seeds) for dataset, variant, seeds in found.iter_rows()}


def awaited(
    found: Iterable[Standing], rows: Mapping[str, str], datasets: Iterable[str], rule: Rule
) -> dict[tuple[str, str], int]:
    """How many seeds each data set and row has to have for the next look; others are left out.

    Args:
        found: Where rows stand; one that does not stand there has not run, and awaits the first.
        rows: Baseline of each row that is compared.
        datasets: Data sets.
        rule: The rule.
    """
    known = {(one.dataset, one.variant): one.awaited for one in found}
    sizes: dict[tuple[str, str], int] = {}
    for dataset in datasets:
        for variant, baseline in rows.items():
            size = known.get((dataset, variant), rule.looks[0])
            if size is not None:
                sizes[dataset, variant] = size
                sizes[dataset, baseline] = max(size, sizes.get((dataset, baseline), 0))
    return sizes
