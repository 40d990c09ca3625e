"""What every kind of table is made from: the rows of a grid, their results, what to say of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from analysis.sequential_rule import Rule, read_rule
from analysis.tables.captures import choose_captures
from analysis.tables.mixed import Difference
from analysis.tables.recomputed import current_metrics
from graphids.store.outputs import SHORT, OutputStore
from graphids.store.results import (
    PLAN_SCHEMA,
    newest_captures,
    newest_rows,
    read_design,
)

METRICS = ("f1", "mcc", "auroc", "ap", "precision", "recall", "fpr", "n_windows", "n_attacks")
"""Metrics of the long table, in its order; ``f1`` is that of the attack class."""
WIDE = (*METRICS, "accuracy", "specificity", "f1_macro", "balanced_accuracy", "threshold")
"""Metrics that some kind of table reads."""
LOWER_IS_BETTER = ("fpr",)
NO_METRIC = ("n_windows", "n_attacks", "threshold")
TABULATED = ("row", "reference")
"""Roles of the trials that a table shows."""
ANALYSIS = "analysis"
"""Role of a look at what rows have trained, which no table shows."""
VALIDATION = "validation"
SATURATED = 0.9999
"""Validation AUROC beyond which a threshold lies anywhere in the gap that validation leaves."""
AS_RUN = "as run"
"""Policy of the decisions that the trials themselves made: max F1 on validation."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Which part of a grid's results a table shows."""

    metric: str = "mcc"
    """Metric that rows are compared by. The default is 0 for any detector without skill, whatever
    the share of attacks; F1 then is that of the floor, and AUROC does not see a lost threshold."""
    dataset: str | None = None
    """Only this data set."""
    subset: str | None = None
    """Only test subsets whose name begins so."""
    policies: tuple[str, ...] = ()
    """How decisions are made, by the names of ``decisions.NAMES``; none is as the trials did."""
    lead_in_seconds: float = 5.0
    """First seconds of a capture that a policy may read."""
    allow_mixed: bool = False
    """Whether rows that do not compare are shown, and marked."""

    def __post_init__(self) -> None:
        known = [name for name in WIDE if name not in NO_METRIC]
        if self.metric not in known:
            raise ValueError(f"--metric takes {', '.join(known)} (got {self.metric!r})")
        if not self.lead_in_seconds > 0.0:
            raise ValueError(f"--lead-in takes seconds above 0 (got {self.lead_in_seconds})")


@dataclass(frozen=True, kw_only=True)
class Study:
    """The rows of a grid with the results that are committed."""

    outputs: OutputStore
    """The store of the outputs."""
    grid: str
    """Name of the grid."""
    asked: Asked
    """Which part is shown."""
    plan: pl.DataFrame
    """One row a (variant, dataset, seed, trial of its chain), as ``PLAN_SCHEMA``, with the
    analyses."""
    rows: pl.DataFrame
    """The tabulated trials of the plan, with ``prepare``: the trial of their prepared data set."""
    folders: Mapping[str, Path]
    """Committed outputs by the first characters of their fingerprint."""
    manifests: Mapping[str, Mapping[str, Any]]
    """Manifests of the tabulated trials that are committed, by fingerprint."""
    metrics: pl.DataFrame
    """Their metrics, as ``METRICS_SCHEMA``."""
    versions: Mapping[str, int | None]
    """Version of the metrics of each of them, by fingerprint."""
    told: tuple[str, ...] = ()
    """What was left out with earlier captures, and what was computed again."""
    differences: tuple[Difference, ...] = ()
    """Rows on other captures than the rest."""
    analyses: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=PLAN_SCHEMA))
    """Analyses of the rows, as ``PLAN_SCHEMA``; no table shows them."""
    rule: Rule | None = None
    """Rule by which seeds are added to these rows; none where none was declared for them."""

    @property
    def chances(self) -> int:
        """How often a row that was compared could be called different: once, or once a look."""
        return len(self.rule.looks) if self.rule else 1

    def more_manifests(self, keys: Iterable[str]) -> dict[str, Mapping[str, Any]]:
        """Manifests of any committed trials, by fingerprint."""
        return {
            key: self.manifests[key]
            if key in self.manifests
            else self.outputs.manifest(self.folders[key[:SHORT]])
            for key in keys
            if key[:SHORT] in self.folders
        }


def read_study(root: Path, grid: str, asked: Asked | None = None) -> Study:
    """Reads the plan of a grid and the committed results of its rows.

    Args:
        root: Folder of the store.
        grid: Name of the grid.
        asked: Which part is shown.

    Raises:
        FileNotFoundError: if no run of the grid was planned in this store.
        MixedRowsError: if rows are left that were only tested on captures that have changed.
        ValueError: if the data set or the subset that is asked for is unknown.
        DamagedOutputError: if committed metrics or scores are not what their manifest says.
    """
    asked = asked or Asked()
    outputs = OutputStore(root)
    folders = outputs.committed()
    planned = read_design(root, grid)
    is_analysis = pl.col("role") == ANALYSIS
    design = planned.filter(~is_analysis)
    analyses = newest_rows(newest_captures(planned)).filter(is_analysis)
    choice = choose_captures(design, folders, allow_mixed=asked.allow_mixed)
    plan = choice.plan
    if asked.dataset is not None:
        known = plan["dataset"].unique(maintain_order=True).to_list()
        if asked.dataset not in known:
            raise ValueError(
                f"grid {grid!r} has no data set {asked.dataset!r}; it has {', '.join(known)}"
            )
        plan = plan.filter(dataset=asked.dataset)
        analyses = analyses.filter(dataset=asked.dataset)
    # What ran beside the rows belongs to what they cost, and to the course of a run.
    plan = pl.concat((plan, analyses))
    rows = _tabulated(plan)
    manifests = {
        key: outputs.manifest(folders[key[:SHORT]])
        for key in rows["fingerprint"].unique(maintain_order=True)
        if key[:SHORT] in folders
    }
    current = current_metrics(outputs, folders, manifests)
    rule = read_rule(root, grid)
    study = Study(
        outputs=outputs, grid=grid, asked=asked, plan=plan, rows=rows, folders=folders,
        manifests=manifests, metrics=current.metrics, versions=current.versions,
        told=(*choice.told, *current.told), differences=choice.differences, analyses=analyses,
        # Another design was not given its seeds by the rule, whatever its rows are called.
        rule=rule if rule is not None and rule.design == planned["design"][0] else None,
    )  # fmt: skip
    _check_subset(study)
    return study


def subsets(study: Study) -> pl.DataFrame:
    """Test subsets of each data set that any row was tested on: ``dataset``, ``subset``."""
    tested = study.metrics.lazy().filter(is_test()).select("fingerprint", subset="split").unique()
    found = (
        study.rows.lazy()
        .select("dataset", "fingerprint")
        .unique()
        .join(tested, on="fingerprint")
        .select("dataset", "subset")
        .unique()
        .sort("dataset", "subset")
        .collect()
    )
    asked = study.asked.subset
    return found if asked is None else found.filter(pl.col("subset").str.starts_with(asked))


def is_test() -> pl.Expr:
    """Whether a row of metrics is of a whole test subset."""
    return pl.col("split").str.starts_with("test_") & (pl.col("attack") == "all")


def _tabulated(plan: pl.DataFrame) -> pl.DataFrame:
    """Trials that a table shows, each with the prepared data set of its chain."""
    keys = ["variant", "dataset", "seed"]
    prepared = (
        plan.filter(stage="prepare").group_by(keys).agg(prepare=pl.col("fingerprint").first())
    )
    rows = plan.filter(pl.col("role").is_in(TABULATED))
    return rows.join(prepared, on=keys, how="left", maintain_order="left")


def _check_subset(study: Study) -> None:
    """Refuses a subset that no row was tested on."""
    asked = study.asked.subset
    if asked is None or not subsets(study).is_empty():
        return
    known = study.metrics.filter(is_test())["split"].unique().sort().to_list()
    raise ValueError(
        f"grid {study.grid!r} has no test subset {asked!r}; it has {', '.join(known) or 'none'}"
    )
