"""What a table says of scores: decisions at a threshold, rankings, calibration, each attack alone.

A quantity that the labels leave undefined is none, never 0: a test set without attacks has no
AUROC. Scores are taken as they are; nothing is squashed into [0, 1].
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

Metrics = dict[str, float | None]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

METRICS_VERSION = 1
"""Version of what stands here, kept beside every result.

It is raised when a value under a name that exists may come out otherwise for the same scores and
labels, or when a name comes or goes: tables then compute the metrics of earlier results again from
their stored scores. It is no part of a trial's identity: nothing is trained for it.
"""
ECE_BINS = 15
RECALL_POINT = 0.95
PRECISION_POINT = 0.99
NO_CODE = 0
"""Attack code of a window whose attack, if it has one, is not known."""
UNNAMED = "unnamed"
"""Name of such an attack; the code's own name is that of benign windows."""


def checked(scores: ArrayLike, labels: ArrayLike) -> tuple[FloatArray, BoolArray]:
    """Scores as float64 ``[N]`` and attacks as booleans ``[N]``.

    Raises:
        ValueError: Lengths differ, or a score is not finite.
    """
    values = np.asarray(scores, dtype=np.float64).reshape(-1)
    attacks = np.asarray(labels).reshape(-1) > 0
    if values.shape != attacks.shape:
        raise ValueError(
            f"{values.size} scores for {attacks.size} labels; give one score per window"
        )
    if not np.isfinite(values).all():
        bad = int(np.flatnonzero(~np.isfinite(values))[0])
        raise ValueError(f"score {bad} is {values[bad]}; scores must be finite")
    return values, attacks


def cuts(scores: FloatArray, attacks: BoolArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Every distinct decision ``score >= cut``, from the strictest to the one that flags all.

    Returns:
        Cuts ``[C]``, descending; true positives ``[C]``; false positives ``[C]``.
    """
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    is_last = np.diff(ordered, append=np.nan) != 0
    last = np.flatnonzero(is_last)
    hits = np.cumsum(attacks[order], dtype=np.float64)[last]
    return ordered[last], hits, last + 1.0 - hits


def auroc(scores: ArrayLike, labels: ArrayLike) -> float | None:
    """Probability that an attack outranks a benign window, ties half; none without both classes."""
    values, attacks = checked(scores, labels)
    num_attacks = int(attacks.sum())
    num_benign = attacks.size - num_attacks
    if num_attacks == 0 or num_benign == 0:
        return None
    _, hits, alarms = cuts(values, attacks)
    area = np.trapezoid(np.append(0.0, hits), np.append(0.0, alarms))
    return float(area / (num_attacks * num_benign))


def separation(scores: ArrayLike, labels: ArrayLike) -> float | None:
    """How far apart the classes lie, in standard deviations: d' of signal detection theory.

    ``(mean of attacks - mean of benign) / sqrt((variance of attacks + variance of benign) / 2)``,
    of the log-odds where all scores are probabilities. Unlike a ranking it goes on growing when no
    window is misplaced any more. None without both classes, or where neither class varies.
    """
    values, attacks = checked(scores, labels)
    if attacks.all() or not attacks.any():
        return None
    if values.min() >= 0.0 and values.max() <= 1.0:
        # Beyond this a probability is 1 to the last digit, and its odds would be infinite.
        eps = np.finfo(np.float64).eps
        values = np.log(values.clip(min=eps)) - np.log((1.0 - values).clip(min=eps))
    spread = np.sqrt((values[attacks].var() + values[~attacks].var()) / 2.0)
    if spread == 0.0:
        return None
    return float((values[attacks].mean() - values[~attacks].mean()) / spread)


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float | None:
    """Precision averaged over the steps of recall, not interpolated; none without both classes."""
    values, attacks = checked(scores, labels)
    num_attacks = int(attacks.sum())
    if num_attacks in (0, attacks.size):
        return None
    _, hits, alarms = cuts(values, attacks)
    return float(np.sum(np.diff(hits, prepend=0.0) / num_attacks * hits / (hits + alarms)))


def expected_calibration_error(scores: ArrayLike, labels: ArrayLike) -> float | None:
    """Mean gap between P(attack) and the share of attacks over 15 bins of equal width.

    None where a score lies outside ``[0, 1]`` (it is no probability) or there is no window.
    """
    values, attacks = checked(scores, labels)
    if values.size == 0 or values.min() < 0.0 or values.max() > 1.0:
        return None
    bins = np.minimum((values * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    gaps = np.bincount(bins, weights=values - attacks, minlength=ECE_BINS)
    return float(np.abs(gaps).sum() / values.size)


def operating_points(scores: ArrayLike, labels: ArrayLike) -> Metrics:
    """Best precision at 95 % recall and best recall at 99 % precision, with their thresholds.

    None without both classes, and where no threshold reaches the point.
    """
    values, attacks = checked(scores, labels)
    names = [
        f"{best}_at_{point}"
        for point, pair in (
            (f"{RECALL_POINT}recall", ("precision", "threshold")),
            (f"{PRECISION_POINT}precision", ("recall", "threshold")),
        )
        for best in pair
    ]
    points: Metrics = dict.fromkeys(names)
    num_attacks = int(attacks.sum())
    if num_attacks in (0, attacks.size):
        return points
    cut, hits, alarms = cuts(values, attacks)
    recall, precision = hits / num_attacks, hits / (hits + alarms)
    reached = recall >= RECALL_POINT
    at = int(np.argmax(np.where(reached, precision, -1.0)))
    points[names[0]], points[names[1]] = float(precision[at]), float(cut[at])
    reached = precision >= PRECISION_POINT
    if reached.any():
        at = int(np.argmax(np.where(reached, recall, -1.0)))
        points[names[2]], points[names[3]] = float(recall[at]), float(cut[at])
    return points


def binary_metrics(scores: ArrayLike, labels: ArrayLike, threshold: float | None) -> Metrics:
    """Everything a table may print about one set of windows.

    Args:
        scores: Higher is more anomalous ``[N]``.
        labels: 1 for a window with an attack ``[N]``.
        threshold: Decision is ``score >= threshold``; none leaves the decisions out.

    Returns:
        Values by name; none where the labels leave a quantity undefined.

    Raises:
        ValueError: Lengths differ, or a score is not finite.
    """
    values, attacks = checked(scores, labels)
    return {
        **decision_metrics(values, attacks, threshold),
        "auroc": auroc(values, attacks),
        "ap": average_precision(values, attacks),
        "ece": expected_calibration_error(values, attacks),
        **operating_points(values, attacks),
        "threshold": threshold,
        "n_windows": float(attacks.size),
        "n_attacks": float(attacks.sum()),
    }


def decision_metrics(scores: FloatArray, attacks: BoolArray, threshold: float | None) -> Metrics:
    """Metrics of the decision ``score >= threshold``.

    F1, precision and recall are those of the attack class. With both classes present and one
    decision for all windows the correlation is 0, its limit; without an attack or without a flagged
    window precision is undefined.
    """
    names = (
        "f1", "mcc", "precision", "recall", "fpr", "accuracy", "specificity",
        "f1_macro", "f1_weighted", "balanced_accuracy",
    )  # fmt: skip
    result: Metrics = dict.fromkeys(names)
    if threshold is None or attacks.size == 0:
        return result
    flagged = scores >= threshold
    tp, fp = float((flagged & attacks).sum()), float((flagged & ~attacks).sum())
    fn, tn = float((~flagged & attacks).sum()), float((~flagged & ~attacks).sum())
    positive, negative = tp + fn, fp + tn
    result["accuracy"] = (tp + tn) / attacks.size
    f1, f1_benign = 0.0, 0.0
    if positive > 0:
        result["precision"] = tp / (tp + fp) if tp + fp > 0 else None
        result["recall"] = tp / positive
        f1 = result["f1"] = 2 * tp / (2 * tp + fp + fn)
    if negative > 0:
        result["fpr"], result["specificity"] = fp / negative, tn / negative
        f1_benign = 2 * tn / (2 * tn + fp + fn)
    if positive > 0 and negative > 0:
        root = np.sqrt((tp + fp) * positive * negative * (tn + fn))
        result["mcc"] = float((tp * tn - fp * fn) / root) if root > 0 else 0.0
        result["f1_macro"] = (f1 + f1_benign) / 2
        result["f1_weighted"] = (f1 * positive + f1_benign * negative) / attacks.size
        result["balanced_accuracy"] = (tp / positive + tn / negative) / 2
    return result


def per_attack_auroc(
    scores: ArrayLike, labels: ArrayLike, attack_type: ArrayLike, names: Mapping[int, str]
) -> Metrics:
    """AUROC of each attack that occurs against all benign windows, by its name.

    A window counts as an attack by its label alone: a code on a benign window of an attack's
    capture is not one. Attack windows without a code appear as ``unnamed``. None where there is no
    benign window.

    Args:
        scores: Higher is more anomalous ``[N]``.
        labels: 1 for a window with an attack ``[N]``.
        attack_type: Attack code of each window ``[N]``.
        names: Name of each code; a code without a name appears as ``code_N``.
    """
    values, attacks = checked(scores, labels)
    codes = np.asarray(attack_type).reshape(-1)
    result: Metrics = {}
    for code in np.unique(codes[attacks]).tolist():
        chosen = ~attacks | (codes == code)
        name = names.get(code, f"code_{code}") if code != NO_CODE else UNNAMED
        result[name] = auroc(values[chosen], attacks[chosen])
    return result


def macro_average(per_attack: Mapping[str, float | None]) -> float | None:
    """Mean over the attacks that have a value; none where none has."""
    defined = [value for value in per_attack.values() if value is not None]
    return float(np.mean(defined)) if defined else None
