"""The ablation table: every row of an axis against its baseline, seed by seed."""

from __future__ import annotations

import numpy as np
import polars as pl

from analysis.many import ALPHA, paired_rows, seeds_needed, seeds_reachable
from analysis.tables.decisions import FACTS
from analysis.tables.remarks import few_seeds
from analysis.tables.study import LOWER_IS_BETTER, METRICS, Study
from analysis.tables.table import Table

COLUMNS = (
    "grid", "variant", "axis", "level", "baseline",
    "dataset", "subset", "metric", "mean", "std", "n",
)  # fmt: skip
"""Columns of the long table."""
PLACE = ["dataset", "subset", "policy"]
"""What rows are compared within."""
CONTEXT = ("f1", "mcc", "auroc", "ap")
"""Metrics that stand beside the one that is compared: a ranking and a decision tell two things."""


def metrics(study: Study, cells: pl.DataFrame) -> Table:
    """Mean, standard deviation and number of seeds of every metric, in long form.

    The columns are ``COLUMNS``; under threshold policies also ``policy`` and what is known of it.
    """
    trials = once(cells)
    keys = [*PLACE, "position", "variant"]
    same = ["grid", "axis", "level", "baseline"]
    wide = trials.group_by(keys, maintain_order=True).agg(
        pl.col(*same, *FACTS).first(),
        *(
            expression.alias(f"{name}:{metric}")
            for metric in METRICS
            for name, expression in (
                ("mean", pl.col(metric).mean()),
                ("std", pl.col(metric).std()),
                ("n", pl.col(metric).count().cast(pl.Float64)),
            )
        ),
    )
    parts = [
        wide.select(
            *keys, *same, *FACTS,
            pl.lit(order).alias("order"), pl.lit(metric).alias("metric"),
            mean=f"mean:{metric}", std=f"std:{metric}", n=pl.col(f"n:{metric}").cast(pl.Int64),
        )
        for order, metric in enumerate(METRICS)
    ]  # fmt: skip
    long = pl.concat(parts).sort(*PLACE[:2], "position", "policy", "order", maintain_order=True)
    facts = ["policy", *FACTS] if study.asked.policies else []
    return Table(kind="metrics", frame=long.select(*COLUMNS, *facts))


def ablation(study: Study, cells: pl.DataFrame) -> Table:
    """Rows with their paired difference to the baseline, on every test subset.

    Columns: ``dataset``, ``subset``, ``policy``, ``axis``, ``variant``, ``level``, ``baseline``,
    ``metric``, its ``mean``, ``std`` and ``n`` (seeds); ``delta`` to the baseline with the same
    last stage, its 95 % interval ``low`` to ``high``, ``p`` of the sign-flip test and ``p_holm``
    over the rows of the axis, ``d_z`` with ``d_z_low`` and ``d_z_high``, ``n_pairs``; ``verdict``;
    ``seeds_needed`` to find this effect with a chance of 80 %; the means of ``CONTEXT`` and
    ``fpr``; ``n_windows``, ``n_attacks``, what is known of the thresholds, ``saturated`` seeds.
    """
    asked = study.asked.metric
    summary = summarise(once(cells), asked)
    compared = holm(compare(cells, asked), study.chances)
    frame = summary.join(
        compared, on=[*PLACE, "variant"], how="left", maintain_order="left"
    ).with_columns(metric=pl.lit(asked))
    frame = frame.with_columns(verdict(asked))
    columns = [
        *PLACE, "axis", "variant", "level", "baseline", "metric", "mean", "std", "n",
        "delta", "low", "high", "p", "p_holm", "d_z", "d_z_low", "d_z_high", "n_pairs", "verdict",
        "seeds_needed", *(name for name in (*CONTEXT, "fpr") if name != asked),
        "n_windows", "n_attacks", "lead_in_seconds", "lead_in_windows", "contamination",
        "saturated",
    ]  # fmt: skip
    notes = (
        f"{asked.upper()}: mean ± standard deviation over n seeds; Δ: paired difference to the "
        "baseline with the same last stage, over the seeds of both, with its 95 % interval",
        "p: sign-flip test, two-sided; Holm: adjusted over the rows of the axis on the subset"
        f"{_looks(study)}; d_z: Δ in standard deviations of the differences; underpowered: so few "
        f"pairs cannot reach p ≤ {ALPHA} after Holm, whatever they show; seeds needed: to find the "
        "effect that was seen with a chance of 80 %",
        *few_seeds(frame["n_pairs"].drop_nulls()),
    )
    return Table(kind="ablation", frame=frame.select(columns), notes=notes)


def _looks(study: Study) -> str:
    """That a p-value had several chances, where seeds are added by a rule."""
    if study.chances == 1:
        return ""
    return f" and over the {study.chances} looks by which seeds are added"


def once(cells: pl.DataFrame) -> pl.DataFrame:
    """The cells with a trial that all seeds share once: it is one measurement."""
    return cells.unique([*PLACE, "variant", "fingerprint"], keep="first", maintain_order=True)


def summarise(trials: pl.DataFrame, metric: str) -> pl.DataFrame:
    """Mean, deviation and seeds of one metric for each row, with the means of ``CONTEXT``."""
    keys = [*PLACE, "position", "variant", "axis", "level", "baseline", "stage", "role"]
    others = [name for name in (*CONTEXT, "fpr") if name != metric]
    return trials.group_by(keys, maintain_order=True).agg(
        pl.col(metric).mean().alias("mean"),
        pl.col(metric).std().alias("std"),
        pl.col(metric).count().cast(pl.Int64).alias("n"),
        pl.col(others).mean(),
        pl.col("n_windows", "n_attacks").max().cast(pl.Int64),
        pl.col("lead_in_seconds").first(),
        pl.col("lead_in_windows").max(),
        pl.col("contamination").mean(),
        pl.col("saturated").sum().cast(pl.Int64),
    )


def compare(cells: pl.DataFrame, metric: str) -> pl.DataFrame:
    """Every row paired with the baseline that has the same last stage, seed by seed.

    Pairs are of equal windows; two trials that several seeds share are one pair.

    Returns:
        ``PLACE``, ``variant``, ``axis``, ``stage`` and the fields of ``Paired``: ``mean`` as
        ``delta``, ``n`` as ``n_pairs``.
    """
    rows = cells.filter(role="row")
    on = [*PLACE, "stage", "seed"]
    values = ["fingerprint", metric, "n_windows", "n_attacks"]
    base = rows.filter("baseline").select(*on, *(pl.col(v).alias(f"{v}_base") for v in values))
    pairs = (
        rows.filter(~pl.col("baseline"))
        .join(base, on=on, maintain_order="left")
        .filter(
            pl.col(metric).is_not_null(),
            pl.col(f"{metric}_base").is_not_null(),
            pl.col("n_windows").eq_missing(pl.col("n_windows_base")),
            pl.col("n_attacks").eq_missing(pl.col("n_attacks_base")),
        )
        .unique([*PLACE, "variant", "fingerprint", "fingerprint_base"], maintain_order=True)
    )
    grouped = pairs.group_by(*PLACE, "variant", "axis", "stage", maintain_order=True).agg(
        deltas=pl.col(metric) - pl.col(f"{metric}_base")
    )
    found = paired_rows(grouped["deltas"].to_list()).rename({"mean": "delta", "n": "n_pairs"})
    return grouped.drop("deltas").hstack(found)


def holm(compared: pl.DataFrame, chances: int = 1) -> pl.DataFrame:
    """The comparisons with ``p_holm``, ``family`` (its size) and ``seeds_needed``.

    A family are the rows of one axis that are compared with one baseline on one subset, each as
    often as it is looked at: ``chances`` times.
    """
    family = [*PLACE, "stage", "axis"]
    size = (pl.col("p").count().over(family) * chances).alias("family")
    ranked = compared.with_columns(size).sort(*family, "p", nulls_last=True, maintain_order=True)
    left = pl.col("family") - chances * pl.int_range(pl.len()).over(family)
    adjusted = (pl.col("p") * left).cum_max().over(family).clip(upper_bound=1.0)
    found = ranked.with_columns(p_holm=adjusted)
    levels = ALPHA / found["family"].cast(pl.Float64).to_numpy().clip(min=1.0)
    effects = found["d_z"].to_numpy().astype(np.float64)
    needed = pl.Series(seeds_needed(effects, levels)).fill_nan(None).cast(pl.Int64)
    fewest = pl.Series(seeds_reachable(levels)).cast(pl.Int64)
    return found.with_columns(seeds_needed=needed, seeds_reachable=fewest)


def verdict(metric: str) -> pl.Expr:
    """What the comparison says, in a word or two; null for a row that is not compared."""
    better, worse = ("lower", "higher") if metric in LOWER_IS_BETTER else ("higher", "lower")
    up, down = (f"{better} (better)", f"{worse} (worse)") if better == "higher" else (
        f"{worse} (worse)", f"{better} (better)",
    )  # fmt: skip
    # At the first step of Holm; behind rows with smaller p-values fewer pairs reach the level.
    reachable = pl.col("p_floor") * pl.col("family") <= ALPHA
    return (
        pl.when(pl.col("baseline"))
        .then(pl.lit("baseline"))
        .when(pl.col("p").is_null())
        .then(None)
        .when(~reachable & (pl.col("p_holm") > ALPHA))
        .then(pl.lit("underpowered"))
        .when(pl.col("p_holm") > ALPHA)
        .then(pl.lit("not told apart"))
        .when(pl.col("delta") > 0.0)
        .then(pl.lit(up))
        .otherwise(pl.lit(down))
        .alias("verdict")
    )
