"""How often intervals of few pairs hold the truth: what their docstrings state, by simulation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from analysis.statistics import Paired, paired

STUDIES = 2_000
"""Simulated studies; a share of 0.85 of them is known to 0.024 (three standard errors)."""
SLACK = 0.03

Draw = Callable[[np.random.Generator, int], np.ndarray]


def normal(rng: np.random.Generator, n: int) -> np.ndarray:
    """Differences around 0."""
    return rng.normal(size=n)


def skewed(rng: np.random.Generator, n: int) -> np.ndarray:
    """Exponential differences with mean 0."""
    return rng.exponential(size=n) - 1.0


def studies(draw: Draw, n: int, mean: float = 0.0) -> list[Paired]:
    """What simulated studies with ``n`` pairs find."""
    rng = np.random.default_rng(n)
    return [paired(mean + draw(rng, n), seed=i, resamples=1_999) for i in range(STUDIES)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("draw", "n", "stated"),
    [(normal, 3, 0.73), (normal, 5, 0.85), (normal, 10, 0.90),
     (skewed, 3, 0.66), (skewed, 5, 0.80), (skewed, 10, 0.88)],
)  # fmt: skip
def test_intervals_hold_the_mean_as_often_as_stated(draw: Draw, n: int, stated: float) -> None:
    held = np.mean([found.low <= 0.0 <= found.high for found in studies(draw, n)])
    assert held == pytest.approx(stated, abs=SLACK)


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 10])
@pytest.mark.parametrize("effect", [0.0, 1.5])
def test_intervals_of_the_effect_size_hold_it_in_95_percent(n: int, effect: float) -> None:
    found = studies(normal, n, effect)
    held = np.mean([study.d_z_low <= effect <= study.d_z_high for study in found])
    assert held == pytest.approx(0.95, abs=0.015)


@pytest.mark.slow
@pytest.mark.parametrize("n", [5, 6, 10])
def test_equal_rows_are_called_different_no_more_often_than_alpha(n: int) -> None:
    found = np.mean([study.p <= 0.05 for study in studies(normal, n)])
    assert found <= 0.05 + 0.015
    assert (found == 0.0) == (n < 6)
