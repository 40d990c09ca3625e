"""Which ids a vocabulary knows by its scope."""

from __future__ import annotations

import pytest
import torch
from traffic import random_graphs

from graphids.data.packed import concatenate
from graphids.data.scopes import vocabulary_of
from graphids.data.splits import Part

TRAIN = concatenate([random_graphs(seed, 12, ids=4) for seed in range(8)])
PART = torch.arange(len(TRAIN)) % 4
TESTS = [random_graphs(seed, 5) for seed in (20, 21)]


def ids_where(mask: torch.Tensor) -> set[int]:
    return {
        i for g, m in zip(TRAIN, mask.tolist(), strict=True) if m for i in g.arbitration_id.tolist()
    }


def test_scopes_hold_the_ids_of_their_windows() -> None:
    training = PART == Part.TRAIN
    known = {
        scope: set(vocabulary_of(TRAIN, PART, TESTS, scope).ids)
        for scope in ("train", "benign", "all")
    }
    assert known["train"] == ids_where(training) < ids_where(torch.ones_like(training))
    assert known["benign"] == ids_where(training & (TRAIN.y == 0)) < known["train"]
    tests = {i for graphs in TESTS for i in graphs.arbitration_id.tolist()}
    assert known["all"] == known["train"] | tests
    assert vocabulary_of(TRAIN, PART, TESTS) == vocabulary_of(TRAIN, PART, [], "train")


def test_unknown_and_empty_scopes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"vocabulary scope must be one of .* \(got 'test'\)"):
        vocabulary_of(TRAIN, PART, TESTS, "test")
    with pytest.raises(ValueError, match="no window in the vocabulary scope 'benign'"):
        vocabulary_of(TRAIN, torch.where(TRAIN.y == 1, PART, int(Part.STOP)), TESTS, "benign")
