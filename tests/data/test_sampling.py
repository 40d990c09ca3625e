"""Undersampling against its definition, one window at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphids.data.sampling import undersample

WINDOWS = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from([False, False, False, True]), st.booleans()),
    min_size=1,
    max_size=40,
)
"""Difficulty (with ties), whether an attack, whether a candidate."""


@given(WINDOWS, st.sampled_from([0.4, 1.0, 2.5, 4.0]), st.randoms())
def test_all_attacks_and_the_hardest_benign_windows_are_chosen(windows, ratio, random) -> None:
    difficulty = torch.tensor([float(entry[0]) for entry in windows])
    y = torch.tensor([int(entry[1]) for entry in windows])
    candidates = [i for i, entry in enumerate(windows) if entry[2]]
    attacks = {i for i in candidates if y[i]}
    random.shuffle(candidates)
    index = torch.tensor(candidates, dtype=torch.int64)
    if not attacks:
        with pytest.raises(ValueError, match="is an attack"):
            undersample(difficulty, y, index, ratio)
        return
    found = undersample(difficulty, y, index, ratio)
    chosen = found.tolist()
    assert chosen == sorted(set(chosen))
    assert attacks <= set(chosen) <= set(candidates)
    kept, left = set(chosen) - attacks, set(candidates) - set(chosen)
    assert len(kept) == min(int(ratio * len(attacks)), len(candidates) - len(attacks))
    # Nobody left out goes before anybody kept: harder, or equally hard and earlier.
    turn = {i: (-float(difficulty[i]), i) for i in candidates}
    assert all(turn[i] < turn[j] for i in kept for j in left)


def test_of_equally_hard_windows_the_earlier_are_chosen_whatever_their_order() -> None:
    y = torch.zeros(500, dtype=torch.int64)
    y[[7, 400]] = 1
    candidates = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    found = undersample(torch.ones(500), y, candidates)
    assert found.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 400]


def test_arguments_that_make_no_sense_are_refused() -> None:
    y, everything = torch.tensor([0, 0, 1]), torch.arange(3)
    with pytest.raises(ValueError, match="ratio must be positive"):
        undersample(torch.zeros(3), y, everything, ratio=0.0)
    with pytest.raises(ValueError, match="difficulty has 2 windows, y 3"):
        undersample(torch.zeros(2), y, everything)
    unknown = torch.tensor([float("nan"), 1.0, float("nan")])
    with pytest.raises(ValueError, match="1 of 2 benign candidates"):
        undersample(unknown, y, everything)
    # The attack's own difficulty is never read.
    assert undersample(unknown, y, torch.tensor([1, 2])).tolist() == [1, 2]
