"""From a grid to its plan: variants x datasets x seeds, every shared trial once.

Pure: no Ray, no training, no writing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from graphids.grid.exclusion import ALIAS, NO_ROW, lost_levels
from graphids.grid.fingerprint import fingerprint, own_settings, stage_digest
from graphids.grid.grid import FLOOR, Analysis, Grid, Variant
from graphids.grid.trial import StageLike, Trial, chain
from graphids.runner.plan import DatasetInfo, Plan, Row
from graphids.stages.baseline import reference_stages
from graphids.stages.prepare import Prepare

AnyVariant = TypeVar("AnyVariant", bound=Variant)


def make_plan(grid: Grid, datasets: Sequence[DatasetInfo], data_root: Path | None) -> Plan:
    """Expands a grid: variants x datasets x seeds, every shared trial once, analyses last.

    Args:
        grid: The study.
        datasets: Its datasets, opened.
        data_root: Folder of the raw datasets, passed on to the trials.
    """
    variants, merged = _merge_equal(grid.variants)
    references = reference_rows(grid)
    tabulated = [*((row, False) for row in variants), *((row, True) for row in references)]
    names = {stage_digest(row.stage): row.name for row, _ in reversed(tabulated)}
    expansion = _Expansion(data_root, names)
    rows = []
    for dataset in datasets:
        for variant, reference in tabulated:
            for seed in grid.seeds:
                trials: dict[str, None] = {}
                last = expansion.add(variant.stage, variant.name, dataset, seed, trials)
                rows.append(
                    Row(
                        variant=variant,
                        dataset=dataset.name,
                        seed=seed,
                        fingerprint=last,
                        chain=tuple(trials),
                        reference=reference,
                    )
                )
    analyses, left_out = _analyses(grid, [row for row, _ in tabulated])
    looks = tuple(_looks(analyses, datasets, grid.seeds, expansion))
    kept = replace(grid, variants=variants, references=references, analyses=analyses)
    excluded = tuple(
        {"variant": row.name, "rule": row.rule, "reason": row.reason} for row in grid.dropped
    )
    notes = (f"{info.name}: {note}" for info in datasets for note in info.notes)
    return Plan(
        grid=kept,
        rows=tuple(rows),
        analyses=looks,
        trials=expansion.trials,
        dropped=(*excluded, *merged, *left_out),
        notes=(*lost_levels(grid), *notes),
    )


def reference_rows(grid: Grid) -> tuple[Variant, ...]:
    """Simple detectors on the baseline's dataset, or the floor and the grid's own references.

    A grid whose baseline reads no prepared dataset of ours has only its own.
    """
    own = grid.references
    data = [stage for stage in chain(grid.variants[0].stage) if isinstance(stage, Prepare)]
    standard = [
        Variant(name=name, stage=stage)
        for source in data[:1]
        for name, stage in reference_stages(source.single_windows())
        if own is None or name == FLOOR
    ]
    taken = {variant.name for variant in (*grid.variants, *(own or ()))}
    return (*(own or ()), *(row for row in standard if row.name not in taken))


@dataclass
class _Expansion:
    """Trials found so far; a fingerprint that comes again is the same trial."""

    data_root: Path | None
    names: Mapping[str, str]
    """Row of its own that a stage has, by digest: its trials bear that name in every chain."""
    trials: dict[str, Trial] = field(default_factory=dict)

    def add(
        self,
        stage: StageLike,
        variant: str,
        dataset: DatasetInfo,
        seed: int,
        trials: dict[str, None],
    ) -> str:
        """Adds a stage and everything upstream of it; returns its fingerprint."""
        upstream = {
            role: self.add(source, variant, dataset, seed, trials)
            for role, source in stage.upstream().items()
        }
        own_seed = seed if stage.seeded else None
        own = self.names.get(stage_digest(stage))
        # A stage that all seeds share is no single row's.
        reader = variant if stage.seeded else None
        key = fingerprint(stage, dataset.digest, own_seed, upstream)
        trials[key] = None
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
                label=_label(stage.name, own or reader, dataset.name, own_seed),
                data_root=self.data_root,
            ),
        )
        return key

    def call(self, key: str, what: str, row: str) -> None:
        """Gives a trial another label: what it does, and the row or analysis that it is."""
        trial = self.trials[key]
        self.trials[key] = replace(trial, label=_label(what, row, trial.dataset, trial.seed))


def _analyses(
    grid: Grid, rows: Sequence[Variant]
) -> tuple[tuple[Analysis, ...], tuple[Mapping[str, str], ...]]:
    """The analyses of what some rows train, equal ones merged, and what is left out and why."""
    trained = {stage_digest(stage) for row in rows for stage in chain(row.stage)}
    known, left_out = [], []
    for analysis in grid.analyses:
        sources = analysis.stage.upstream().items()
        missing = [role for role, source in sources if stage_digest(source) not in trained]
        if missing:
            reason = (
                f"no row of the grid has its {' and '.join(missing)}, and nothing is trained for "
                "an analysis"
            )
            left_out.append({"variant": analysis.name, "rule": NO_ROW, "reason": reason})
        else:
            known.append(analysis)
    kept, merged = _merge_equal(known, "looked at once")
    return kept, (*left_out, *merged)


def _looks(
    analyses: Sequence[Analysis],
    datasets: Sequence[DatasetInfo],
    seeds: Sequence[int],
    expansion: _Expansion,
) -> Iterator[Row]:
    """Analyses on every dataset, with the first seed or with all of them."""
    for dataset in datasets:
        for analysis in analyses:
            for seed in seeds if analysis.all_seeds else seeds[:1]:
                trials: dict[str, None] = {}
                last = expansion.add(analysis.stage, analysis.name, dataset, seed, trials)
                expansion.call(last, "analyse", analysis.name)
                yield Row(
                    variant=analysis,
                    dataset=dataset.name,
                    seed=seed,
                    fingerprint=last,
                    chain=tuple(trials),
                )


def _label(what: str, row: str | None, dataset: str, seed: int | None) -> str:
    """``classify focal hcrl_sa seed 1``, without what it has not."""
    parts = [what, row, dataset, None if seed is None else f"seed {seed}"]
    return " ".join(part for part in parts if part)


def _merge_equal(
    variants: Sequence[AnyVariant], saved: str = "one row, one training"
) -> tuple[tuple[AnyVariant, ...], tuple[Mapping[str, str], ...]]:
    """Variants with equal stages become one row; the others are told as its aliases."""
    kept: dict[str, AnyVariant] = {}
    dropped = []
    for variant in variants:
        key = stage_digest(variant.stage)
        first = kept.setdefault(key, variant)
        if first is not variant:
            both = first.also_for(variant)
            kept[key] = replace(both, aliases=(*both.aliases, variant.name))
            dropped.append(
                {
                    "variant": variant.name,
                    "rule": ALIAS,
                    "reason": f"equal to {first.name!r} in every setting: {saved}",
                }
            )
    return tuple(kept.values()), tuple(dropped)
