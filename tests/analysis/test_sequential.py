"""Looks at seeds: exact intervals, and no more false decisions than the level allows."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sequential_studies import (
    Draw,
    excludes_zero,
    first_decision,
    heavy,
    normal,
    skewed,
    t_excludes_zero,
)

from analysis.sequential import DIFFERENT, EQUAL, SMALL, look, look_sizes, typical_interval
from analysis.sequential_rule import (
    Rule,
    declare,
    keep_looks,
    make_rule,
    read_looks,
    read_rule,
)
from analysis.statistics import sign_flip

VALUES = st.lists(st.integers(-40, 40).map(lambda i: i / 8), min_size=1, max_size=9)
SHARES = st.sampled_from([0.5, 0.2, 0.05, 0.0125])
STUDIES = 2_000
LOOKS = (8, 12, 16, 20)


@given(VALUES, SHARES)
def test_the_interval_lies_between_means_of_sets(values: list[float], alpha: float) -> None:
    """Every set of pairs, written down."""
    means = sorted(
        float(np.mean(chosen))
        for size in range(1, len(values) + 1)
        for chosen in combinations(values, size)
    )
    out = int(alpha / 2 * 2 ** len(values) + 1e-9)
    found = typical_interval(values, alpha)
    if out == 0:
        assert found is None
    else:
        assert found == pytest.approx((means[out - 1], means[-out]))


@given(st.lists(st.floats(0.01, 5.0), min_size=2, max_size=9), SHARES, st.randoms())
def test_it_excludes_zero_where_the_sign_flip_test_does(
    sizes: list[float], alpha: float, random: object
) -> None:
    signs = np.random.default_rng(len(sizes)).choice((-1.0, 1.0), len(sizes))
    # Powers of two: no two sets of pairs have one sum, so that neither has a tie to settle.
    values = signs * 2.0 ** np.arange(len(sizes)) + np.array(sizes) * 1e-3
    assert excludes_zero(values, alpha) == (sign_flip(values) <= alpha + 1e-12)


@given(VALUES, SHARES)
def test_a_difference_that_is_turned_round_turns_its_interval(
    values: list[float], alpha: float
) -> None:
    there, back = typical_interval(values, alpha), typical_interval([-v for v in values], alpha)
    if there is None:
        assert back is None
    else:
        assert back == pytest.approx((-there[1], -there[0]))


@pytest.mark.parametrize("looks", [(6, 8), (5, 7, 9)])
def test_no_more_of_all_sign_patterns_are_decided_than_the_level_allows(
    looks: tuple[int, ...],
) -> None:
    """Chance gives each sign to each difference: all patterns there are, counted."""
    level = 0.2
    sizes = np.random.default_rng(0).exponential(size=looks[-1])
    patterns = [sizes * signs for signs in product((-1.0, 1.0), repeat=looks[-1])]
    decided = sum(
        first_decision(deltas, looks, level / len(looks)) is not None for deltas in patterns
    )
    naive = sum(first_decision(deltas, looks, level) is not None for deltas in patterns)
    assert 0 < decided <= level * len(patterns) < naive


@given(st.integers(0, 20), st.integers(1, 20), st.integers(1, 40))
def test_every_look_can_decide_and_the_last_is_the_most(given: int, most: int, rows: int) -> None:
    try:
        looks = look_sizes(given, most, rows)
    except ValueError:
        assert given > most or 2.0 ** (1 - most) > 0.05 / rows
        return
    assert looks == tuple(sorted(set(looks)))
    assert looks[0] >= given
    assert looks[-1] == most
    share = 0.05 / (len(looks) * rows)
    for n in looks:
        assert excludes_zero(np.arange(1.0, n + 1), share)


def test_the_usual_looks() -> None:
    assert look_sizes(3, 20) == LOOKS
    assert look_sizes(3, 20, rows=5) == (10, 14, 18, 20)
    assert look_sizes(10, 20) == (10, 14, 18, 20)


@pytest.mark.parametrize(
    ("deltas", "margin", "decision"),
    [
        (np.full(8, 0.1), None, DIFFERENT),
        (np.full(8, 0.1), 0.2, SMALL),
        (np.full(8, 0.1), 0.05, DIFFERENT),
        (np.zeros(8), None, None),
        (np.zeros(8), 0.01, EQUAL),
        (np.array([0.3, -0.3] * 4), 0.2, None),
        (np.full(3, 0.1), 0.2, None),
    ],
)
def test_what_a_look_decides(deltas: np.ndarray, margin: float | None, decision: object) -> None:
    assert look(deltas.tolist(), 8, 0.05 / 4, margin).decision == decision


def test_a_look_without_a_pair_decides_nothing() -> None:
    found = look([], 8, 0.0125)
    assert (found.pairs, found.mean, found.decision) == (0, None, None)
    with pytest.raises(ValueError, match="1 of them not finite"):
        look([0.1, float("nan")], 8, 0.0125)


def rule(**changed: object) -> Rule:
    given: dict[str, object] = {
        "metric": "mcc", "subset": None, "most": 20, "margin": None, "seeds": (0, 1, 7), "rows": 1,
        "design": "d",
    }  # fmt: skip
    return make_rule(**{**given, **changed})  # type: ignore[arg-type]


def test_a_rule_is_read_as_it_was_declared(tmp_path: Path) -> None:
    assert read_rule(tmp_path, "g") is None
    declared = declare(tmp_path, "g", rule(margin=0.01, subset="test_02"))
    assert read_rule(tmp_path, "g") == declared
    assert declared.seeds[:6] == (0, 1, 7, 2, 3, 4)
    assert len(declared.seeds) == 20
    assert declared.sizes == (3, 8, 12, 16, 20)
    assert "-0.01 and 0.01" in declared.sentence()


def test_what_a_look_has_found_is_kept_as_it_was_first(tmp_path: Path) -> None:
    place = ("d", "sim", "x", "focal", 8)
    first, other = look([0.1] * 7, 8, 0.0125), look([0.1] * 8, 8, 0.0125)
    assert read_looks(tmp_path, "g") == {}
    declare(tmp_path, "g", rule())
    keep_looks(tmp_path, "g", {place: replace(first, used=(0, 1, 2, 3, 4, 5, 6))})
    keep_looks(tmp_path, "g", {place: other, (*place[:3], "new", 8): other})
    found = read_looks(tmp_path, "g")
    assert found[place] == replace(first, used=(0, 1, 2, 3, 4, 5, 6))
    assert found[(*place[:3], "new", 8)] == other
    (tmp_path / "plans" / "g" / "looks.json").write_text('[{"design": "d"}]')
    with pytest.raises(ValueError, match=r"looks\.json holds no looks"):
        read_looks(tmp_path, "g")


def test_seeds_that_came_since_do_not_change_a_rule(tmp_path: Path) -> None:
    declared = declare(tmp_path, "g", rule())
    assert declare(tmp_path, "g", rule(seeds=range(9), rows=4)) == declared
    with pytest.raises(ValueError, match=r"most was 20, asked is 12.*another --store"):
        declare(tmp_path, "g", rule(most=12))
    assert read_rule(tmp_path, "g") == declared


@pytest.mark.slow
@pytest.mark.parametrize("draw", [normal, heavy])
def test_symmetric_differences_around_0_are_decided_no_more_often_than_stated(draw: Draw) -> None:
    rng = np.random.default_rng(1)
    studies = [draw(rng, LOOKS[-1]) for _ in range(STUDIES)]
    found = [first_decision(study, LOOKS, 0.05 / len(LOOKS)) is not None for study in studies]
    naive = [first_decision(study, LOOKS, 0.05) is not None for study in studies]
    error = 3 * np.sqrt(0.05 * 0.95 / STUDIES)
    assert np.mean(found) <= 0.05 + error
    assert np.mean(naive) > 0.09, "four looks without a correction err far more often"


@pytest.mark.slow
def test_skewed_differences_are_decided_more_often_but_seldom() -> None:
    rng = np.random.default_rng(2)
    studies = [skewed(rng, LOOKS[-1]) for _ in range(STUDIES)]
    found = np.mean([first_decision(study, LOOKS, 0.05 / 4) is not None for study in studies])
    by_t = np.mean(
        [first_decision(s, LOOKS, 0.05 / 4, t_excludes_zero) is not None for s in studies]
    )
    assert found <= 0.11
    assert found <= by_t + 0.01


@pytest.mark.slow
@pytest.mark.parametrize(("effect", "most"), [(1.0, 14.0), (2.0, 9.0)])
def test_clear_differences_need_few_of_the_seeds(effect: float, most: float) -> None:
    rng = np.random.default_rng(3)
    taken = [
        first_decision(effect + normal(rng, LOOKS[-1]), LOOKS, 0.05 / 4) for _ in range(STUDIES)
    ]
    assert np.mean([n is not None for n in taken]) > 0.9
    assert np.mean([n or LOOKS[-1] for n in taken]) < most
