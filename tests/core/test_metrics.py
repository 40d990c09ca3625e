"""Metrics against scikit-learn and torchmetrics on data with ties, and what is undefined."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle
from torchmetrics.functional.classification import (
    binary_calibration_error,
    binary_precision_at_fixed_recall,
    binary_recall_at_fixed_precision,
)

from graphids.core.metrics import (
    auroc,
    average_precision,
    binary_metrics,
    macro_average,
    per_attack_auroc,
)


def windows(seed: int, size: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Scores with many ties, and labels of both classes."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(size) < rng.uniform(0.1, 0.9)).astype(int)
    labels[:2] = 0, 1
    return np.round(rng.normal(labels, 1.0), int(rng.integers(0, 3))), labels


@pytest.mark.parametrize("seed", range(20))
def test_agrees_with_scikit_learn(seed: int) -> None:
    scores, labels = windows(seed)
    threshold = float(np.quantile(scores, 0.6))
    flagged = scores >= threshold
    found = binary_metrics(scores, labels, threshold)
    expected = {
        "auroc": oracle.roc_auc_score(labels, scores),
        "ap": oracle.average_precision_score(labels, scores),
        "f1": oracle.f1_score(labels, flagged),
        "f1_macro": oracle.f1_score(labels, flagged, average="macro", zero_division=0),
        "f1_weighted": oracle.f1_score(labels, flagged, average="weighted", zero_division=0),
        "precision": oracle.precision_score(labels, flagged),
        "recall": oracle.recall_score(labels, flagged),
        "specificity": oracle.recall_score(labels, flagged, pos_label=0),
        "accuracy": oracle.accuracy_score(labels, flagged),
        "balanced_accuracy": oracle.balanced_accuracy_score(labels, flagged),
        "mcc": oracle.matthews_corrcoef(labels, flagged),
        "n_windows": labels.size,
        "n_attacks": labels.sum(),
        "threshold": threshold,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert found["fpr"] == pytest.approx(1 - expected["specificity"])


@pytest.mark.parametrize("seed", range(10))
def test_calibration_and_operating_points_agree_with_torchmetrics(seed: int) -> None:
    scores, labels = windows(seed)
    probabilities = 1 / (1 + np.exp(-2 * scores))
    found = binary_metrics(probabilities, labels, 0.5)
    p, y = torch.from_numpy(probabilities), torch.from_numpy(labels)
    assert found["ece"] == pytest.approx(float(binary_calibration_error(p, y, n_bins=15)), abs=1e-6)
    precision, _ = binary_precision_at_fixed_recall(p, y, 0.95)
    assert found["precision_at_0.95recall"] == pytest.approx(float(precision), abs=1e-6)
    recall, _ = binary_recall_at_fixed_precision(p, y, 0.99)
    assert (found["recall_at_0.99precision"] or 0.0) == pytest.approx(float(recall), abs=1e-6)
    for kept, point in (("recall", "0.95recall"), ("precision", "0.99precision")):
        threshold = found[f"threshold_at_{point}"]
        if threshold is not None:
            assert binary_metrics(probabilities, labels, threshold)[kept] >= float(point[:4])


def test_d21_a_single_class_is_undefined_not_zero() -> None:
    benign = binary_metrics([0.1, 0.2, 0.9], [0, 0, 0], 0.5)
    for name in (
        "auroc",
        "ap",
        "mcc",
        "f1",
        "precision",
        "recall",
        "f1_macro",
        "f1_weighted",
        "balanced_accuracy",
    ):
        assert benign[name] is None
    assert all(value is None for name, value in benign.items() if "_at_" in name)
    assert benign["fpr"] == pytest.approx(1 / 3)
    assert benign["n_attacks"] == 0
    attacks = binary_metrics([0.1, 0.9], [1, 1], 0.5)
    assert attacks["fpr"] is attacks["auroc"] is attacks["mcc"] is attacks["specificity"] is None
    assert attacks["recall"] == 0.5


def test_nothing_flagged_among_attacks_is_a_defined_zero() -> None:
    silent = binary_metrics([0.1, 0.2], [0, 1], 0.5)
    assert (silent["f1"], silent["recall"], silent["mcc"]) == (0.0, 0.0, 0.0)
    assert silent["precision"] is None


def test_no_window_and_no_threshold_leave_decisions_out() -> None:
    empty = binary_metrics([], [], 0.5)
    assert empty["n_windows"] == 0
    assert {empty[name] for name in ("accuracy", "f1", "auroc", "ece")} == {None}
    ranked = binary_metrics([1.0, 2.0], [0, 1], None)
    assert ranked["f1"] is None
    assert ranked["auroc"] == 1.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-50, 50), st.booleans()), min_size=2, max_size=40))
def test_d26_rankings_ignore_any_increasing_transform(rows: list[tuple[int, bool]]) -> None:
    scores, labels = np.array([r[0] for r in rows], dtype=float), np.array([r[1] for r in rows])
    squeezed = scores / 200 + 0.5
    assert auroc(scores, labels) == auroc(squeezed, labels)
    assert average_precision(scores, labels) == average_precision(squeezed, labels)


def test_d26_unbounded_scores_keep_their_threshold_and_have_no_calibration_error() -> None:
    found = binary_metrics([-3.0, 0.4, 7.0], [0, 0, 1], 5.0)
    assert found["ece"] is None
    assert (found["f1"], found["fpr"]) == (1.0, 0.0)


def test_d19_a_code_on_a_benign_window_is_not_an_attack() -> None:
    scores = [0.1, 0.9, 0.8, 0.3]
    labels, codes = [0, 0, 1, 1], [0, 3, 3, 5]
    found = per_attack_auroc(scores, labels, codes, {3: "gear_spoofing"})
    assert found == {"gear_spoofing": 0.5, "code_5": 0.5}
    assert macro_average(found) == 0.5
    assert per_attack_auroc([0.5], [1], [3], {3: "gear_spoofing"}) == {"gear_spoofing": None}
    assert macro_average({"gear_spoofing": None}) is None


def test_an_attack_without_a_code_is_unnamed_not_benign() -> None:
    names = {0: "benign", 3: "gear_spoofing"}
    found = per_attack_auroc([0.1, 0.9, 0.8], [0, 1, 1], [0, 0, 3], names)
    assert found == {"unnamed": 1.0, "gear_spoofing": 1.0}


def test_faults_are_named() -> None:
    with pytest.raises(ValueError, match="2 scores for 1 labels"):
        auroc([0.1, 0.2], [1])
    with pytest.raises(ValueError, match="score 1 is nan"):
        binary_metrics([0.1, np.nan], [0, 1], 0.5)
