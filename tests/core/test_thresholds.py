"""Thresholds against an exhaustive search, and the fall-backs where a class is absent."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from sklearn.metrics import f1_score

from graphids.core import thresholds
from graphids.core.thresholds import max_f1_threshold, quantile_threshold, youden_threshold


def windows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(60) < 0.4).astype(int)
    labels[:2] = 0, 1
    return np.round(rng.normal(labels, 1.0), 1), labels


@pytest.mark.parametrize("seed", range(15))
def test_no_threshold_has_a_higher_f1(seed: int) -> None:
    scores, labels = windows(seed)
    chosen = max_f1_threshold(scores, labels)
    best = max(f1_score(labels, scores >= cut) for cut in np.unique(scores))
    assert f1_score(labels, scores >= chosen.value) == pytest.approx(best, abs=1e-12)
    assert (chosen.rule, chosen.note) == ("max_f1", "")


@pytest.mark.parametrize("seed", range(15))
def test_no_threshold_has_a_higher_youden_index(seed: int) -> None:
    scores, labels = windows(seed)

    def index(cut: float) -> float:
        return (scores >= cut)[labels == 1].mean() - (scores >= cut)[labels == 0].mean()

    chosen = youden_threshold(scores, labels).value
    assert index(chosen) == pytest.approx(max(index(cut) for cut in np.unique(scores)))


def test_midway_to_the_next_lower_score() -> None:
    assert max_f1_threshold([0.0, 1.0, 2.0, 4.0], [0, 0, 1, 1]).value == 1.5
    assert max_f1_threshold([1.0, 1.0], [0, 1]).value == 1.0


def test_nothing_between_neighbouring_floats() -> None:
    low = 1.0
    high = float(np.nextafter(low, 2.0))
    chosen = max_f1_threshold([low, high], [0, 1]).value
    assert chosen == high


def test_d25_a_threshold_reads_validation_alone() -> None:
    for function in (max_f1_threshold, youden_threshold, quantile_threshold):
        assert list(inspect.signature(function).parameters)[:2] == ["scores", "labels"]
    assert "test" not in vars(thresholds)


def test_an_absent_class_falls_back_and_says_so() -> None:
    scores = np.arange(101.0)
    benign = max_f1_threshold(scores, np.zeros(101))
    assert (benign.value, benign.rule) == (99.0, "benign_quantile")
    assert "no attack" in benign.note
    attacks = youden_threshold(scores, np.ones(101))
    assert (attacks.value, attacks.rule) == (0.0, "lowest_score")
    assert "no benign" in attacks.note
    with pytest.raises(ValueError, match="there is none"):
        max_f1_threshold([], [])
    with pytest.raises(ValueError, match="benign windows"):
        quantile_threshold([1.0], [1])
