"""A stage's output as later stages see it, and its form on disk: safetensors, Parquet, JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from graphids.store.results import (
    HISTORY_FILE,
    HISTORY_SCHEMA,
    METRICS_FILE,
    METRICS_SCHEMA,
    SCORES_FILE,
    SCORES_SCHEMA,
    write_parquet,
)


@dataclass(frozen=True)
class TensorFile:
    """Named tensors and the text header that stands in front of them."""

    tensors: Mapping[str, Tensor]
    header: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Handoff:
    """What one trial hands to the trials behind it, and what it leaves for the tables."""

    files: Mapping[str, TensorFile] = field(default_factory=dict)
    """Tensor files by name, without suffix."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """Small facts, plain JSON values; kept in the manifest."""
    metrics: pl.DataFrame | None = None
    """Metrics in the columns of ``METRICS_SCHEMA``."""
    scores: pl.DataFrame | None = None
    """Score of every window in the columns of ``SCORES_SCHEMA``."""
    history: pl.DataFrame | None = None
    """Metrics of each epoch in the columns of ``HISTORY_SCHEMA``."""


def write_handoff(handoff: Handoff, folder: Path) -> None:
    """Writes everything but ``meta``, which belongs to the manifest, into ``folder``."""
    for name, file in handoff.files.items():
        tensors = {key: tensor.contiguous() for key, tensor in file.tensors.items()}
        save_file(tensors, folder / f"{name}.safetensors", dict(file.header))
    for frame, name, schema in (
        (handoff.metrics, METRICS_FILE, METRICS_SCHEMA),
        (handoff.scores, SCORES_FILE, SCORES_SCHEMA),
        (handoff.history, HISTORY_FILE, HISTORY_SCHEMA),
    ):
        if frame is not None:
            write_parquet(folder / name, frame, schema)


def read_handoff(folder: Path, manifest: Mapping[str, Any]) -> Handoff:
    """Maps the tensors of a committed output; metrics and scores stay on disk."""
    files = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, framework="pt") as stored:
            tensors = {key: stored.get_tensor(key) for key in stored.keys()}  # noqa: SIM118
            files[path.stem] = TensorFile(tensors, stored.metadata() or {})
    return Handoff(files=files, meta=manifest["meta"])
