"""From the stored scores of a trial to its rows of the metrics table.

The stages and the tables both come here: metrics that are computed again from stored scores are
those that the trial would have tabulated itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from graphids.core.metrics import binary_metrics, per_attack_auroc
from graphids.store.results import METRICS_SCHEMA, metric_rows


def tabulate(
    fingerprint: str,
    scores: pl.DataFrame,
    threshold: float | None,
    attack_names: Mapping[int, str],
    splits: Iterable[str],
) -> pl.DataFrame:
    """Metrics of every split, and the AUROC of each attack alone, as ``METRICS_SCHEMA``.

    Args:
        fingerprint: The trial.
        scores: Its scores, in the columns of ``SCORES_SCHEMA``.
        threshold: Decision is ``score >= threshold``; none leaves the decisions out.
        attack_names: Name of each attack code.
        splits: Splits in the order of the rows; one may be without a window.

    Raises:
        ValueError: A score is not finite.
    """
    rows: list[dict[str, Any]] = []
    for name in splits:
        part = scores.filter(split=name)
        values, labels = part["score"].to_numpy(), part["label"].to_numpy()
        rows += metric_rows(fingerprint, name, binary_metrics(values, labels, threshold))
        attacks = per_attack_auroc(values, labels, part["attack_type"].to_numpy(), attack_names)
        for attack, value in attacks.items():
            rows += metric_rows(fingerprint, name, {"auroc": value}, attack)
    return pl.DataFrame(rows, schema=METRICS_SCHEMA)
