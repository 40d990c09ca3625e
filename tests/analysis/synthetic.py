"""Stores without a training behind them: plans, metrics and scores with what a test asks for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from graphids.core.metrics import METRICS_VERSION, binary_metrics, per_attack_auroc
from graphids.core.thresholds import max_f1_threshold
from graphids.grid.grid import FLOOR
from graphids.store.results import (
    METRICS_FILE,
    METRICS_SCHEMA,
    PLAN_SCHEMA,
    SCORES_FILE,
    SCORES_SCHEMA,
    PlanFacts,
    metric_rows,
    plan_bytes,
    plan_path,
)

SUBSETS = ("test_01_known_vehicle_known_attack", "test_02_unknown_vehicle_known_attack")
TWELVE = (
    "f1", "mcc", "auroc", "ap", "precision", "recall", "fpr", "accuracy", "specificity",
    "threshold", "n_windows", "n_attacks",
)  # fmt: skip
"""Metrics of a trial whose scores are not made."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a synthetic grid."""

    name: str
    axis: str | None = None
    level: str | None = None
    baseline: bool = False
    stage: str = "classify"
    role: str = "row"
    aliases: tuple[str, ...] = ()
    effect: float = 0.0
    """Added to every value of the row; of scores, the distance between the classes."""
    teacher: str | None = None
    """Row whose record teaches this one."""
    prepare: str = ""
    """What its prepared data set has in its name: another one has other windows."""
    manifest: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the manifest that are not the usual ones."""
    meta: Mapping[str, Any] = field(default_factory=dict)
    """The same of what the stage tells."""


FLOOR_ROW = Row(name=FLOOR, stage="baseline", role="reference")
LOSSES = (
    Row(name="ce", axis="loss", level="ce", baseline=True),
    Row(name="focal", axis="loss", level="focal", effect=0.1),
    Row(name="weighted_ce", axis="loss", level="weighted_ce", effect=-0.05),
    Row(name="mlp", stage="fuse", effect=0.2),
    FLOOR_ROW,
)


@dataclass(frozen=True, kw_only=True)
class Store:
    """How a synthetic store is made."""

    rows: Sequence[Row] = LOSSES
    datasets: Sequence[str] = ("sim",)
    seeds: Sequence[int] = (0, 1, 2)
    subsets: Sequence[str] = SUBSETS
    grid: str = "g"
    run: str = "run-1"
    digest: str = "x"
    windows: int = 70
    attacks: int = 20
    scores: bool = False
    """Whether there are scores, and metrics computed from them."""
    absent: Sequence[tuple[str, int]] = ()
    """Rows and seeds that are planned and not committed."""
    facts: PlanFacts = field(default_factory=PlanFacts)

    def key(self, name: str, dataset: str, seed: int | None) -> str:
        """Fingerprint of a trial."""
        return hashlib.sha256(f"{name}|{dataset}|{seed}|{self.digest}".encode()).hexdigest()

    def write(self, root: Path) -> Path:
        """Writes the plan and the outputs; returns the root."""
        path = plan_path(root, self.grid, self.run)
        path.parent.mkdir(parents=True, exist_ok=True)
        records: list[dict[str, Any]] = []
        for position, row in enumerate(self.rows):
            for dataset in self.datasets:
                for seed in self.seeds:
                    records += self._plan(position, row, dataset, seed)
                    self._commit(root, row, dataset, seed)
        path.write_bytes(plan_bytes(pl.DataFrame(records, schema=PLAN_SCHEMA), self.facts))
        return root

    def values(self, row: Row, dataset: str, seed: int, subset: str) -> dict[str, float | None]:
        """Metrics of one trial on one subset, drawn by its names."""
        rng = self._rng(row, dataset, seed, subset)
        attacks = 0 if "suppress" in subset else self.attacks
        skill = 0.5 + row.effect + 0.05 * np.sin(seed) + 0.02 * rng.standard_normal()
        found: dict[str, float | None] = dict.fromkeys(TWELVE, float(np.clip(skill, 0.0, 1.0)))
        if row.name == FLOOR:
            found |= {"f1": 2 * attacks / (self.windows + attacks), "mcc": 0.0, "auroc": 0.5}
        if attacks == 0:
            found |= dict.fromkeys(("f1", "mcc", "auroc", "ap", "precision", "recall"), None)
        return found | {"n_windows": float(self.windows), "n_attacks": float(attacks)}

    def frame(self, row: Row, dataset: str, seed: int) -> pl.DataFrame:
        """Scores of one trial: two captures a subset, the unknown vehicle shifted."""
        parts = []
        for split in ("validation", *self.subsets):
            rng = self._rng(row, dataset, seed, split)
            shift = 2.0 if "unknown_vehicle" in split else 0.0
            for capture in ("a", "b"):
                n = self.windows // 2
                labels = np.zeros(n, dtype=np.int8)
                if "suppress" not in split:
                    labels[n // 2 : n // 2 + self.attacks // 2] = 1
                noise = rng.standard_normal(n)
                score = noise + shift + labels * (2.0 + 5.0 * row.effect)
                parts.append(
                    pl.DataFrame(
                        {
                            "split": [split] * n,
                            "capture": [f"{split}/{capture}.csv"] * n,
                            "first_message": np.arange(n) * 100,
                            "start_ns": np.arange(n) * 500_000_000,
                            "label": labels,
                            "attack_type": labels.astype(np.int16),
                            "score": np.ones(n) if row.name == FLOOR else score,
                        },
                        schema=SCORES_SCHEMA,
                    )
                )
        return pl.concat(parts)

    def _plan(self, position: int, row: Row, dataset: str, seed: int) -> list[dict[str, Any]]:
        """The plan of one (row, data set, seed)."""
        prepare = self.key(f"prepare{row.prepare}", dataset, None)
        common = {
            "grid": self.grid, "design": "d", "run": self.run, "position": position,
            "variant": row.name, "axis": row.axis, "level": row.level,
            "aliases": list(row.aliases), "baseline": row.baseline, "dataset": dataset,
            "dataset_digest": self.digest, "seed": seed,
        }  # fmt: skip
        own = self.key(row.name, dataset, None if row.name == FLOOR else seed)
        return [
            {**common, "stage": "prepare", "role": "upstream", "label": "prepare",
             "fingerprint": prepare, "upstream": []},
            {**common, "stage": row.stage, "role": row.role, "label": row.name,
             "fingerprint": own, "upstream": [prepare]},
        ]  # fmt: skip

    def _commit(self, root: Path, row: Row, dataset: str, seed: int) -> None:
        """The outputs of one (row, data set, seed), written without syncing: they are many."""
        if (row.name, seed) in self.absent:
            return
        prepare = self.key(f"prepare{row.prepare}", dataset, None)
        meta = {"captures": {name: [f"{name}/a.csv"] for name in ("train", *self.subsets)}}
        self._output(root, prepare, "prepare", dataset, None, {"meta": meta}, {})
        upstream = {"data": prepare}
        if row.teacher is not None:
            record = self.key(f"record {row.teacher}", dataset, seed)
            lesson = {"data": prepare, "detector": self.key(row.teacher, dataset, seed)}
            self._output(root, record, "record", dataset, seed, {"upstream": lesson}, {})
            upstream["teacher"] = record
        own_seed = None if row.name == FLOOR else seed
        key = self.key(row.name, dataset, own_seed)
        rule = {"threshold": 0.5, "threshold_rule": "max_f1", "threshold_note": ""}
        if row.name == FLOOR:
            rule["threshold_rule"] = "fixed"
        frames: dict[str, pl.DataFrame] = {}
        if self.scores:
            frames[SCORES_FILE] = self.frame(row, dataset, seed)
            records, rule["threshold"] = _from_scores(key, row, frames[SCORES_FILE])
        else:
            records = metric_rows(key, "validation", {"auroc": 0.9, "f1": 0.123})
            for subset in self.subsets:
                records += metric_rows(key, subset, self.values(row, dataset, seed, subset))
                records += metric_rows(key, subset, {"auroc": 0.456}, attack="dos")
        frames[METRICS_FILE] = pl.DataFrame(records, schema=METRICS_SCHEMA)
        told = {"upstream": upstream, "settings": {"row": row.name}, **row.manifest}
        told["meta"] = {"parameters": 1000, "monitor": "val_loss", "epochs": 8, **rule, **row.meta}
        self._output(root, key, row.stage, dataset, own_seed, told, frames)

    def _output(
        self, root: Path, key: str, stage: str, dataset: str, seed: int | None,
        told: Mapping[str, Any], frames: Mapping[str, pl.DataFrame],
    ) -> None:  # fmt: skip
        """One committed output, as the store would have written it."""
        folder = root / "outputs" / f"{stage}-{key[:12]}"
        if folder.exists():
            return
        folder.mkdir(parents=True)
        files = {}
        for name, frame in frames.items():
            buffer = BytesIO()
            frame.write_parquet(buffer)
            content = buffer.getvalue()
            (folder / name).write_bytes(content)
            files[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        manifest = {
            "fingerprint": key, "stage": stage, "version": 1, "label": f"{stage} {dataset} {seed}",
            "settings": {}, "dataset": dataset, "dataset_digest": self.digest, "seed": seed,
            "upstream": {}, "meta": {}, "run": self.run, "commit": "abc", "device": "cpu",
            "started": 10.0, "ended": 20.0, "seconds": 10.0, "peak_bytes": 2**20,
            "reserved_bytes": 2**21, "predicted_bytes": None, "predicted_seconds": None,
            "holds": None, "attempts": 1, "host": "h", "worker": 1,
            "versions": {"graphids": "0.1.0"}, "files": files,
            "metrics_version": METRICS_VERSION, **told,
        }  # fmt: skip
        (folder / "manifest.json").write_text(json.dumps(manifest))

    def _rng(self, row: Row, *names: object) -> np.random.Generator:
        """Chance of its own for each place, the same at every call."""
        text = "|".join(map(str, (row.name, *names)))
        return np.random.default_rng(int(hashlib.sha256(text.encode()).hexdigest()[:8], 16))


def many_rows(count: int) -> tuple[Row, ...]:
    """A baseline, ``count - 2`` levels of two axes, and the floor."""
    rows = [Row(name="base", axis="first", level="base", baseline=True)]
    for i in range(count - 2):
        axis = ("first", "second")[i % 2]
        rows.append(Row(name=f"{axis}_{i}", axis=axis, level=str(i), effect=0.001 * i))
    return (*rows, FLOOR_ROW)


def _from_scores(key: str, row: Row, scores: pl.DataFrame) -> tuple[list[dict[str, Any]], float]:
    """Metrics of a trial at the threshold that its validation gives, and that threshold."""
    held = scores.filter(split="validation")
    value = 0.5 if row.name == FLOOR else max_f1_threshold(held["score"], held["label"]).value
    records = []
    for (split,), part in scores.group_by("split", maintain_order=True):
        given = (part["score"].to_numpy(), part["label"].to_numpy())
        records += metric_rows(key, str(split), binary_metrics(*given, value))
        attacks = per_attack_auroc(*given, part["attack_type"].to_numpy(), {1: "dos"})
        for attack, area in attacks.items():
            records += metric_rows(key, str(split), {"auroc": area}, attack)
    return records, value
