"""Every metric of every row: on known ground, on each test subset, on each attack."""

from __future__ import annotations

import polars as pl

from analysis.tables.ablation import PLACE, once
from analysis.tables.study import Study
from analysis.tables.table import Table

KNOWN_GROUND = "test_01"
"""Beginning of the subset with known vehicles and known attacks, which publications report."""
MEANS = {"auc": "auroc"}
"""Columns that are called otherwise than their metric."""


def main_results(study: Study, cells: pl.DataFrame) -> Table:
    """All metrics of every row on known vehicles and attacks, or on the subset that is asked for.

    Columns: ``model``, ``accuracy``, ``precision``, ``recall``, ``f1`` (all of the attack class),
    ``auc``, ``specificity``, ``mcc``, ``n_seeds``, ``dataset``, ``scenario``, ``policy``,
    ``n_windows``, ``n_attacks``, ``saturated``.
    """
    metrics = ("accuracy", "precision", "recall", "f1", "auc", "specificity", "mcc")
    chosen = cells if study.asked.subset else _known_ground(cells)
    frame = _means(chosen, metrics)
    scenarios = ", ".join(frame["scenario"].unique(maintain_order=True))
    note = (
        f"mean over seeds on {scenarios or 'no subset'}; published figures are of known vehicles "
        "and known attacks alone, which look-ups and rules solve as well: see test_results"
    )
    return Table(kind="main_results", frame=frame, notes=(note,))


def test_results(study: Study, cells: pl.DataFrame) -> Table:
    """Every row on every test subset.

    Columns: ``model``, ``scenario``, ``accuracy``, ``f1``, ``precision``, ``recall``, ``mcc``,
    ``auroc``, ``ap``, ``fpr``, ``n_seeds``, ``dataset``, ``policy``, ``n_windows``, ``n_attacks``,
    ``saturated``.
    """
    metrics = ("accuracy", "f1", "precision", "recall", "mcc", "auroc", "ap", "fpr")
    frame = _means(cells, metrics)
    return Table(kind="test_results", frame=frame, notes=("mean over seeds",))


def per_attack(study: Study, cells: pl.DataFrame) -> Table:
    """AUROC of each attack alone against all benign windows of its subset.

    Columns: ``attack``, ``variant``, ``mean``, ``std``, ``n``, ``dataset``, ``subset``, ``metric``.
    """
    alone = study.metrics.filter(
        pl.col("split").str.starts_with(study.asked.subset or "test_"),
        pl.col("attack") != "all",
        pl.col("metric") == "auroc",
    )
    rows = study.rows.unique(["variant", "dataset", "fingerprint"], maintain_order=True)
    frame = (
        rows.join(alone.rename({"split": "subset"}), on="fingerprint")
        .group_by("dataset", "subset", "attack", "position", "variant", maintain_order=True)
        .agg(
            mean=pl.col("value").mean(),
            std=pl.col("value").std(),
            n=pl.col("value").count().cast(pl.Int64),
        )
        .sort("dataset", "subset", "attack", "position", maintain_order=True)
        .select(
            "attack", "variant", "mean", "std", "n", "dataset", "subset",
            pl.lit("auroc").alias("metric"),
        )
    )  # fmt: skip
    note = "AUROC of the windows of one attack against all benign windows; mean over n seeds"
    return Table(kind="per_attack", frame=frame, notes=(note,))


def _known_ground(cells: pl.DataFrame) -> pl.DataFrame:
    """Cells of the subset of known vehicles and attacks; of the first one, where it has no name."""
    named = pl.col("subset").str.starts_with(KNOWN_GROUND)
    first = pl.col("subset") == pl.col("subset").min()
    return cells.filter(pl.when(named.any().over("dataset")).then(named).otherwise(
        first.over("dataset")
    ))  # fmt: skip


def _means(cells: pl.DataFrame, metrics: tuple[str, ...]) -> pl.DataFrame:
    """Means over seeds with what a reader has to know of them."""
    frame = (
        once(cells)
        .group_by(*PLACE, "position", "variant", maintain_order=True)
        .agg(
            *(pl.col(MEANS.get(name, name)).mean().alias(name) for name in metrics),
            pl.col("n_windows").count().cast(pl.Int64).alias("n_seeds"),
            pl.col("n_windows", "n_attacks").max().cast(pl.Int64),
            pl.col("saturated").sum().cast(pl.Int64),
        )
        .rename({"variant": "model", "subset": "scenario"})
    )
    head = ("model", *(("scenario",) if "auroc" in metrics else ()))
    tail = ["dataset", *(("scenario",) if "auroc" not in metrics else ()), "policy"]
    return frame.select(*head, *metrics, "n_seeds", *tail, "n_windows", "n_attacks", "saturated")
