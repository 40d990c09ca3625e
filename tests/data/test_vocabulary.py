"""Indices of arbitration ids: known, unknown, stored."""

from __future__ import annotations

import json

import pytest
import torch

from graphids.data.vocabulary import UNK_INDEX, Vocabulary

IDS = torch.tensor([0x7FF, 3, 3, 0x1FFFFFFF, 0])


def test_known_ids_ascend_from_one_and_others_are_unknown() -> None:
    vocabulary = Vocabulary.from_ids(IDS)
    assert vocabulary.num_ids == 5
    seen = torch.tensor([0, 3, 0x7FF, 0x1FFFFFFF, 1, 0x7FE, 0x1FFFFFFE, 2**32 - 1])
    assert vocabulary.encode(seen).tolist() == [1, 2, 3, 4, *[UNK_INDEX] * 4]


def test_an_empty_vocabulary_knows_nothing() -> None:
    vocabulary = Vocabulary.from_ids(torch.empty(0, dtype=torch.int64))
    assert vocabulary.num_ids == 1
    assert vocabulary.encode(IDS).tolist() == [UNK_INDEX] * 5


def test_round_trip_through_json_and_tampering() -> None:
    vocabulary = Vocabulary.from_ids(IDS)
    entry = json.loads(json.dumps(vocabulary.to_json()))
    assert Vocabulary.from_json(entry) == vocabulary
    with pytest.raises(ValueError, match="digest"):
        Vocabulary.from_json(entry | {"ids": [0, 3]})


def test_digest_tells_vocabularies_apart() -> None:
    assert Vocabulary.from_ids(IDS).digest == Vocabulary.from_ids(IDS.flip(0)).digest
    assert Vocabulary.from_ids(IDS).digest != Vocabulary.from_ids(IDS[:-1]).digest


def test_ids_that_do_not_ascend_are_refused() -> None:
    with pytest.raises(ValueError, match="ascend"):
        Vocabulary(ids=(3, 3))
