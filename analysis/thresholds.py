"""What a table would say under other thresholds, from stored scores: nothing is trained again.

A threshold of validation does not follow the scores into another vehicle; one that reads the first
seconds of the capture under test does. Labels of test windows serve the metrics alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike

from analysis.policies import POLICIES, Known, LeadIn, Policy
from graphids.core.metrics import (
    Metrics,
    auroc,
    average_precision,
    checked,
    decision_metrics,
)

VALIDATION = "validation"
"""Split that thresholds are chosen on."""
SATURATED = 0.9999
"""Validation AUROC beyond which a threshold lies anywhere in a gap that validation leaves open."""
DECISION_METRICS = ("f1", "mcc", "precision", "recall", "fpr")
METRICS = (*DECISION_METRICS, "auroc", "ap", "n_windows", "n_attacks")
"""Metrics of a set of windows, in the order of the frame."""
POLICY_SCHEMA: dict[str, Any] = {
    "policy": pl.String,
    "split": pl.String,
    "capture": pl.String,
    "threshold": pl.Float64,
    "rule": pl.String,
    "note": pl.String,
    "saturated": pl.Boolean,
    "lead_in_windows": pl.Int64,
    "contamination": pl.Float64,
    **dict.fromkeys(METRICS, pl.Float64),
}
"""One row a (policy, test subset, capture), and one with a null capture for the whole subset.

``threshold`` is on the policy's own scale, null where the captures of a subset have several;
``contamination`` is the share of attack windows in the lead-in.
"""


def metrics_at(labels: ArrayLike, scores: ArrayLike, decisions: ArrayLike) -> Metrics:
    """Metrics of a set of windows under decisions that were made elsewhere.

    Args:
        labels: 1 for a window with an attack ``[N]``.
        scores: Higher is more anomalous ``[N]``; read by AUROC and average precision.
        decisions: Whether a window is flagged ``[N]``.

    Returns:
        The values of ``METRICS`` by name; none where the labels leave one undefined.

    Raises:
        ValueError: Lengths differ, or a score is not finite.
    """
    values, attacks = checked(scores, labels)
    flagged, _ = checked(decisions, labels)
    of_decisions = decision_metrics(flagged, attacks, 0.5)
    return {
        **{name: of_decisions[name] for name in DECISION_METRICS},
        "auroc": auroc(values, attacks),
        "ap": average_precision(values, attacks),
        "n_windows": float(attacks.size),
        "n_attacks": float(attacks.sum()),
    }


def decide(scores: pl.DataFrame, policy: Policy, lead_in: LeadIn | None = None) -> pl.DataFrame:
    """The test windows of a trial with the policy's decision on each.

    Args:
        scores: Scores of one trial, in the columns of ``SCORES_SCHEMA``.
        policy: How to decide.
        lead_in: First windows of a capture; none is the first five seconds.

    Returns:
        The rows of every split but validation, with ``scaled`` (the score on the policy's scale),
        ``threshold``, ``rule``, ``note``, ``decision`` and ``lead_in`` (both bool).

    Raises:
        ValueError: No validation window, a score that is not finite, or no time for a lead-in in
            seconds.
    """
    validation = scores.filter(split=VALIDATION)
    if validation.is_empty():
        raise ValueError(
            f"the scores hold no window of split {VALIDATION!r}; thresholds are chosen there"
        )
    known_scores, attacks = checked(validation["score"].to_numpy(), validation["label"].to_numpy())
    all_scores = scores["score"].to_numpy()
    parts = []
    for capture in scores.filter(pl.col("split") != VALIDATION).partition_by(
        "split", "capture", maintain_order=True
    ):
        mask = (lead_in or LeadIn()).mask(capture)
        values, _ = checked(capture["score"].to_numpy(), capture["label"].to_numpy())
        cut = policy.cut(
            Known(
                validation=known_scores,
                attacks=attacks,
                origin=validation["capture"].to_numpy().astype(np.str_),
                scores=values,
                lead_in=mask,
                probabilities=bool(all_scores.min() >= 0.0 and all_scores.max() <= 1.0),
            )
        )
        parts.append(
            capture.with_columns(
                pl.Series("scaled", cut.scores),
                pl.lit(cut.threshold.value).alias("threshold"),
                pl.lit(cut.threshold.rule).alias("rule"),
                pl.lit(cut.threshold.note).alias("note"),
                pl.Series("decision", cut.scores >= cut.threshold.value),
                pl.Series("lead_in", mask),
            )
        )
    if not parts:
        raise ValueError("the scores hold no test window; a policy has nothing to decide on")
    return pl.concat(parts)


def apply_policy(
    scores: pl.DataFrame, policy: Policy, lead_in: LeadIn | None = None
) -> pl.DataFrame:
    """Metrics of a trial under a policy, by test subset and capture, as ``POLICY_SCHEMA``.

    Args:
        scores: Scores of one trial, in the columns of ``SCORES_SCHEMA``.
        policy: How to decide.
        lead_in: First windows of a capture; none is the first five seconds. They count in the
            metrics, under every policy alike.

    Raises:
        ValueError: What ``decide`` raises.
    """
    decided = decide(scores, policy, lead_in)
    saturated = is_saturated(scores)
    rows = []
    for (split,), subset in decided.group_by("split", maintain_order=True):
        captures = subset.partition_by("capture", maintain_order=True)
        for part, capture in [*((p, p["capture"][0]) for p in captures), (subset, None)]:
            calm = part.filter("lead_in")
            rows.append(
                {
                    "policy": policy.name,
                    "split": split,
                    "capture": capture,
                    **{name: _shared(part[name]) for name in ("threshold", "rule", "note")},
                    "saturated": saturated,
                    "lead_in_windows": calm.height,
                    "contamination": (calm["label"] > 0).mean(),
                    **metrics_at(
                        part["label"].to_numpy(),
                        part["scaled"].to_numpy(),
                        part["decision"].to_numpy(),
                    ),
                }
            )
    return pl.DataFrame(rows, schema=POLICY_SCHEMA)


def policy_table(
    scores: pl.DataFrame, policies: Iterable[Policy] = POLICIES, lead_in: LeadIn | None = None
) -> pl.DataFrame:
    """``apply_policy`` for several policies, one below the other.

    Raises:
        ValueError: What ``decide`` raises.
    """
    return pl.concat([apply_policy(scores, policy, lead_in) for policy in policies])


def is_saturated(scores: pl.DataFrame) -> bool:
    """Whether validation ranks so well that it no longer tells one threshold from another."""
    validation = scores.filter(split=VALIDATION)
    area = auroc(validation["score"].to_numpy(), validation["label"].to_numpy())
    return area is not None and area > SATURATED


def _shared(column: pl.Series) -> Any:
    """The one value of a column, none where it has several."""
    return column[0] if column.n_unique() == 1 else None
