"""Where the rows of a grid stand by the rule that adds seeds to them, read from results alone.

A look that was taken counts as it was found, whatever has run since; one that nobody has kept yet
follows from the results, so that a run that was killed goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import polars as pl

from analysis.sequential import Look, look
from analysis.sequential_rule import Place, Rule, read_looks
from analysis.tables.decisions import as_run
from analysis.tables.study import Study
from graphids.store.ledger import Ledger
from graphids.store.outputs import SHORT

NO_PAIR = "cannot be compared"
"""What ends a row whose results give no pair with any seed: other windows than the baseline, or one
trial that all seeds share."""
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
    digest: str
    """Digest of the captures of the data set."""
    seeds: int
    """Seeds that it was planned with."""
    looks: tuple[Look, ...]
    """Looks that were taken."""
    hopeless: bool
    """Whether further seeds would give no pair either."""
    awaited: int | None
    """Seeds of the next look; none where the row gets no more."""

    @property
    def decision(self) -> str | None:
        """What ended it; none where it is open, or the last look left it so."""
        if self.hopeless:
            return NO_PAIR
        return self.looks[-1].decision if self.looks else None

    def place(self, rule: Rule, size: int) -> Place:
        """What a look at so many seeds is at."""
        return rule.design, self.dataset, self.digest, self.variant, size

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

    A look is taken once each of its seeds has given a result, or has failed in one of both rows; it
    reads the first seeds of the rule's order and no others. One that was kept is not taken again.
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
    kept = read_looks(study.outputs.root, study.grid)
    done = set(study.manifests)
    found = []
    for (dataset, variant, name), group in both.group_by(
        "dataset", "variant", "base", maintain_order=True
    ):
        pairs: dict[int, float] = {}
        ended: set[int] = set()
        comparable = False
        complete: list[tuple[str, str]] = []
        for seed, own, other, delta, same in group.select(
            "seed", "fingerprint", "fingerprint_base", "delta", "same"
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
                comparable = comparable or bool(same)
        one = Standing(
            dataset=str(dataset), variant=str(variant), baseline=str(name),
            digest=group["dataset_digest"][0], seeds=len(group), looks=(), hopeless=False,
            awaited=None,
        )  # fmt: skip
        looks, size = _looks(
            pairs, ended, rule, {n: kept.get(one.place(rule, n)) for n in rule.looks}
        )
        # Two seeds tell: others would be of other windows too, or the same trial.
        still_open = not looks or looks[-1].decision is None
        hopeless = still_open and len(complete) > 1 and (not comparable or len(set(complete)) == 1)
        awaited = None if hopeless else size
        found.append(replace(one, looks=looks, hopeless=hopeless, awaited=awaited))
    return tuple(found)


def taken(found: Iterable[Standing], rule: Rule) -> dict[Place, Look]:
    """Every look that was taken, by what it is at."""
    return {one.place(rule, look.seeds): look for one in found for look in one.looks}


def _looks(
    pairs: Mapping[int, float], ended: set[int], rule: Rule, kept: Mapping[int, Look | None]
) -> tuple[tuple[Look, ...], int | None]:
    """The looks of one row until one decides or lacks a seed, and the seeds that one awaits."""
    looks: list[Look] = []
    for size in rule.looks:
        first, known = rule.seeds[:size], kept[size]
        if known is None:
            if not ended.issuperset(first):
                return tuple(looks), size
            used = tuple(seed for seed in first if seed in pairs)
            seen = look([pairs[seed] for seed in used], size, rule.share, rule.margin)
            known = replace(seen, used=used)
        looks.append(known)
        if looks[-1].decision is not None:
            break
    return tuple(looks), None


def _differences(study: Study, rule: Rule, rows: pl.DataFrame) -> pl.DataFrame:
    """Row minus baseline of each seed, mean over the subsets in which both are defined.

    Returns:
        ``dataset``, ``variant``, ``seed``, ``delta`` (null where no subset has both values), and
        ``same``: whether any subset has equal windows.
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
    same = pl.all_horizontal(pl.col(name).eq_missing(pl.col(f"{name}_base")) for name in counts)
    return (
        own.filter(~pl.col("baseline"))
        .join(base, on=on, maintain_order="left")
        .with_columns(same=same, delta=pl.col(rule.metric) - pl.col("value"))
        .group_by(ROW, maintain_order=True)
        .agg(pl.col("delta").filter("same").mean(), pl.col("same").any())
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
