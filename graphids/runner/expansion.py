"""From a grid to its plan: variants x datasets x seeds, every shared trial once.

Pure: no Ray, no training, no writing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from graphids.grid.exclusion import ALIAS, lost_levels
from graphids.grid.fingerprint import fingerprint, own_settings, stage_digest
from graphids.grid.grid import FLOOR, Grid, Variant
from graphids.grid.trial import StageLike, Trial, chain
from graphids.runner.plan import DatasetInfo, Plan, Row
from graphids.stages.baseline import reference_stages
from graphids.stages.prepare import Prepare


def make_plan(grid: Grid, datasets: Sequence[DatasetInfo], data_root: Path | None) -> Plan:
    """Expands a grid: variants x datasets x seeds, every shared trial once.

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
    kept = replace(grid, variants=variants, references=references)
    excluded = tuple(
        {"variant": row.name, "rule": row.rule, "reason": row.reason} for row in grid.dropped
    )
    notes = (f"{info.name}: {note}" for info in datasets for note in info.notes)
    return Plan(
        grid=kept,
        rows=tuple(rows),
        trials=expansion.trials,
        dropped=(*excluded, *merged),
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
                label=_label(stage, own or reader, dataset.name, own_seed),
                data_root=self.data_root,
            ),
        )
        return key


def _label(stage: StageLike, row: str | None, dataset: str, seed: int | None) -> str:
    """``classify focal hcrl_sa seed 1``, without what it has not."""
    parts = [stage.name, row, dataset, None if seed is None else f"seed {seed}"]
    return " ".join(part for part in parts if part)


def _merge_equal(
    variants: Sequence[Variant],
) -> tuple[tuple[Variant, ...], tuple[Mapping[str, str], ...]]:
    """Variants with equal stages become one row; the others are told as its aliases."""
    kept: dict[str, Variant] = {}
    dropped = []
    for variant in variants:
        key = stage_digest(variant.stage)
        first = kept.setdefault(key, variant)
        if first is not variant:
            kept[key] = replace(first, aliases=(*first.aliases, variant.name))
            dropped.append(
                {
                    "variant": variant.name,
                    "rule": ALIAS,
                    "reason": f"equal to {first.name!r} in every setting: one row, one training",
                }
            )
    return tuple(kept.values()), tuple(dropped)
