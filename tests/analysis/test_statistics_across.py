"""Data sets together: pooled pairs, middle means, wins, expected maxima, ties and rank plots."""

from __future__ import annotations

from itertools import combinations, pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.across import (
    critical_difference,
    expected_maximum,
    interquartile_mean,
    probability_of_improvement,
    tie_candidates,
)
from analysis.resampling import pooled
from analysis.statistics import paired

VALUES = st.lists(st.integers(-9, 9).map(float), min_size=1, max_size=6)
FEW = st.lists(st.integers(-9, 9).map(float), min_size=1, max_size=3)

C45 = {
    "plain": [0.763, 0.599, 0.954, 0.628, 0.882, 0.936, 0.661, 0.583, 0.775, 1.0, 0.940, 0.619,
              0.972, 0.957],
    "m": [0.768, 0.591, 0.971, 0.661, 0.888, 0.931, 0.668, 0.583, 0.838, 1.0, 0.962, 0.666,
          0.981, 0.978],
    "cf": [0.771, 0.590, 0.968, 0.654, 0.886, 0.916, 0.609, 0.563, 0.866, 1.0, 0.965, 0.614,
           0.9751, 0.946],
    "m+cf": [0.798, 0.569, 0.967, 0.657, 0.898, 0.931, 0.685, 0.625, 0.875, 1.0, 0.962, 0.669,
             0.975, 0.970],
}  # fmt: skip
"""AUROC of four decision trees on 14 data sets: table 6 of Demšar (2006).

Two of them are printed alike there but ranked apart.
"""


def test_one_data_set_pools_to_itself() -> None:
    deltas = np.random.default_rng(0).normal(0.3, 1.0, 8)
    alone, single = pooled({"a": deltas}), paired(deltas)
    assert (alone.mean, alone.low, alone.high) == (single.mean, single.low, single.high)
    assert (alone.p, alone.p_floor) == (single.p, single.p_floor)


def flipped_means(strata: list[list[float]]) -> list[float]:
    """Mean of the data sets' means under every pattern of signs."""
    ends = np.cumsum([len(values) for values in strata])[:-1]
    patterns = product(*((-value, value) for values in strata for value in values))
    return [float(np.mean([part.mean() for part in np.split(np.array(pattern), ends)]))
            for pattern in patterns]  # fmt: skip


@given(st.lists(FEW, min_size=1, max_size=3))
def test_pooled_signs_are_flipped_in_every_data_set(strata: list[list[float]]) -> None:
    found = pooled({str(i): values for i, values in enumerate(strata)}, resamples=99)
    assert found.mean == pytest.approx(np.mean([np.mean(d) for d in strata]), abs=1e-12)
    reached = np.abs(flipped_means(strata)) >= abs(found.mean) - 1e-9
    assert found.p == pytest.approx(reached.mean())
    assert found.p >= found.p_floor


def test_data_sets_that_lie_apart_do_not_widen_the_pooled_interval() -> None:
    rng = np.random.default_rng(1)
    strata = {str(i): i + rng.normal(0.0, 0.1, 6) for i in range(4)}
    together, mixed = pooled(strata), paired(np.concatenate(list(strata.values())))
    assert together.mean == pytest.approx(mixed.mean)
    assert together.high - together.low < 0.2 * (mixed.high - mixed.low)


def test_a_data_set_with_one_pair_leaves_no_interval_but_a_p_value() -> None:
    found = pooled({"a": [0.1, 0.2, 0.3], "b": [0.4], "c": []})
    assert (found.n, found.num_datasets, found.low, found.p) == (4, 2, None, 0.125)
    assert pooled({}).mean is None
    assert pooled({"a": [0.1, 0.1], "b": [0.2, 0.2]}).low == pytest.approx(0.15)


@given(st.lists(VALUES, min_size=1, max_size=4))
def test_middle_mean_drops_a_quarter_at_each_end(strata: list[list[float]]) -> None:
    ordered = sorted(v for d in strata for v in d)
    cut = len(ordered) // 4
    found = interquartile_mean({str(i): d for i, d in enumerate(strata)}, resamples=50)
    assert found.value == pytest.approx(np.mean(ordered[cut : len(ordered) - cut]), abs=1e-12)
    assert (found.low is None) == (min(map(len, strata)) == 1)


def test_stratified_intervals_agree_with_scipy() -> None:
    rng = np.random.default_rng(2)
    ours = {str(i): rng.normal(0.3 * i, 1.0, 9) for i in range(3)}
    theirs = {str(i): rng.normal(0.3 * i - 0.4, 1.0, 7) for i in range(3)}

    def middle(*strata: np.ndarray) -> float:
        return float(stats.trim_mean(np.concatenate(strata), 0.25))

    def wins(*strata: np.ndarray) -> float:
        pairs = zip(strata[:3], strata[3:], strict=True)
        return float(np.mean([stats.mannwhitneyu(x, y).statistic / (9 * 7) for x, y in pairs]))

    for found, statistic, samples in (
        (interquartile_mean(ours), middle, tuple(ours.values())),
        (probability_of_improvement(ours, theirs), wins, (*ours.values(), *theirs.values())),
    ):
        expected = stats.bootstrap(
            samples, statistic, n_resamples=600, method="percentile", vectorized=False,
            rng=np.random.default_rng(0),
        ).confidence_interval  # fmt: skip
        slack = 0.1 * (expected.high - expected.low)
        assert found.value == pytest.approx(statistic(*samples))
        assert (found.low, found.high) == pytest.approx(tuple(expected), abs=slack)


@given(st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=4))
def test_one_rows_wins_are_the_others_losses(pairs: list[tuple[list[float], list[float]]]) -> None:
    ours = {str(i): x for i, (x, _) in enumerate(pairs)}
    theirs = {str(i): y for i, (_, y) in enumerate(pairs)}
    there = probability_of_improvement(ours, theirs, resamples=50).value
    back = probability_of_improvement(theirs, ours, resamples=50).value
    assert there + back == pytest.approx(1.0)
    counted = [np.mean([(x > y) + (x == y) / 2 for x in xs for y in ys]) for xs, ys in pairs]
    assert there == pytest.approx(np.mean(counted))
    assert probability_of_improvement(ours, ours, resamples=50).value == pytest.approx(0.5)


def test_a_row_that_always_wins_is_sure_to() -> None:
    found = probability_of_improvement({"a": [3.0, 4.0]}, {"a": [1.0, 2.0]})
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_rows_and_data_sets_must_match() -> None:
    with pytest.raises(ValueError, match="b in one of them only"):
        probability_of_improvement({"a": [1.0]}, {"a": [1.0], "b": [1.0]})
    with pytest.raises(ValueError, match="every data set needs a value"):
        interquartile_mean({"a": [1.0], "b": []})


@given(VALUES)
def test_expected_maximum_is_the_mean_over_all_choices(values: list[float]) -> None:
    n = len(values)
    exact, plug_in = expected_maximum(values), expected_maximum(values, plug_in=True)
    subsets = [np.mean([max(c) for c in combinations(values, k)]) for k in range(1, n + 1)]
    assert exact == pytest.approx(subsets)
    draws = [np.mean([max(c) for c in product(values, repeat=k)]) for k in range(1, min(n, 4) + 1)]
    assert plug_in[:4] == pytest.approx(draws)
    assert exact[0] == pytest.approx(np.mean(values))
    assert exact[-1] == max(values)
    assert all(b >= a - 1e-9 for a, b in pairwise(exact))
    assert all(low <= high + 1e-9 for low, high in zip(plug_in, exact, strict=True))


def test_expected_maximum_needs_a_trial() -> None:
    with pytest.raises(ValueError, match="there is none"):
        expected_maximum([])


def test_ties_are_the_rows_that_the_best_does_not_clearly_beat() -> None:
    noise = np.array([0.00, 0.01, -0.01, 0.005, -0.005])
    found = tie_candidates(
        {
            "far": 0.5 + noise,
            "best": 0.9 + noise,
            "near": 0.899 + noise[::-1],
            "new": [0.91, np.nan, np.nan, 0.85, np.nan],
            "not run": [np.nan] * 5,
        }
    )
    assert (found.best, found.tied, found.untold) == ("best", ("near",), ("new", "not run"))
    assert found.differences["far"].mean == pytest.approx(0.4)
    assert found.differences["new"].n == 2


def test_a_row_that_beats_the_best_over_the_seeds_of_both_is_no_less_than_a_tie() -> None:
    easy = np.array([0.9, 0.91, 0.89, 0.905, 0.3, 0.3, 0.3, 0.3])
    short = np.where(np.arange(8) < 4, easy - 0.1 + 0.001 * np.arange(8), np.nan)
    found = tie_candidates({"long": easy, "short": short})
    assert (found.best, found.tied, found.untold) == ("short", ("long",), ())
    assert found.differences["long"].high < 0.0


def test_ties_refuse_rows_of_other_lengths_and_none_at_all() -> None:
    with pytest.raises(ValueError, match="lengths: a 1, b 2"):
        tie_candidates({"a": [1.0], "b": [1.0, 2.0]})
    with pytest.raises(ValueError, match="there is none"):
        tie_candidates({"a": [float("nan")]})


def test_critical_difference_is_that_of_the_published_example() -> None:
    found = critical_difference(C45)
    published = {"m+cf": 1.964, "m": 2.000, "cf": 2.893, "plain": 3.143}
    assert list(found.ranks) == list(published)
    assert found.ranks == pytest.approx(published, abs=5e-4)
    assert found.difference == pytest.approx(1.25, abs=5e-3)
    assert critical_difference(C45, alpha=0.1).groups == (("m+cf", "m", "cf"), ("cf", "plain"))
    assert found.p == pytest.approx(stats.friedmanchisquare(*C45.values()).pvalue)


@given(
    st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 5), min_size=n, max_size=n), min_size=2)
    )
)
def test_rows_share_a_group_exactly_where_their_ranks_lie_close(table: list[list[int]]) -> None:
    found = critical_difference({str(i): row for i, row in enumerate(table)})
    assert sum(found.ranks.values()) == pytest.approx(len(table) * (len(table) + 1) / 2)
    sets = [set(group) for group in found.groups]
    assert all(not (a < b) for a in sets for b in sets)
    for a, b in product(found.ranks, repeat=2):
        close = abs(found.ranks[a] - found.ranks[b]) <= found.difference
        assert close == any({a, b} <= group for group in sets)


def test_ranks_that_no_test_can_judge_have_no_p_value() -> None:
    assert critical_difference({"a": [1.0, 2.0], "b": [2.0, 3.0]}).p is None
    assert critical_difference({name: [1.0, 2.0] for name in "abc"}).p is None
    with pytest.raises(ValueError, match="at least two rows"):
        critical_difference({"a": [1.0]})
