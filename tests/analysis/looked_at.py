"""Analyses of a synthetic store: planned and committed as a run would have left them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import save
from synthetic import Store

from graphids.store.results import PLAN_SCHEMA, plan_bytes, plan_path

SPLITS = ("validation", "test_01_known_vehicle_known_attack")


@dataclass(frozen=True, kw_only=True)
class Look:
    """An analysis of rows of a synthetic store."""

    name: str
    stage: str
    of: Mapping[str, str]
    """Row behind each role."""
    tensors: Mapping[str, np.ndarray] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)
    committed: bool = True
    seed: int = 0


def embeddings(name: str, row: str, **settings: Any) -> Look:
    """Forty windows of either split, every fourth an attack."""
    label = np.arange(80) % 4 == 0
    tensors = {
        "xy": np.random.default_rng(0).standard_normal((80, 2)).astype(np.float32),
        "label": label.astype(np.int64),
        "attack_type": label.astype(np.int64) * 2,
        "split": np.repeat([0, 1], 40),
    }
    meta = {
        "splits": list(SPLITS), "attack_names": {"2": "dos"}, "method": "pca", "dimensions": 9,
        "explained": [0.5, 0.25], "silhouette": 0.2,
        "silhouettes": dict(zip(SPLITS, (0.25, None), strict=True)),
    }  # fmt: skip
    return Look(
        name=name, stage="embeddings", of={"detector": row}, tensors=tensors, meta=meta, **settings
    )


def similarity(name: str, teacher: str, student: str, cka: Sequence[Sequence[float]]) -> Look:
    """A matrix of layers."""
    meta = {
        "windows": 60,
        "teacher_layers": [f"conv {i}" for i in range(len(cka))],
        "student_layers": [f"conv {i}" for i in range(len(cka[0]))],
    }
    of = {"teacher": teacher, "student": student}
    tensors = {"cka": np.array(cka)}
    return Look(name=name, stage="similarity", of=of, tensors=tensors, meta=meta)


def attention(name: str, row: str, scores: Sequence[float] = (0.5, 0.1, 0.9, 0.2)) -> Look:
    """Four windows, each of three ids: from the second and twice from the third to the first."""
    windows = len(scores)
    edge_index = np.tile([[1, 2, 2, 0], [0, 0, 0, 0]], windows)
    weights = np.tile(np.array([0.1, 0.3, 0.2, 0.4], dtype=np.float32), windows)
    tensors = {
        "arbitration_id": np.tile([0x10, 0x2A0, 0x7FF], windows),
        "edge_index": edge_index,
        "weights": np.stack([weights, weights[::-1]])[:, :, None].repeat(2, axis=2),
        "node_ptr": np.arange(windows + 1) * 3,
        "edge_ptr": np.arange(windows + 1) * 4,
        "label": np.tile([1, 0], windows // 2),
        "attack_type": np.tile([2, 0], windows // 2),
        "split": np.ones(windows, dtype=np.int64),
        "capture": np.zeros(windows, dtype=np.int64),
        "first_message": np.arange(windows) * 100,
        "score": np.array(scores),
    }
    meta = {"splits": list(SPLITS), "attack_names": {"2": "dos"}, "conv": "gatv2", "threshold": 0.5}
    return Look(name=name, stage="attention", of={"classifier": row}, tensors=tensors, meta=meta)


def landscape(name: str, row: str, loss: Sequence[Sequence[float]]) -> Look:
    """A square of losses."""
    tensors = {"steps": np.linspace(-1, 1, len(loss)), "loss": np.array(loss)}
    meta = {"windows": 50, "loss": "CrossEntropy", "centre": loss[len(loss) // 2][len(loss) // 2]}
    return Look(name=name, stage="landscape", of={"detector": row}, tensors=tensors, meta=meta)


def add_looks(store: Store, root: Path, looks: Sequence[Look]) -> Path:
    """Adds analyses to the plan and the outputs of a store that was written; returns its root."""
    path = plan_path(root, store.grid, store.run)
    plan = pl.read_parquet(path)
    records = []
    for position, look in enumerate(looks, len(store.rows)):
        for dataset in store.datasets:
            key = store.key(look.name, dataset, look.seed)
            upstream = {role: store.key(row, dataset, look.seed) for role, row in look.of.items()}
            records.append(
                {
                    "grid": store.grid,
                    "design": "d",
                    "run": store.run,
                    "position": position,
                    "variant": look.name,
                    "axis": None,
                    "level": None,
                    "aliases": [],
                    "baseline": False,
                    "dataset": dataset,
                    "dataset_digest": store.digest,
                    "seed": look.seed,
                    "stage": look.stage,
                    "role": "analysis",
                    "label": f"analyse {look.name}",
                    "fingerprint": key,
                    "upstream": list(upstream.values()),
                }
            )
            if look.committed:
                _commit(root, key, look, dataset, upstream, store)
    added = pl.DataFrame(records, schema=PLAN_SCHEMA)
    path.write_bytes(plan_bytes(pl.concat((plan, added)), store.facts))
    return root


def _commit(
    root: Path, key: str, look: Look, dataset: str, upstream: Mapping[str, str], store: Store
) -> None:
    folder = root / "outputs" / f"analyse-{look.name}-{key[:12]}"
    folder.mkdir(parents=True)
    content = save({name: np.ascontiguousarray(array) for name, array in look.tensors.items()})
    (folder / f"{look.stage}.safetensors").write_bytes(content)
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    manifest = {
        "fingerprint": key, "stage": look.stage, "version": 1, "label": f"analyse {look.name}",
        "settings": {}, "dataset": dataset, "dataset_digest": store.digest, "seed": look.seed,
        "upstream": dict(upstream), "meta": dict(look.meta), "run": store.run, "seconds": 1.0,
        "files": {f"{look.stage}.safetensors": entry},
    }  # fmt: skip
    (folder / "manifest.json").write_text(json.dumps(manifest))
