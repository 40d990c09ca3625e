"""The decisions behind a table: as the trials made them, or under other threshold policies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from analysis.policies import POLICIES, LeadIn, Policy
from analysis.tables.study import (
    AS_RUN,
    SATURATED,
    VALIDATION,
    WIDE,
    Study,
    is_test,
    subsets,
)
from analysis.thresholds import apply_policy
from graphids.store.outputs import SHORT
from graphids.store.results import read_scores

NAMES = (
    "fixed", "max_f1", "youden", "benign_quantile", "lead_in_max", "lead_in_quantile", "centred",
)  # fmt: skip
"""Names of the policies as a request gives them, in the order of ``POLICIES``."""
ALL = "all"
FACTS: dict[str, Any] = {
    "lead_in_seconds": pl.Float64,
    "lead_in_windows": pl.Int64,
    "contamination": pl.Float64,
    "saturated": pl.Boolean,
}
"""What is known of a decision beside its metrics."""
WIDE_SCHEMA: dict[str, Any] = {
    "policy": pl.String,
    "fingerprint": pl.String,
    "subset": pl.String,
    **dict.fromkeys(WIDE, pl.Float64),
    **FACTS,
}
"""One row a (policy, trial, test subset)."""
ROW_COLUMNS = (
    "grid", "position", "variant", "axis", "level", "baseline", "stage", "role", "dataset", "seed",
    "fingerprint", "prepare",
)  # fmt: skip


def parse_policies(text: str | None) -> tuple[str, ...]:
    """Policies from ``max_f1,centred`` or ``all``; none from none.

    Raises:
        ValueError: An unknown name.
    """
    if text is None:
        return ()
    names = NAMES if text == ALL else tuple(text.split(","))
    for name in names:
        if name not in NAMES:
            raise ValueError(f"--policy takes {', '.join(NAMES)} or {ALL} (got {name!r})")
    return names


def policy(name: str) -> Policy:
    """The policy of a name."""
    return dict(zip(NAMES, POLICIES, strict=True))[name]


def cells(study: Study) -> pl.DataFrame:
    """One row a (data set, test subset, policy, row, seed) with its metrics, in table order.

    A row keeps its place where it has no result: its metrics are null there. The columns are
    ``ROW_COLUMNS`` and those of ``WIDE_SCHEMA``.
    """
    wide = under_policies(study) if study.asked.policies else as_run(study)
    policies = wide.select("policy").unique(maintain_order=True)
    places = subsets(study).join(policies.with_row_index("order"), how="cross")
    return (
        study.rows.select(ROW_COLUMNS)
        .join(places, on="dataset")
        .join(wide, on=["fingerprint", "subset", "policy"], how="left")
        .sort("dataset", "subset", "order", "position", "seed", maintain_order=True)
        .drop("order")
    )


def as_run(study: Study) -> pl.DataFrame:
    """Metrics of each committed trial by its own decisions, as ``WIDE_SCHEMA``."""
    wanted = study.metrics.filter(is_test(), pl.col("metric").is_in(WIDE))
    wide = wanted.pivot(on="metric", index=["fingerprint", "split"], values="value")
    ranked = study.metrics.filter(split=VALIDATION, attack="all", metric="auroc")
    saturated = ranked.select("fingerprint", saturated=pl.col("value") > SATURATED)
    joined = wide.join(saturated, on="fingerprint", how="left", maintain_order="left")
    return _as_wide(joined.with_columns(subset="split", policy=pl.lit(AS_RUN)))


def under_policies(study: Study) -> pl.DataFrame:
    """Metrics of each committed trial under the policies that are asked for, as ``WIDE_SCHEMA``.

    A trial without scores has none. One whose threshold is a part of its definition, as a look-up's
    is, keeps its own decisions under every policy.

    Raises:
        ValueError: A policy cannot decide on a trial's scores; names the trial.
        DamagedOutputError: Committed scores are not what their manifest says.
    """
    own = as_run(study)
    defined = by_definition(study)
    fixed = own.filter(pl.col("fingerprint").is_in(list(defined)))
    lead_in = LeadIn(seconds=study.asked.lead_in_seconds)
    chosen = [policy(name) for name in study.asked.policies]
    frames: dict[str, list[pl.DataFrame]] = {one.name: [] for one in chosen}
    for key, manifest in study.manifests.items():
        if key in defined:
            continue
        scores = read_scores(study.outputs, study.folders[key[:SHORT]], manifest)
        if scores.is_empty():
            continue
        for one in chosen:
            try:
                found = apply_policy(scores, one, lead_in)
            except ValueError as error:
                raise ValueError(f"{manifest['label']}, policy {one.name}: {error}") from error
            whole = found.filter(pl.col("capture").is_null())
            frames[one.name].append(whole.with_columns(fingerprint=pl.lit(key)))
    parts = []
    for name, decisions in frames.items():
        parts.append(_as_wide(fixed.with_columns(policy=pl.lit(name))))
        if decisions:
            decided = pl.concat(decisions).rename({"split": "subset"})
            seconds = pl.lit(lead_in.seconds).alias("lead_in_seconds")
            parts.append(_as_wide(decided.with_columns(seconds, *_derived())))
    return pl.concat(parts)


def by_definition(study: Study) -> set[str]:
    """Fingerprints of the trials whose threshold is a part of their definition."""
    return {key for key, told in study.manifests.items() if threshold_facts(told)[0] == "fixed"}


def threshold_facts(manifest: Mapping[str, Any]) -> tuple[str | None, float | None, str]:
    """Rule, value and note of the threshold that a trial decided by; none where it has none."""
    meta = manifest["meta"]
    return meta.get("threshold_rule"), meta.get("threshold"), meta.get("threshold_note") or ""


def _derived() -> tuple[pl.Expr, ...]:
    """Metrics that follow from the others, for decisions of a policy."""
    attacks, benign = pl.col("n_attacks"), pl.col("n_windows") - pl.col("n_attacks")
    alarms, missed = pl.col("fpr") * benign, (1.0 - pl.col("recall")) * attacks
    wrong = alarms.fill_null(0.0) + missed.fill_null(0.0)
    f1_benign = 2 * (benign - alarms) / (2 * (benign - alarms) + alarms + missed)
    return (
        (1.0 - wrong / pl.col("n_windows")).alias("accuracy"),
        (1.0 - pl.col("fpr")).alias("specificity"),
        ((pl.col("f1") + f1_benign) / 2).alias("f1_macro"),
        ((pl.col("recall") + 1.0 - pl.col("fpr")) / 2).alias("balanced_accuracy"),
    )


def _as_wide(frame: pl.DataFrame) -> pl.DataFrame:
    """The columns of ``WIDE_SCHEMA`` in their order, null where the frame lacks one."""
    return frame.select(
        (pl.col(name) if name in frame.columns else pl.lit(None)).cast(kind).alias(name)
        for name, kind in WIDE_SCHEMA.items()
    )
