"""Decision thresholds, chosen on validation scores only.

A decision is ``score >= threshold``. A threshold between two scores lies midway to the next lower
one, so that a test score slightly below the lowest flagged one is still flagged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from graphids.core.metrics import FloatArray, checked, cuts

BENIGN_QUANTILE = 0.99


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """A cut on scores and how it came about."""

    value: float
    """Decision is ``score >= value``."""
    rule: str
    """``max_f1``, ``youden``, ``benign_quantile``, ``lowest_score`` or ``fixed``."""
    note: str = ""
    """Why the rule differs from the one that was asked for; empty where it does not."""


def fixed_threshold(value: float) -> Threshold:
    """A threshold that a detector has by its definition: nothing is chosen."""
    return Threshold(value=value, rule="fixed")


def max_f1_threshold(scores: ArrayLike, labels: ArrayLike) -> Threshold:
    """Threshold with the highest F1 of the attack class; of equal ones the strictest.

    Without attacks: the 99 % quantile of the benign scores. Without benign windows: the lowest
    score.

    Raises:
        ValueError: No window, lengths that differ, or a score that is not finite.
    """

    def f1(hits: FloatArray, alarms: FloatArray, attacks: int, benign: int) -> FloatArray:
        return 2.0 * hits / (hits + alarms + attacks)

    return _best(scores, labels, f1, "max_f1")


def youden_threshold(scores: ArrayLike, labels: ArrayLike) -> Threshold:
    """Threshold with the highest true minus false positive rate; fall-backs as for max F1.

    Raises:
        ValueError: No window, lengths that differ, or a score that is not finite.
    """

    def youden(hits: FloatArray, alarms: FloatArray, attacks: int, benign: int) -> FloatArray:
        return hits / attacks - alarms / benign

    return _best(scores, labels, youden, "youden")


def quantile_threshold(
    scores: ArrayLike, labels: ArrayLike, quantile: float = BENIGN_QUANTILE
) -> Threshold:
    """Quantile of the scores of benign windows; attacks are not looked at.

    Raises:
        ValueError: A quantile outside ``[0, 1]``, no benign window, or a score that is not finite.
    """
    values, attacks = checked(scores, labels)
    if not 0.0 <= quantile <= 1.0:
        raise ValueError(f"quantile must lie in [0, 1] (got {quantile})")
    if attacks.all():
        raise ValueError("a benign quantile needs benign windows; validation holds none")
    return Threshold(value=float(np.quantile(values[~attacks], quantile)), rule="benign_quantile")


def _best(
    scores: ArrayLike,
    labels: ArrayLike,
    quality: Callable[[FloatArray, FloatArray, int, int], FloatArray],
    rule: str,
) -> Threshold:
    """The cut with the highest quality, or the fall-back where a class is absent."""
    values, attacks = checked(scores, labels)
    if values.size == 0:
        raise ValueError("a threshold needs validation windows; there is none")
    num_attacks = int(attacks.sum())
    if num_attacks == 0:
        fallback = quantile_threshold(values, attacks)
        note = (
            f"no attack in validation: {BENIGN_QUANTILE:.0%} quantile of benign scores, not {rule}"
        )
        return Threshold(value=fallback.value, rule=fallback.rule, note=note)
    if num_attacks == values.size:
        note = f"no benign window in validation: lowest score, not {rule}"
        return Threshold(value=float(values.min()), rule="lowest_score", note=note)
    cut, hits, alarms = cuts(values, attacks)
    at = int(np.argmax(quality(hits, alarms, num_attacks, values.size - num_attacks)))
    value = float(cut[at])
    if at + 1 < cut.size:
        lower = float(cut[at + 1])
        midway = lower + (value - lower) / 2
        # Neighbouring floats have nothing between them: the cut itself decides then.
        value = midway if midway > lower else value
    return Threshold(value=value, rule=rule)
