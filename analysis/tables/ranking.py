"""Rows against one another: by mean, in pairs, at equal effort, and those that remain tied."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl

from analysis.across import expected_maximum
from analysis.across import tie_candidates as find_ties
from analysis.many import bca_rows, paired_rows
from analysis.statistics import FloatArray, Paired, constant, holm
from analysis.tables.ablation import PLACE
from analysis.tables.remarks import few_seeds
from analysis.tables.study import LOWER_IS_BETTER, Study
from analysis.tables.table import Table

REFERENCE = "reference"
OUTSIDE = "outside the axes"
BEHIND = "behind on shared seeds"
"""Verdict on the row with the best mean where another one beats it seed by seed."""
FLATTERED = (
    "the order is that of the very values it is shown with: whichever row comes first is flattered"
)


def leaderboard(study: Study, cells: pl.DataFrame) -> Table:
    """Rows by their mean over seeds, best first, on every test subset.

    Columns: ``variant``, ``n_seeds``, ``mean``, ``std``, ``ci_low``, ``ci_high`` (95 % BCa
    bootstrap over seeds, null below three), ``group`` (the axis), ``dataset``, ``subset``,
    ``policy``, ``metric``, ``n_windows``, ``n_attacks``.
    """
    metric = study.asked.metric
    rows = [
        {
            "variant": row["variant"],
            "n_seeds": row["values"].size,
            **_spread(row["values"]),
            "group": row["group"],
            **_place(row),
            "metric": metric,
            "n_windows": row["n_windows"],
            "n_attacks": row["n_attacks"],
        }
        for row in _rows(cells, metric)
    ]
    schema = {
        "variant": pl.String, "n_seeds": pl.Int64, "mean": pl.Float64, "std": pl.Float64,
        "ci_low": pl.Float64, "ci_high": pl.Float64, "group": pl.String,
        **dict.fromkeys(PLACE, pl.String), "metric": pl.String, "n_windows": pl.Int64,
        "n_attacks": pl.Int64,
    }  # fmt: skip
    frame = pl.DataFrame(rows, schema=schema, orient="row").sort(
        *PLACE, "mean", descending=[*[False] * len(PLACE), metric not in LOWER_IS_BETTER],
        nulls_last=True, maintain_order=True,
    )  # fmt: skip
    notes = (f"{metric.upper()}: mean over seeds; {FLATTERED}", *few_seeds(frame["n_seeds"]))
    return Table(kind="leaderboard", frame=frame, notes=notes)


def effect_size(study: Study, cells: pl.DataFrame) -> Table:
    """Every pair of rows of an axis that end in one stage, seed by seed.

    Columns: ``variant_a``, ``variant_b``, ``mean_diff`` (a minus b over the seeds of both),
    ``cohens_d`` (the same in pooled deviations), ``d_z`` (in those of the differences),
    ``diff_ci_low``, ``diff_ci_high``, ``p``, ``p_holm`` (over the pairs of the group),
    ``n_seeds_a``, ``n_seeds_b``, ``n_pairs``, ``group``, ``dataset``, ``subset``, ``policy``,
    ``metric``.
    """
    metric = study.asked.metric
    pairs = [pair for group in _groups(cells, metric) for pair in combinations(group, 2)]
    matched = [_matched(a, b) for a, b in pairs]
    found = paired_rows([(a - b).tolist() for a, b in matched]).to_dicts()
    records = [
        {
            "variant_a": a["variant"],
            "variant_b": b["variant"],
            "mean_diff": one["mean"],
            "cohens_d": _pooled(*both),
            "d_z": one["d_z"],
            "diff_ci_low": one["low"],
            "diff_ci_high": one["high"],
            "p": one["p"],
            "p_holm": None,
            "n_seeds_a": a["values"].size,
            "n_seeds_b": b["values"].size,
            "n_pairs": one["n"],
            "group": a["group"],
            **_place(a),
            "metric": metric,
        }
        for (a, b), both, one in zip(pairs, matched, found, strict=True)
    ]
    families: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for (a, _), record in zip(pairs, records, strict=True):
        families.setdefault((a["group"], a["stage"], *_place(a).values()), []).append(record)
    for family in families.values():
        given = (r["p"] for r in family)
        counted = [None if p is None else min(1.0, study.chances * p) for p in given]
        for record, p in zip(family, holm(counted), strict=True):
            record["p_holm"] = p
    numbers = ("mean_diff", "cohens_d", "d_z", "diff_ci_low", "diff_ci_high", "p", "p_holm")
    schema = {
        "variant_a": pl.String, "variant_b": pl.String, **dict.fromkeys(numbers, pl.Float64),
        "n_seeds_a": pl.Int64, "n_seeds_b": pl.Int64, "n_pairs": pl.Int64, "group": pl.String,
        **dict.fromkeys(PLACE, pl.String), "metric": pl.String,
    }  # fmt: skip
    frame = pl.DataFrame(records, schema=schema)
    notes = (
        "differences are paired over seeds, and so are their intervals and tests; cohens_d is in "
        "pooled deviations of both rows, for comparison with studies that do not pair; d_z in "
        "deviations of the differences",
        *few_seeds(frame["n_pairs"]),
    )
    return Table(kind="effect_size", frame=frame, notes=notes)


def expected_max(study: Study, cells: pl.DataFrame) -> Table:
    """Best value to expect of the first 1, 2, ... N seeds of a row.

    Columns: ``variant``, ``n_seeds``, ``expected_max``, ``group``, ``dataset``, ``subset``,
    ``policy``, ``metric``.
    """
    metric = study.asked.metric
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    records = [
        {
            "variant": row["variant"],
            "n_seeds": n,
            "expected_max": sign * value,
            "group": row["group"],
            **_place(row),
            "metric": metric,
        }
        for row in _rows(cells, metric)
        if row["values"].size
        for n, value in enumerate(expected_maximum(sign * row["values"]), start=1)
    ]
    schema = {
        "variant": pl.String, "n_seeds": pl.Int64, "expected_max": pl.Float64, "group": pl.String,
        **dict.fromkeys(PLACE, pl.String), "metric": pl.String,
    }  # fmt: skip
    best = "lowest" if sign < 0 else "highest"
    note = (
        f"expected {best} {metric.upper()} of n seeds (mean over all subsets of that size): rows "
        "that were not tuned equally long compare at equal n"
    )
    return Table(kind="expected_max", frame=pl.DataFrame(records, schema=schema), notes=(note,))


def tie_candidates(study: Study, cells: pl.DataFrame) -> Table:
    """Rows of an axis that the one with the best mean does not clearly beat: more seeds may.

    Columns: ``variant_a`` (the best), ``variant_b``, ``mean_a``, ``mean_b``, ``gap`` (how far a
    leads, over the seeds of both) with ``diff_ci_low`` and ``diff_ci_high``, ``verdict``
    (``tied``: the interval holds 0; ``BEHIND``: it lies below 0, so that a owes its mean to seeds
    that b lacks; ``untold``: too few pairs for one), ``n_seeds_a``, ``n_seeds_b``,
    ``group``, ``dataset``, ``subset``, ``policy``, ``metric``.
    """
    metric = study.asked.metric
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    records = []
    for group in _groups(cells, metric):
        known = {row["variant"]: row for row in group if row["values"].size}
        if len(known) < 2:
            continue
        seeds = sorted({seed for row in known.values() for seed in row["by_seed"]})
        values = {
            name: sign * np.array([row["by_seed"].get(seed, np.nan) for seed in seeds])
            for name, row in known.items()
        }
        ties = find_ties(values)
        best = known[ties.best]
        for name in (*ties.tied, *ties.untold):
            row, judged = known[name], ties.differences[name]
            records.append(
                {
                    "variant_a": ties.best,
                    "variant_b": name,
                    "mean_a": float(best["values"].mean()),
                    "mean_b": float(row["values"].mean()),
                    "gap": judged.mean,
                    "diff_ci_low": judged.low,
                    "diff_ci_high": judged.high,
                    "verdict": _tie(judged),
                    "n_seeds_a": best["values"].size,
                    "n_seeds_b": row["values"].size,
                    "group": row["group"],
                    **_place(row),
                    "metric": metric,
                }
            )
    schema = {
        "variant_a": pl.String, "variant_b": pl.String,
        **dict.fromkeys(("mean_a", "mean_b", "gap", "diff_ci_low", "diff_ci_high"), pl.Float64),
        "verdict": pl.String, "n_seeds_a": pl.Int64, "n_seeds_b": pl.Int64, "group": pl.String,
        **dict.fromkeys(PLACE, pl.String), "metric": pl.String,
    }  # fmt: skip
    notes = (
        "variant_a is chosen among the rows of its group by the same values that judge it, which "
        "flatters it: few ties is no proof; untold: too few seeds for an interval",
    )
    return Table(kind="tie_candidates", frame=pl.DataFrame(records, schema=schema), notes=notes)


def _tie(judged: Paired) -> str:
    """What the interval of best minus row says of a row that is not clearly beaten."""
    if judged.high is None:
        return "untold"
    return BEHIND if judged.high < 0.0 else "tied"


def _rows(cells: pl.DataFrame, metric: str) -> Iterator[dict[str, Any]]:
    """Each row on each subset with its ``values`` [N], and by the seed that they belong to."""
    keys = [*PLACE, "position", "variant", "axis", "stage", "role", "baseline"]
    columns = ["seed", metric, "fingerprint"]
    grouped = cells.group_by(keys, maintain_order=True).agg(
        *columns, pl.col("n_windows", "n_attacks").max().cast(pl.Int64)
    )
    for row in grouped.iter_rows(named=True):
        triples = zip(row["seed"], row[metric], row["fingerprint"], strict=True)
        found = [(seed, value, key) for seed, value, key in triples if value is not None]
        # A trial that all seeds share is one value, whatever seeds it stands beside.
        values = {key: value for _, value, key in found}
        role = REFERENCE if row["role"] == REFERENCE else row["axis"] or OUTSIDE
        yield {
            **row,
            "group": role,
            "values": np.array(list(values.values()), dtype=np.float64),
            "by_seed": {seed: value for seed, value, _ in found},
            "by_key": {seed: key for seed, _, key in found},
        }


def _groups(cells: pl.DataFrame, metric: str) -> list[list[dict[str, Any]]]:
    """Rows that are compared pair by pair: of one axis and one last stage; its baseline too."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in _rows(once_per_seed(cells), metric):
        if row["role"] != REFERENCE:
            groups.setdefault((*_place(row).values(), row["stage"]), []).append(row)
    found = []
    for rows in groups.values():
        base = [row for row in rows if row["baseline"]]
        for axis in dict.fromkeys(row["group"] for row in rows):
            members = [row for row in rows if row["group"] == axis and not row["baseline"]]
            if members:
                found.append([*({**row, "group": axis} for row in base), *members])
    return found


def once_per_seed(cells: pl.DataFrame) -> pl.DataFrame:
    """The cells, each (row, seed) once."""
    return cells.unique([*PLACE, "variant", "seed"], keep="first", maintain_order=True)


def _matched(a: dict[str, Any], b: dict[str, Any]) -> tuple[FloatArray, FloatArray]:
    """Values of two rows at the seeds of both, each pair of trials once, on equal windows."""
    if (a["n_windows"], a["n_attacks"]) != (b["n_windows"], b["n_attacks"]):
        return np.empty(0), np.empty(0)
    pairs = {
        (a["by_key"][seed], b["by_key"][seed]): (a["by_seed"][seed], b["by_seed"][seed])
        for seed in a["by_seed"]
        if seed in b["by_seed"]
    }
    both = np.array(list(pairs.values()), dtype=np.float64).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _spread(values: FloatArray) -> dict[str, float | None]:
    """Mean, deviation and interval of the values of one row."""
    if values.size == 0:
        return dict.fromkeys(("mean", "std", "ci_low", "ci_high"))
    low, high = (float(end[0]) for end in bca_rows(values[None]))
    return {
        "mean": float(values.mean()),
        "std": float(values.std(ddof=1)) if values.size > 1 else None,
        "ci_low": None if np.isnan(low) else low,
        "ci_high": None if np.isnan(high) else high,
    }


def _pooled(a: FloatArray, b: FloatArray) -> float | None:
    """Cohen's d: difference of the means in pooled standard deviations."""
    if min(a.size, b.size) < 2 or (constant(a) and constant(b)):
        return None
    squares = (a.size - 1) * a.var(ddof=1) + (b.size - 1) * b.var(ddof=1)
    return float((a.mean() - b.mean()) / np.sqrt(squares / (a.size + b.size - 2)))


def _place(row: dict[str, Any]) -> dict[str, str]:
    return {name: row[name] for name in PLACE}
