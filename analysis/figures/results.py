"""What figures are drawn from: the rows of a study, and which of them a crowded figure shows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from analysis.figures.style import metric_name
from analysis.tables.ablation import once
from analysis.tables.decisions import threshold_facts
from analysis.tables.study import LOWER_IS_BETTER, Study
from graphids.store.outputs import SHORT
from graphids.store.results import read_scores

AT_MOST = 6
"""Rows of the grid that a figure of lines shows; one reference stands beside them."""
SIGN = " ‡"
"""What stands behind the name of a row that does not compare with the others, as in tables."""


@dataclass(frozen=True, kw_only=True)
class Results:
    """A study with its metrics, as the trials themselves decided."""

    study: Study
    """The rows and their results."""
    cells: pl.DataFrame
    """What ``decisions.cells`` gives of it."""
    mixed: frozenset[tuple[str, str]] = frozenset()
    """Data set and row of rows that differ from the others in what must be alike."""

    @property
    def incomparable(self) -> frozenset[tuple[str, str]]:
        """Data set and row of those, and of rows whose baseline is one of them."""
        keys = ["dataset", "stage"]
        rows = self.cells.unique(["dataset", "variant"], keep="first", maintain_order=True)
        base = rows.filter("baseline").select(*keys, base="variant")
        pairs = (
            rows.filter(~pl.col("baseline"))
            .join(base, on=keys)
            .select("dataset", "variant", "base")
        )
        return self.mixed | {
            (dataset, variant)
            for dataset, variant, baseline in pairs.iter_rows()
            if (dataset, baseline) in self.mixed
        }

    def marked(self, dataset: str, variant: str) -> str:
        """Name of a row, with a sign where it does not compare."""
        return f"{variant}{SIGN}" if (dataset, variant) in self.mixed else variant

    @property
    def metric(self) -> str:
        """Metric that rows are compared by."""
        return self.study.asked.metric

    @property
    def datasets(self) -> list[str]:
        """Data sets, in their order."""
        return self.study.rows["dataset"].unique(maintain_order=True).to_list()

    def on(self, dataset: str) -> str:
        """`` on DATASET`` where there are several."""
        return f" on {dataset}" if len(self.datasets) > 1 else ""

    def name(self, family: str, dataset: str) -> str:
        """Id of a figure."""
        return f"{family}-{self.datasets.index(dataset)}"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Rows that a figure of lines shows, in table order."""

    names: tuple[str, ...]
    """Their names."""
    baselines: tuple[str, ...]
    """Those among them that others are compared with."""
    total: int
    """Rows that could have been shown."""
    metric: str
    """Metric that they were chosen by."""

    @property
    def told(self) -> str:
        """What to say of the choice; empty where nothing is left out."""
        if len(self.names) == self.total:
            return ""
        return (
            f" Shown are {len(self.names)} of {self.total} rows: the baseline, the best rows of "
            f"the grid by mean {metric_name(self.metric)} over subsets, and the best reference."
        )


@dataclass(frozen=True, kw_only=True)
class Scored:
    """The scores of one trial."""

    variant: str
    """Row."""
    seed: int
    """Seed of the row."""
    threshold: float | None
    """It decided ``score >= threshold``."""
    scores: pl.DataFrame
    """As ``SCORES_SCHEMA``."""


def averages(cells: pl.DataFrame, metric: str) -> pl.DataFrame:
    """Mean over test subsets of each row's mean over seeds, on each data set.

    A subset counts where any row has the metric; a row that lacks one of these is left out, because
    its mean would be over easier or harder traffic than that of the others.

    Returns:
        ``dataset``, ``position``, ``variant``, ``role``, ``baseline``, ``value``.
    """
    keys = ["dataset", "position", "variant", "role", "baseline"]
    means = (
        once(cells)
        .group_by(*keys, "subset", maintain_order=True)
        .agg(value=pl.col(metric).mean())
        .drop_nulls("value")
    )
    counted = means.with_columns(of=pl.col("subset").n_unique().over("dataset"))
    whole = counted.filter(pl.len().over(keys) == pl.col("of"))
    return whole.group_by(keys, maintain_order=True).agg(pl.col("value").mean())


def by_mean(cells: pl.DataFrame, metric: str) -> list[str]:
    """Rows of one data set by their mean over subsets, best first; those without one come last."""
    lower = metric in LOWER_IS_BETTER
    found = averages(cells, metric).sort("value", descending=not lower, maintain_order=True)
    rows = cells.unique("variant", keep="first", maintain_order=True).sort("position")
    return list(dict.fromkeys([*found["variant"], *rows["variant"]]))


def shown(results: Results, dataset: str) -> Shown:
    """The rows of a data set that figures of lines show."""
    cells = results.cells.filter(dataset=dataset).drop_nulls("n_windows")
    rows = cells.unique("variant", keep="first", maintain_order=True).sort("position")
    ranked = by_mean(cells, results.metric)
    own = rows.filter(role="row")
    baselines = own.filter("baseline")["variant"].to_list()
    best = [name for name in ranked if name in set(own["variant"]) - set(baselines)]
    references = [name for name in ranked if name in set(rows["variant"]) - set(own["variant"])]
    chosen = {*baselines, *best[: max(0, AT_MOST - len(baselines))], *references[:1]}
    return Shown(
        names=tuple(name for name in rows["variant"] if name in chosen),
        baselines=tuple(baselines),
        total=len(rows),
        metric=results.metric,
    )


def scored(results: Results, dataset: str, rows: Shown) -> Iterator[Scored]:
    """Scores of the committed trials of some rows, each trial once and one at a time.

    Raises:
        DamagedOutputError: Committed scores are not what their manifest says.
    """
    study = results.study
    wanted = study.rows.filter(pl.col("variant").is_in(rows.names), dataset=dataset)
    wanted = wanted.unique(["variant", "fingerprint"], keep="first", maintain_order=True)
    for variant, seed, key in wanted.select("variant", "seed", "fingerprint").iter_rows():
        told = study.manifests.get(key)
        if told is None:
            continue
        scores = read_scores(study.outputs, study.folders[key[:SHORT]], told)
        asked = study.asked.subset
        if asked is not None:
            test = pl.col("split").str.starts_with(asked)
            scores = scores.filter(test | (pl.col("split") == "validation"))
        if scores.height:
            threshold = threshold_facts(told)[1]
            yield Scored(variant=variant, seed=seed, threshold=threshold, scores=scores)
