"""Ablation tables from what runs committed: plan and metrics joined by fingerprint."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from graphids.grid.grid import FLOOR
from graphids.store.files import sha256
from graphids.store.ledger import Ledger
from graphids.store.outputs import SHORT, DamagedOutputError, OutputStore
from graphids.store.results import METRICS_FILE, read_metrics, read_plans

METRICS = ("f1", "mcc", "auroc", "ap", "precision", "recall", "fpr", "n_windows", "n_attacks")
"""Metrics of a table, in its order; ``f1`` is that of the attack class."""
TABULATED = ("row", "reference")
"""Roles of the trials that a table shows."""
COLUMNS = (
    "grid", "variant", "axis", "level", "baseline",
    "dataset", "subset", "metric", "mean", "std", "n",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class AblationTable:
    """Every row of a grid on every test subset, and what stands below the table."""

    rows: pl.DataFrame
    """Long form, in the columns of ``COLUMNS``; an undefined mean or deviation is null."""
    notes: tuple[str, ...]
    """What stands below: trials of rows that are not committed, with the reason; odd counts."""


def ablation_table(store: Path, grid: str) -> AblationTable:
    """Mean and standard deviation over seeds of every metric: baseline first, references last.

    Args:
        store: Folder of the store.
        grid: Name of the grid.

    Raises:
        FileNotFoundError: if no run of the grid was planned in this store.
        DamagedOutputError: if committed metrics are not what their manifest says.
    """
    plan = read_plans(store, grid)
    outputs = OutputStore(store)
    known = outputs.committed()
    rows = plan.filter(pl.col("role").is_in(TABULATED))
    folders = [
        known[key[:SHORT]]
        for key in rows["fingerprint"].unique(maintain_order=True)
        if key[:SHORT] in known
    ]
    for folder in folders:
        check_metrics(outputs, folder)
    metrics = read_metrics(folders).filter(
        pl.col("split").str.starts_with("test_")
        & (pl.col("attack") == "all")
        & pl.col("metric").is_in(METRICS)
    )
    # A trial that all seeds share is one measurement, however many seeds the grid has.
    trials = rows.unique(["variant", "dataset", "fingerprint"], maintain_order=True)
    cells = _summarise(trials, metrics)
    missing = _missing(plan, known, Ledger(store))
    return AblationTable(rows=cells, notes=(*_aliases(rows), *missing, *_other_windows(cells)))


def _aliases(rows: pl.DataFrame) -> tuple[str, ...]:
    """Rows that stand for several variants of equal settings."""
    named = rows.unique("variant", maintain_order=True).filter(pl.col("aliases").list.len() > 0)
    return tuple(
        f"{row['variant']} is also {', '.join(row['aliases'])}: equal settings, one training"
        for row in named.iter_rows(named=True)
    )


def _other_windows(cells: pl.DataFrame) -> tuple[str, ...]:
    """Rows that were tested on other windows than the floor: they do not pair."""
    counts = cells.filter(metric="n_windows").select("dataset", "subset", "variant", "mean")
    floor = counts.filter(variant=FLOOR).select("dataset", "subset", floor="mean")
    others = counts.join(floor, on=["dataset", "subset"]).filter(pl.col("mean") != pl.col("floor"))
    return tuple(
        f"{row['variant']} on {row['dataset']} / {row['subset']}: {row['mean']:,.0f} windows, "
        f"the baseline has {row['floor']:,.0f}"
        for row in others.iter_rows(named=True)
    )


def check_metrics(outputs: OutputStore, folder: Path) -> None:
    """Refuses committed metrics that differ from their manifest: Parquet would not notice."""
    expected = outputs.manifest(folder)["files"].get(METRICS_FILE)
    if expected is not None and sha256(folder / METRICS_FILE) != expected["sha256"]:
        raise DamagedOutputError(
            f"{folder / METRICS_FILE} does not match its manifest; "
            "move the folder away and run the grid again"
        )


def _summarise(rows: pl.DataFrame, metrics: pl.DataFrame) -> pl.DataFrame:
    """Mean, standard deviation and count over seeds; a row without results keeps its place."""
    subsets = rows.join(metrics, on="fingerprint").select("dataset", subset="split")
    subsets = subsets.unique(maintain_order=True)
    order = {metric: i for i, metric in enumerate(METRICS)}
    names = pl.DataFrame({"metric": METRICS, "order": list(order.values())})
    cells = rows.join(subsets, on="dataset").join(names, how="cross")
    values = cells.join(
        metrics.select("fingerprint", "metric", "value", subset="split"),
        on=["fingerprint", "subset", "metric"],
        how="left",
    )
    return (
        values.group_by(
            "grid", "position", "variant", "axis", "level", "baseline", "dataset", "subset",
            "metric", "order",
            maintain_order=True,
        )
        .agg(
            mean=pl.col("value").mean(),
            std=pl.col("value").std(),
            n=pl.col("value").count().cast(pl.Int64),
        )
        .sort("dataset", "subset", "position", "order", maintain_order=True)
        .select(COLUMNS)
    )  # fmt: skip


def _missing(plan: pl.DataFrame, known: dict[str, Path], ledger: Ledger) -> tuple[str, ...]:
    """Why rows have fewer seeds than planned: the error, or that they have not run."""
    told = []
    for (variant, dataset, seed), chain in plan.group_by(
        "variant", "dataset", "seed", maintain_order=True
    ):
        last = chain.filter(pl.col("role").is_in(TABULATED))["fingerprint"].item()
        if last[:SHORT] in known:
            continue
        failure = ledger.failure(last)
        if failure is not None:
            reason = f"failed: {failure['error'].splitlines()[0]}"
        elif any(ledger.failure(key) for key in chain["fingerprint"] if key[:SHORT] not in known):
            reason = "skipped: upstream failed"
        else:
            reason = "not run"
        told.append(f"{variant} on {dataset}, seed {seed}: {reason}")
    return tuple(told)
