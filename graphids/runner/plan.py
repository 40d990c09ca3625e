"""The deduplicated graph of trials behind a grid, as a value: rows, trials, what waits for what."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import polars as pl

from graphids.grid.fingerprint import digest, stage_digest
from graphids.grid.grid import Analysis, Grid, Variant
from graphids.grid.trial import StageLike, Trial
from graphids.stages.protocol import Demand, Sizes, Stage
from graphids.store.outputs import OutputStore
from graphids.store.results import PLAN_SCHEMA


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What a plan knows of a dataset before anything is read whole."""

    name: str
    """Name as the grid gives it."""
    digest: str
    """Digest of its captures."""
    notes: Sequence[str] = ()
    """What a user should know: missing test folders, captures that are used once."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One variant on one dataset with one seed."""

    variant: Variant
    dataset: str
    seed: int
    fingerprint: str
    """The trial whose scores are tabulated."""
    chain: tuple[str, ...]
    """Every trial of the row, inputs first, each once."""
    reference: bool = False
    """Whether it stands below the table, compared with nothing."""

    @property
    def role(self) -> str:
        """What its last trial is to the grid, as ``PLAN_SCHEMA`` calls it."""
        if isinstance(self.variant, Analysis):
            return "analysis"
        return "reference" if self.reference else "row"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every row and every trial of a grid; a shared trial stands here once."""

    grid: Grid
    """The study, equal variants merged, its references filled in."""
    rows: tuple[Row, ...]
    """Variants and references on every dataset with every seed."""
    trials: Mapping[str, Trial]
    """Trials by fingerprint, inputs first."""
    analyses: tuple[Row, ...] = ()
    """Looks at what rows have trained; everything but their own trial is in the chain of a row."""
    dropped: tuple[Mapping[str, str], ...] = ()
    """Variants that are no rows of their own, each with the rule and the reason."""
    notes: tuple[str, ...] = ()
    """What a user should know of the datasets, and the levels that rules leave no row of."""

    @property
    def total_trials(self) -> int:
        """Trials that the rows would take without sharing, and the analyses of them."""
        return sum(len(row.chain) for row in self.rows) + len(self.analyses)

    @property
    def design(self) -> str:
        """Digest of the variants: which rows there are and what they mean."""
        described = [
            [v.name, v.axis, v.level, v.baseline, stage_digest(v.stage)] for v in self.variants
        ]
        return digest(described)[:12]

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Rows of the table from top to bottom: variants, then references."""
        return (*self.grid.variants, *(self.grid.references or ()))

    def narrowed(self, keep: Callable[[Row], bool]) -> Plan:
        """Some rows and their trials, with the analyses of what these rows train.

        It is a plan of the same grid and design: what several of them leave in a store are rows of
        one table, each with the seeds that it was kept with.
        """
        rows = tuple(row for row in self.rows if keep(row))
        needed = {key for row in rows for key in row.chain}
        analyses = tuple(one for one in self.analyses if needed.issuperset(one.chain[:-1]))
        needed |= {one.fingerprint for one in analyses}
        trials = {key: trial for key, trial in self.trials.items() if key in needed}
        return replace(self, rows=rows, analyses=analyses, trials=trials)

    def committed(self, store: OutputStore) -> set[str]:
        """Trials whose output the store holds."""
        known = store.committed()
        return {key for key, trial in self.trials.items() if trial.short in known}

    def dependents(self) -> dict[str, list[str]]:
        """Fingerprints of the trials that read each trial's output."""
        readers: dict[str, list[str]] = {key: [] for key in self.trials}
        for key, trial in self.trials.items():
            for source in dict.fromkeys(trial.upstream.values()):
                readers[source].append(key)
        return readers

    def priorities(self) -> dict[str, float]:
        """Cost of the longest path from each trial to the end of the grid, itself included."""
        readers = self.dependents()
        longest: dict[str, float] = {}
        for key in reversed(list(self.trials)):
            behind = max((longest[reader] for reader in readers[key]), default=0.0)
            longest[key] = cost(self.trials[key].stage) + behind
        return longest

    def frame(self, run: str) -> pl.DataFrame:
        """The plan in long form: one row a (variant, dataset, seed, trial of its chain).

        An analysis stands with its own trial alone: the rest is in the chain of a row.
        """
        named = (*self.variants, *self.grid.analyses)
        positions = {variant.name: i for i, variant in enumerate(named)}
        chains = [(row, key) for row in self.rows for key in row.chain]
        chains += [(row, row.fingerprint) for row in self.analyses]
        rows = [
            {
                "grid": self.grid.name,
                "design": self.design,
                "run": run,
                "position": positions[row.variant.name],
                "variant": row.variant.name,
                "axis": row.variant.axis,
                "level": row.variant.level,
                "aliases": list(row.variant.aliases),
                "baseline": row.variant.baseline,
                "dataset": row.dataset,
                "dataset_digest": self.trials[key].dataset_digest,
                "seed": row.seed,
                "stage": self.trials[key].stage.name,
                "role": row.role if key == row.fingerprint else "upstream",
                "label": self.trials[key].label,
                "fingerprint": key,
                "upstream": list(self.trials[key].upstream.values()),
            }
            for row, key in chains
        ]
        return pl.DataFrame(rows, schema=PLAN_SCHEMA)

    def summary(
        self, committed: set[str], details: Mapping[str, Mapping[str, Any]] | None = None
    ) -> dict[str, Any]:
        """The plan as ``plan --json`` prints it.

        Args:
            committed: Fingerprints of the plan's trials that the store holds.
            details: What else to say of a trial, by its fingerprint.
        """
        said = details or {}
        done = len(committed & set(self.trials))
        return {
            "grid": self.grid.name,
            "rows": sum(not row.reference for row in self.rows),
            "trials": self.total_trials,
            "unique_trials": len(self.trials),
            "committed": done,
            "to_run": len(self.trials) - done,
            "variants": [variant.name for variant in self.grid.variants],
            "references": [variant.name for variant in self.grid.references or ()],
            "analyses": [analysis.name for analysis in self.grid.analyses],
            "dropped": [dict(entry) for entry in self.dropped],
            "notes": list(self.notes),
            "detail": [
                {
                    "fingerprint": key,
                    "stage": trial.stage.name,
                    "label": trial.label,
                    "dataset": trial.dataset,
                    "seed": trial.seed,
                    "upstream": list(trial.upstream.values()),
                    **said.get(key, {}),
                }
                for key, trial in self.trials.items()
            ],
        }


def demand(stage: StageLike) -> Demand:
    """What a trial of a stage needs of a machine."""
    return cast("Stage", stage).demand(Sizes())


def cost(stage: StageLike) -> float:
    """Relative duration that a stage expects before anything is measured."""
    return demand(stage).cost
