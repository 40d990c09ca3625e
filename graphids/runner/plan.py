"""The deduplicated graph of trials behind a grid. Pure: no Ray, no training, no writing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import polars as pl

from graphids.grid.fingerprint import canonical, digest, fingerprint, own_settings
from graphids.grid.grid import Grid, Variant
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


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Every row and every trial of a grid; a shared trial stands here once."""

    grid: Grid
    rows: tuple[Row, ...]
    trials: Mapping[str, Trial]
    """Trials by fingerprint, inputs first."""
    dropped: tuple[Mapping[str, str], ...] = ()
    """Variants that are no rows of their own, each with the rule and the reason."""
    notes: tuple[str, ...] = ()
    """What a user should know of the datasets."""

    @property
    def total_trials(self) -> int:
        """Trials that the rows would take without sharing."""
        return sum(len(row.chain) for row in self.rows)

    @property
    def design(self) -> str:
        """Digest of the variants: which rows there are and what they mean."""
        described = [
            [v.name, v.axis, v.level, v.baseline, _describe(v.stage)] for v in self.grid.variants
        ]
        return digest(described)[:12]

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
        """The plan in long form: one row a (variant, dataset, seed, trial of its chain)."""
        positions = {variant.name: i for i, variant in enumerate(self.grid.variants)}
        rows = [
            {
                "grid": self.grid.name,
                "design": self.design,
                "run": run,
                "position": positions[row.variant.name],
                "variant": row.variant.name,
                "axis": row.variant.axis,
                "level": row.variant.level,
                "baseline": row.variant.baseline,
                "dataset": row.dataset,
                "dataset_digest": self.trials[key].dataset_digest,
                "seed": row.seed,
                "stage": self.trials[key].stage.name,
                "role": "row" if key == row.fingerprint else "upstream",
                "label": self.trials[key].label,
                "fingerprint": key,
                "upstream": list(self.trials[key].upstream.values()),
            }
            for row in self.rows
            for key in row.chain
        ]
        return pl.DataFrame(rows, schema=PLAN_SCHEMA)

    def summary(self, committed: set[str]) -> dict[str, Any]:
        """The plan as ``plan --json`` prints it.

        Args:
            committed: Fingerprints of the plan's trials that the store holds.
        """
        done = len(committed & set(self.trials))
        return {
            "grid": self.grid.name,
            "rows": len(self.rows),
            "trials": self.total_trials,
            "unique_trials": len(self.trials),
            "committed": done,
            "to_run": len(self.trials) - done,
            "variants": [variant.name for variant in self.grid.variants],
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
                }
                for key, trial in self.trials.items()
            ],
        }


def make_plan(grid: Grid, datasets: Sequence[DatasetInfo], data_root: Path | None) -> Plan:
    """Expands a grid: variants x datasets x seeds, every shared trial once.

    Args:
        grid: The study.
        datasets: Its datasets, opened.
        data_root: Folder of the raw datasets, passed on to the trials.
    """
    variants, dropped = _merge_equal(grid.variants)
    expansion = _Expansion(data_root)
    rows = []
    for dataset in datasets:
        for variant in variants:
            for seed in grid.seeds:
                chain: dict[str, None] = {}
                last = expansion.add(variant.stage, variant.name, dataset, seed, chain)
                rows.append(
                    Row(
                        variant=variant,
                        dataset=dataset.name,
                        seed=seed,
                        fingerprint=last,
                        chain=tuple(chain),
                    )
                )
    kept = Grid(name=grid.name, variants=variants, datasets=grid.datasets, seeds=grid.seeds)
    notes = tuple(f"{info.name}: {note}" for info in datasets for note in info.notes)
    return Plan(grid=kept, rows=tuple(rows), trials=expansion.trials, dropped=dropped, notes=notes)


def demand(stage: StageLike) -> Demand:
    """What a trial of a stage needs of a machine."""
    return cast("Stage", stage).demand(Sizes())


def cost(stage: StageLike) -> float:
    """Relative duration that a stage expects."""
    return demand(stage).cost


@dataclass
class _Expansion:
    """Trials found so far; a fingerprint that comes again is the same trial."""

    data_root: Path | None
    trials: dict[str, Trial] = field(default_factory=dict)

    def add(
        self,
        stage: StageLike,
        variant: str,
        dataset: DatasetInfo,
        seed: int,
        chain: dict[str, None],
    ) -> str:
        """Adds a stage and everything upstream of it; returns its fingerprint."""
        upstream = {
            role: self.add(source, variant, dataset, seed, chain)
            for role, source in stage.upstream().items()
        }
        own_seed = seed if stage.seeded else None
        key = fingerprint(stage, dataset.digest, own_seed, upstream)
        chain[key] = None
        self.trials.setdefault(
            key,
            Trial(
                fingerprint=key,
                stage=stage,
                dataset=dataset.name,
                dataset_digest=dataset.digest,
                seed=own_seed,
                settings=own_settings(stage),
                upstream=upstream,
                label=_label(stage, variant, dataset.name, own_seed),
                data_root=self.data_root,
            ),
        )
        return key


def _label(stage: StageLike, variant: str, dataset: str, seed: int | None) -> str:
    """``classify focal hcrl_sa seed 1``; a stage that all seeds share has no variant either."""
    if seed is None:
        return f"{stage.name} {dataset}"
    return f"{stage.name} {variant} {dataset} seed {seed}"


def _merge_equal(
    variants: Sequence[Variant],
) -> tuple[tuple[Variant, ...], tuple[Mapping[str, str], ...]]:
    """Variants with equal stages become one row; the others are told as its aliases."""
    kept: dict[str, Variant] = {}
    dropped = []
    for variant in variants:
        first = kept.setdefault(_describe(variant.stage), variant)
        if first is not variant:
            dropped.append(
                {
                    "variant": variant.name,
                    "rule": "alias",
                    "reason": f"equal to {first.name!r} in every setting: one row, one training",
                }
            )
    return tuple(kept.values()), tuple(dropped)


def _describe(stage: StageLike) -> str:
    """A stage with everything upstream of it as a digest, dataset and seed left open."""
    upstream = {role: _describe(source) for role, source in stage.upstream().items()}
    return digest([canonical(stage.name), fingerprint(stage, "", None, upstream)])
