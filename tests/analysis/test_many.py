"""Many comparisons at once say what one at a time does."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import many, power, statistics
from analysis.many import PAIRED_SCHEMA, bca_rows, paired_rows, seeds_needed, seeds_reachable

EXACT = ("n", "mean", "p", "p_floor", "d_z", "d_z_low", "d_z_high", "ties")


def test_the_settings_are_those_of_the_statistics() -> None:
    names = ("ALPHA", "LEVEL", "RESAMPLES", "EXACT_PAIRS", "INTERVAL_PAIRS", "_SAME")
    assert [vars(many)[n] for n in names] == [vars(statistics)[n] for n in names]
    assert (many.POWER, many.MOST_SEEDS) == (power.POWER, power.MOST_SEEDS)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([-0.3, -0.1, 0.0, 0.05, 0.1, 0.7]), max_size=9))
def test_a_row_is_compared_as_by_itself(deltas: list[float]) -> None:
    (found,) = paired_rows([deltas]).to_dicts()
    expected = statistics.paired(deltas)
    slow = {"n": expected.n, "mean": expected.mean, "p": expected.p, "p_floor": expected.p_floor,
            "d_z": expected.d_z, "d_z_low": expected.d_z_low, "d_z_high": expected.d_z_high,
            "ties": expected.ties}  # fmt: skip
    for name in EXACT:
        if slow[name] is None:
            assert found[name] is None, name
        else:
            assert found[name] == pytest.approx(slow[name], rel=1e-6, abs=1e-9), name


@pytest.mark.parametrize("n", [15, 25])
def test_rows_of_many_pairs_agree_too(n: int) -> None:
    deltas = np.random.default_rng(n).normal(0.3, 1.0, n)
    (found,) = paired_rows([deltas.tolist()]).to_dicts()
    expected = statistics.paired(deltas)
    assert found["p"] == pytest.approx(expected.p)
    assert found["low"] == pytest.approx(expected.low, abs=1e-3)
    assert found["high"] == pytest.approx(expected.high, abs=1e-3)


def test_intervals_agree_where_no_resample_has_the_observed_mean() -> None:
    """With powers of 3 no two resamples share a mean, so that rounding decides on nothing else."""
    rows = 3.0 ** np.arange(6.0)[None] * np.array([[1.0], [-1.0]])
    low, high = bca_rows(rows)
    for i, row in enumerate(rows):
        ends = statistics.bca_interval((row,))
        # The observed sample itself is one of 9,999 resamples now and then, and counts half here.
        assert low[i] == pytest.approx(ends[0], rel=0.02)
        assert high[i] == pytest.approx(ends[1], rel=0.02)


def test_turned_signs_turn_the_interval() -> None:
    """A rounding that decides on which side a resample lies would break it."""
    rows = np.random.default_rng(0).normal(0.2, 1.0, (40, 4))
    low, high = bca_rows(rows)
    turned_low, turned_high = bca_rows(-rows)
    assert turned_high == pytest.approx(-low)
    assert turned_low == pytest.approx(-high)


@pytest.mark.parametrize(
    ("n", "least", "most"), [(3, 0.70, 0.76), (5, 0.82, 0.87), (10, 0.88, 0.93)]
)
def test_intervals_cover_what_the_note_says(n: int, least: float, most: float) -> None:
    low, high = bca_rows(np.random.default_rng(1).normal(0.0, 1.0, (4000, n)))
    assert least < ((low <= 0.0) & (high >= 0.0)).mean() < most


def test_seeds_needed_are_those_of_the_search() -> None:
    rng = np.random.default_rng(0)
    effects = np.append(rng.normal(0.0, 1.5, 60), [0.0, 50.0])
    levels = rng.choice([0.05, 0.01, 0.05 / 7], effects.size)
    found = seeds_needed(effects, levels)
    for d_z, alpha, needed, fewest in zip(
        effects, levels, found, seeds_reachable(levels), strict=True
    ):
        expected = power.minimum_seeds(d_z, alpha=alpha)
        assert (None if np.isnan(needed) else needed) == expected.needed
        assert fewest == expected.reachable
    assert np.isnan(seeds_needed(np.array([np.nan]), np.array([0.05]))).all()


def test_rows_of_all_lengths_keep_their_places() -> None:
    rows = [[0.1], [], [0.1, 0.2, 0.3], [0.5]]
    found = paired_rows(rows)
    assert found.schema == pl.Schema(PAIRED_SCHEMA)
    assert found["n"].to_list() == [1, 0, 3, 1]
    assert found["mean"].to_list() == [0.1, None, pytest.approx(0.2), 0.5]


def test_a_value_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        paired_rows([[0.1, float("nan")]])
