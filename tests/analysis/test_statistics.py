"""Paired statistics: p-values by enumeration, intervals, effect sizes, families, seeds needed."""

from __future__ import annotations

from itertools import combinations, product
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis.power import minimum_seeds, sign_flip_power
from analysis.statistics import effect_size, holm, paired, sign_flip

DELTAS = st.lists(st.integers(-20, 20), min_size=1, max_size=8)
"""Small whole numbers: sums of either sign often tie exactly."""


def enumerated(values: list[float]) -> float:
    """Share of all 2^n sign patterns with a sum at least as far from 0."""
    sums = [sum(s * abs(v) for s, v in zip(signs, values, strict=True))
            for signs in product((-1, 1), repeat=len(values))]  # fmt: skip
    return float(np.mean([abs(total) >= abs(sum(values)) for total in sums]))


def enumerated_bca(values: np.ndarray) -> tuple[float, float]:
    """BCa ends from every one of the n^n resamples, by the definition of its two corrections."""
    n = values.size
    means = np.sort([np.mean(draw) for draw in product(values, repeat=n)])
    below = (means < values.mean() - 1e-12).mean() + (abs(means - values.mean()) < 1e-12).mean() / 2
    bias = stats.norm.ppf(below)
    left_out = np.array([np.delete(values, i).mean() for i in range(n)])
    away = left_out.mean() - left_out
    pull = (away**3).sum() / (6 * (away**2).sum() ** 1.5)
    shifted = bias + stats.norm.ppf([0.025, 0.975])
    low, high = np.quantile(means, stats.norm.cdf(bias + shifted / (1 - pull * shifted)))
    return float(low), float(high)


def closed_bonferroni(p_values: list[float]) -> list[float]:
    """Holm's procedure by the closure principle: every set that holds a row must be rejected."""
    rows = range(len(p_values))
    sets = [s for size in range(1, len(p_values) + 1) for s in combinations(rows, size)]
    return [max(min(1.0, len(s) * min(p_values[i] for i in s)) for s in sets if row in s)
            for row in rows]  # fmt: skip


@given(DELTAS)
def test_sign_flip_counts_every_pattern(deltas: list[int]) -> None:
    values = [d / 100 for d in deltas]  # decimal fractions: sums that tie differ by rounding
    assert sign_flip(values) == pytest.approx(enumerated(deltas))


def test_sign_flip_agrees_with_scipy() -> None:
    deltas = np.random.default_rng(3).normal(0.4, 1.0, 10)
    expected = stats.permutation_test(
        (deltas,), np.mean, permutation_type="samples", n_resamples=np.inf
    )
    assert sign_flip(deltas) == pytest.approx(expected.pvalue)


@pytest.mark.parametrize("n", [21, 40])
def test_beyond_twenty_pairs_patterns_are_drawn(n: int) -> None:
    """Of signed ranks the exact distribution is known for any number of pairs."""
    deltas = np.random.default_rng(n).normal(0.3, 1.0, n)
    exact = stats.wilcoxon(deltas, method="exact").pvalue
    assert paired(deltas, test="wilcoxon").p == pytest.approx(exact, abs=0.015)
    assert sign_flip(np.ones(n)) == paired(np.ones(n)).p_floor == pytest.approx(1e-4)


def test_wilcoxon_agrees_with_scipy_and_with_enumeration_under_ties() -> None:
    deltas = np.random.default_rng(1).normal(0.5, 1.0, 9)
    exact = stats.wilcoxon(deltas, method="exact").pvalue
    assert paired(deltas, test="wilcoxon").p == pytest.approx(exact)
    assert paired([0, 3, 3, -1, 5], test="wilcoxon").p == pytest.approx(
        enumerated([2.5, 2.5, -1, 4])
    )


@given(DELTAS)
def test_no_p_value_below_its_floor(deltas: list[int]) -> None:
    found = paired(deltas, resamples=99)
    assert found.p is not None
    assert found.p_floor is not None
    assert 1.0 >= found.p >= found.p_floor >= 2.0 ** (1 - len(deltas))
    assert found.ties == deltas.count(0)


@given(st.lists(st.integers(1, 20), min_size=1, max_size=12))
def test_differences_of_one_sign_reach_the_floor(deltas: list[int]) -> None:
    found = paired(deltas, resamples=99)
    assert found.p == found.p_floor == 2.0 ** (1 - len(deltas))
    assert found.underpowered == (len(deltas) < 6)


@given(DELTAS)
def test_turned_signs_turn_everything(deltas: list[int]) -> None:
    ours, theirs = paired(deltas, resamples=199), paired([-d for d in deltas], resamples=199)
    assert (ours.p, ours.p_floor, ours.ties) == (theirs.p, theirs.p_floor, theirs.ties)
    for mine, its in (
        (ours.mean, theirs.mean), (ours.low, theirs.high), (ours.high, theirs.low),
        (ours.d_z, theirs.d_z), (ours.d_z_low, theirs.d_z_high), (ours.d_z_high, theirs.d_z_low),
    ):  # fmt: skip
        assert its == (None if mine is None else pytest.approx(-mine, abs=1e-6))


@given(DELTAS, st.randoms(use_true_random=False))
def test_the_order_of_pairs_does_not_matter(deltas: list[int], random: Random) -> None:
    shuffled = random.sample(deltas, len(deltas))
    ours, theirs = paired(deltas, resamples=99), paired(shuffled, resamples=99)
    assert (ours.p, ours.ties) == (theirs.p, theirs.ties)
    assert (ours.d_z_low is None) == (theirs.d_z_low is None)
    if ours.d_z_low is not None:
        assert ours.d_z_low == pytest.approx(theirs.d_z_low)


@pytest.mark.parametrize("seed", range(4))
def test_interval_is_the_one_of_all_resamples(seed: int) -> None:
    deltas = np.random.default_rng(seed).exponential(size=5)
    low, high = enumerated_bca(deltas)
    found = paired(deltas)
    width = high - low
    assert found.low == pytest.approx(low, abs=0.05 * width)
    assert found.high == pytest.approx(high, abs=0.05 * width)


def test_interval_moves_and_stretches_with_the_differences() -> None:
    deltas = np.random.default_rng(5).exponential(size=7)
    ours, theirs = paired(deltas), paired(3.0 * deltas + 2.0)
    # Resamples whose mean is that of all pairs tie with it up to rounding, which a scale changes.
    slack = 0.02 * (theirs.high - theirs.low)
    assert theirs.low == pytest.approx(3.0 * ours.low + 2.0, abs=slack)
    assert theirs.high == pytest.approx(3.0 * ours.high + 2.0, abs=slack)


def test_what_few_pairs_leave_undefined_is_none() -> None:
    none, one, two = paired([]), paired([0.1]), paired([0.1, 0.3])
    assert (none.n, none.mean, none.p, none.low, none.d_z, none.underpowered) == (
        0, None, None, None, None, True
    )  # fmt: skip
    assert (one.mean, one.p, one.low, one.d_z) == (0.1, 1.0, None, None)
    assert (two.low, two.high, two.p) == (None, None, 0.5)
    assert two.d_z is not None


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0])
def test_equal_differences_have_a_point_for_interval_and_no_effect_size(value: float) -> None:
    found = paired([value] * 6)
    assert found.low == found.high == pytest.approx(value)
    assert (found.d_z, found.d_z_low, found.d_z_high) == (None, None, None)
    assert found.p == (1.0 if value == 0.0 else 2.0**-5)
    # Rounding of the two metrics is no difference between pairs.
    rounded = paired(np.array([0.7, 0.8, 0.9]) - np.array([0.6, 0.7, 0.8]))
    assert rounded.d_z is None


def test_an_undefined_difference_is_refused() -> None:
    with pytest.raises(ValueError, match="value 1 is nan"):
        paired([0.1, float("nan")])
    with pytest.raises(ValueError, match="alpha must lie in"):
        paired([0.1], alpha=1.0)


@pytest.mark.parametrize("n", [2, 5, 12, 60])
@pytest.mark.parametrize("effect", [-2.0, 0.0, 0.4, 6.0])
def test_effect_size_interval_holds_the_effects_that_explain_it(n: int, effect: float) -> None:
    noise = np.random.default_rng(n).normal(size=n)
    deltas = effect + (noise - noise.mean()) / noise.std(ddof=1)
    d_z, low, high = effect_size(deltas)
    assert d_z == pytest.approx(effect, abs=1e-12)
    for end, share in ((low, 0.975), (high, 0.025)):
        seen = stats.nct.cdf(d_z * np.sqrt(n), n - 1, end * np.sqrt(n))
        assert seen == pytest.approx(share, abs=1e-4)


def test_effect_size_interval_is_seamless_where_effects_are_huge() -> None:
    step = np.array([-1.0, 1.0]) / np.sqrt(2.0)
    below, above = effect_size(99.999 + step), effect_size(100.001 + step)
    assert below == pytest.approx(above, rel=1e-3)


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6))
def test_holm_rejects_what_the_closure_of_bonferroni_rejects(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(closed_bonferroni(p_values))


@given(st.lists(st.none() | st.floats(0.0, 1.0), max_size=9))
def test_holm_keeps_nulls_and_order(p_values: list[float | None]) -> None:
    adjusted = holm(p_values)
    assert [p is None for p in adjusted] == [p is None for p in p_values]
    known = sorted((p, a) for p, a in zip(p_values, adjusted, strict=True) if p is not None)
    assert all(p <= a <= 1.0 for p, a in known)
    assert [a for _, a in known] == sorted(a for _, a in known)
    counted = holm([p for p in p_values if p is not None])
    assert [a for a in adjusted if a is not None] == list(counted)


def test_holm_refuses_what_is_no_p_value() -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        holm([0.2, 1.2])


@pytest.mark.parametrize("alpha", [0.1, 0.05, 0.01, 0.0625])
def test_reachable_is_where_one_sign_throughout_is_significant(alpha: float) -> None:
    reachable = minimum_seeds(None, alpha=alpha).reachable
    assert not paired(np.arange(1.0, reachable + 1), alpha=alpha).underpowered
    assert paired(np.arange(1.0, reachable), alpha=alpha).underpowered
    assert minimum_seeds(50.0, alpha=alpha).needed == reachable


def test_seeds_needed_are_those_of_the_textbook() -> None:
    """Paired t-test, power 0.8, two-sided 0.05: 34 pairs for d = 0.5 and 199 for d = 0.2."""
    assert [minimum_seeds(d).needed for d in (0.5, -0.5, 0.2)] == [34, 34, 199]
    assert [minimum_seeds(d).needed for d in (0.0, 1e-4, None)] == [None, None, None]


@given(st.floats(0.05, 5.0), st.floats(0.05, 5.0))
def test_larger_effects_never_need_more_seeds(first: float, second: float) -> None:
    small, large = sorted((first, second))
    needed = minimum_seeds(small).needed
    assert needed is not None
    assert minimum_seeds(large).needed <= needed
    assert sign_flip_power(small, needed) >= 0.8


@pytest.mark.parametrize(("d_z", "n"), [(1.5, 5), (1.5, 6), (1.3, 7), (1.0, 9)])
def test_power_is_how_often_the_test_finds_the_effect(d_z: float, n: int) -> None:
    rng = np.random.default_rng(n)
    found = np.mean([sign_flip(rng.normal(d_z, 1.0, n)) <= 0.05 for _ in range(2_000)])
    assert sign_flip_power(d_z, n) == pytest.approx(found, abs=0.05 + 0.03)


def test_power_refuses_what_is_no_chance() -> None:
    with pytest.raises(ValueError, match="power must lie in"):
        minimum_seeds(1.0, power=1.0)
