"""Why a row of a table is what it is: its settings, inputs and versions, back to fingerprints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import polars as pl

from analysis.tables.decisions import threshold_facts
from analysis.tables.remarks import missing
from analysis.tables.study import Asked, Study, read_study

DEFAULT = "(default)"
ABSENT = "(no such stage)"
TYPE = "type"


@dataclass(frozen=True, kw_only=True)
class TrialFacts:
    """One committed trial of a row."""

    dataset: str
    """Data set."""
    seed: int
    """Seed of the row."""
    fingerprint: str
    """Digest of everything that bears on its result."""
    folder: str
    """Its committed output, from the root of the store."""
    dataset_digest: str
    """Digest of its captures."""
    run: str | None
    """Run that committed it."""
    commit: str | None
    """Commit of the source, where the run knew it."""
    device: str | None
    """Kind of device that it ran on."""
    versions: Mapping[str, str]
    """Versions of what it depends on."""
    threshold_rule: str | None
    """How its threshold was chosen."""
    threshold: float | None
    """Decision is ``score >= threshold``."""
    threshold_note: str
    """Why the rule differs from the one that was asked for."""
    upstream: Mapping[str, str]
    """Fingerprint of every trial upstream, by its place in the chain."""


@dataclass(frozen=True, kw_only=True)
class Why:
    """Everything behind a row."""

    grid: str
    """Name of the grid."""
    row: str
    """Name of the row."""
    axis: str | None
    """Axis on which it differs from the baseline."""
    level: str | None
    """Level of that axis."""
    aliases: tuple[str, ...]
    """Other names of it."""
    stage: str
    """Its last stage."""
    settings: Mapping[str, Any]
    """Settings that are not their defaults, by stage and field: ``data.window``."""
    baseline: str | None
    """Row that it is compared with; none for a baseline and for a row that is not compared."""
    differences: Mapping[str, tuple[Any, Any]]
    """Field, the baseline's value and the row's; empty without a baseline."""
    trials: tuple[TrialFacts, ...]
    """Its committed trials."""
    captures: Mapping[str, Mapping[str, list[str]]]
    """Capture files by data set and subset."""
    notes: tuple[str, ...]
    """What is missing of it."""

    def to_dict(self) -> dict[str, Any]:
        """The same as values that JSON has."""
        return asdict(self)


def why(root: Path, grid: str, row: str) -> Why:
    """Everything behind a row of a grid, from what its runs committed.

    Args:
        root: Folder of the store.
        grid: Name of the grid.
        row: Name of the row, or one of its other names.

    Raises:
        FileNotFoundError: if no run of the grid was planned in this store.
        ValueError: if there is no such row.
    """
    study = read_study(root, grid, Asked(allow_mixed=True))
    name = _row_name(study, row)
    own = study.rows.filter(variant=name)
    first = own.row(0, named=True)
    base = study.rows.filter(pl.col("baseline"), role="row", stage=first["stage"])
    compared = first["role"] == "row" and not first["baseline"] and not base.is_empty()
    settings = _settings(study, own)
    trials = tuple(_facts(study, own))
    return Why(
        grid=grid,
        row=name,
        axis=first["axis"],
        level=first["level"],
        aliases=tuple(first["aliases"]),
        stage=first["stage"],
        settings=settings,
        baseline=base["variant"][0] if compared else None,
        differences=_differences(_settings(study, base), settings) if compared else {},
        trials=trials,
        captures=_captures(study, own),
        notes=tuple(note for note in missing(study) if note.startswith(f"{name} on ")),
    )


def _row_name(study: Study, row: str) -> str:
    """The name of a row that is asked for by one of its names."""
    names: dict[str, str] = {}
    for variant, aliases in study.rows.select("variant", "aliases").iter_rows():
        names |= dict.fromkeys(aliases or (), variant) | {variant: variant}
    if row not in names:
        close = get_close_matches(row, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(names)}"
        raise ValueError(f"grid {study.grid!r} has no row {row!r}; {hint}")
    return names[row]


def _facts(study: Study, rows: pl.DataFrame) -> Iterator[TrialFacts]:
    """The committed trials of a row."""
    for dataset, seed, key in rows.select("dataset", "seed", "fingerprint").iter_rows():
        told = study.manifests.get(key)
        if told is None:
            continue
        rule, value, note = threshold_facts(told)
        folder = study.folders[key[:12]].relative_to(study.outputs.root)
        chain = dict(_chain(study, key))
        yield TrialFacts(
            dataset=dataset,
            seed=seed,
            fingerprint=key,
            folder=folder.as_posix(),
            dataset_digest=told["dataset_digest"],
            run=told.get("run"),
            commit=told.get("commit"),
            device=told.get("device"),
            versions=told.get("versions", {}),
            threshold_rule=rule,
            threshold=value,
            threshold_note=note,
            upstream={place: found for place, (found, _) in chain.items() if place},
        )


def _chain(
    study: Study, key: str, place: str = ""
) -> Iterator[tuple[str, tuple[str, Mapping[str, Any]]]]:
    """A committed trial and everything upstream of it, by its place: ``states.classifier``."""
    told = study.more_manifests([key]).get(key)
    if told is None:
        return
    yield place, (key, told)
    for role, source in told["upstream"].items():
        yield from _chain(study, source, f"{place}.{role}" if place else role)


def _settings(study: Study, rows: pl.DataFrame) -> dict[str, Any]:
    """Settings of the whole chain of a row, flat; of its first trial that is committed."""
    for key in rows["fingerprint"]:
        if key in study.manifests:
            found: dict[str, Any] = {}
            for place, (_, told) in _chain(study, key):
                stage = f"{told['stage']} (version {told['version']})"
                found[f"{place}.stage" if place else "stage"] = stage
                found |= dict(_flat(told["settings"], place))
            return found
    return {}


def _flat(settings: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    """Settings by their dotted names."""
    for name, value in settings.items():
        path = f"{place}.{name}" if place else name
        if isinstance(value, dict):
            yield from _flat(value, path)
        else:
            yield path, value


def _differences(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Fields with another value; a stage that only one chain has is told once."""
    found = {}
    for name in dict.fromkeys((*own, *base)):
        if own.get(name, DEFAULT) != base.get(name, DEFAULT):
            missing_value = ABSENT if name.endswith("stage") else DEFAULT
            found[name] = (base.get(name, missing_value), own.get(name, missing_value))
    kinds = {name for name in found if name.rpartition(".")[2] == TYPE and DEFAULT in found[name]}
    # The class of settings says nothing beside the field that makes them differ.
    return {name: values for name, values in found.items() if name not in kinds or len(found) == 1}


def _captures(study: Study, rows: pl.DataFrame) -> dict[str, Mapping[str, list[str]]]:
    """Capture files of the prepared data sets of a row."""
    pairs = rows.drop_nulls("prepare").unique("dataset", maintain_order=True)
    prepared = study.more_manifests(pairs["prepare"])
    return {
        dataset: prepared[key]["meta"].get("captures", {})
        for dataset, key in pairs.select("dataset", "prepare").iter_rows()
        if key in prepared
    }
