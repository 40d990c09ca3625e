"""Metrics of every trial by the one definition that holds now, without a training.

A trial keeps its scores, and its manifest tells by which version of the metrics it was tabulated.
Where that is another one, the metrics are computed again from the scores at the trial's own
threshold.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from graphids.core.metrics import METRICS_VERSION
from graphids.data.messages import ATTACK_CODES
from graphids.store.outputs import SHORT, OutputStore
from graphids.store.results import SCORES_FILE, read_metrics, read_scores
from graphids.store.tabulated import tabulate


@dataclass(frozen=True, kw_only=True)
class Current:
    """Metrics of some trials, as far as they can be had by the present definition."""

    metrics: pl.DataFrame
    """As ``METRICS_SCHEMA``."""
    versions: Mapping[str, int | None]
    """Version behind the metrics of each trial, by fingerprint: the present one, or that of a trial
    without scores; none where its manifest tells none."""
    told: tuple[str, ...] = ()
    """What was computed again."""


def current_metrics(
    outputs: OutputStore, folders: Mapping[str, Path], manifests: Mapping[str, Mapping[str, Any]]
) -> Current:
    """Reads the metrics of committed trials, and computes those of another version again.

    Args:
        outputs: The store of the outputs.
        folders: Committed outputs by the first characters of their fingerprint.
        manifests: Manifests of the trials, by fingerprint.

    Raises:
        DamagedOutputError: Committed metrics or scores are not what their manifest says.
        ValueError: Stored scores give no metrics; names the trial.
    """
    versions = {key: told.get("metrics_version") for key, told in manifests.items()}
    again = {
        key
        for key, version in versions.items()
        if version != METRICS_VERSION and SCORES_FILE in manifests[key]["files"]
    }
    kept = {folders[key[:SHORT]]: told for key, told in manifests.items() if key not in again}
    metrics = read_metrics(outputs, kept)
    if again:
        parts = (_again(outputs, folders[key[:SHORT]], key, manifests[key]) for key in again)
        # Means are rounded by the order of their terms: it is that of the trials in any case.
        order = pl.col("fingerprint").replace_strict({key: i for i, key in enumerate(manifests)})
        metrics = pl.concat([metrics, *parts]).sort(order, maintain_order=True)
    found = Counter(versions[key] for key in again)
    told = tuple(
        f"metrics: of {n} trials, tabulated by {named(version)} of the metrics, they are computed "
        f"again from the stored scores by {named(METRICS_VERSION)}, at each trial's own threshold"
        for version, n in sorted(found.items(), key=lambda item: item[0] or 0)
    )
    return Current(
        metrics=metrics,
        versions=versions | dict.fromkeys(again, METRICS_VERSION),
        told=told,
    )


def named(version: int | None) -> str:
    """``version 1``, or what a manifest has that tells none."""
    return "an unknown version" if version is None else f"version {version}"


def _again(
    outputs: OutputStore, folder: Path, key: str, manifest: Mapping[str, Any]
) -> pl.DataFrame:
    """Metrics of one trial from its scores, for the splits that it tabulated itself."""
    scores = read_scores(outputs, folder, manifest)
    # A test subset without a window has metrics and no scores.
    earlier = read_metrics(outputs, {folder: manifest})["split"].unique(maintain_order=True)
    splits = earlier.to_list() or scores["split"].unique(maintain_order=True).to_list()
    names = {code: name for name, code in ATTACK_CODES.items()}
    try:
        return tabulate(key, scores, manifest["meta"].get("threshold"), names, splits)
    except ValueError as error:
        raise ValueError(f"{manifest['label']}, output {folder}: {error}") from error
