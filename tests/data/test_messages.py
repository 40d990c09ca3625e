"""Attack codes follow the search order of names; message tables keep one schema."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from graphids.data.messages import (
    ATTACK_CODES,
    attack_code,
    attack_name,
    empty_table,
    message_table,
    validate,
)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("train_01_attack_free/attack-free-kia.csv.gz", 0),
        ("train_01_attack_free/accessory-1.csv", 0),
        ("train_02_with_attacks/DoS-1.csv.gz", 1),
        ("x/targeted_payload_fuzzing-2.csv.gz", 2),
        ("x/Fuzzy.csv", 2),
        ("x/force-neutral-1.csv", 3),
        ("test_03_gear_spoofing/day-1.csv", 3),
        ("x/rpm-accessory-1.csv.gz", 12),
        ("x/rpm-1.csv.gz", 4),
        ("x/speed-accessory-2.csv.gz", 11),
        ("x/speed-2.csv.gz", 10),
        ("test_05_suppress/drive.csv", 15),
        ("test_06_masquerade/drive.csv.GZ", 16),
        ("x/replay-1.csv.gz", 17),
        ("x/replay-dos.csv.gz", 1),
        ("dos/y/nothing.csv", 0),
        ("nothing", 0),
    ],
)
def test_first_word_of_the_name_or_its_folder_decides(path, code):
    assert attack_code(path) == code


def test_no_word_hides_a_longer_one_behind_it():
    words = list(ATTACK_CODES)
    for place, word in enumerate(words):
        hidden = [later for later in words[place + 1 :] if word in later]
        assert not hidden, f"{word} hides {hidden}"


def test_every_code_has_a_name_that_leads_back_to_it():
    for code in set(ATTACK_CODES.values()):
        assert ATTACK_CODES[attack_name(code)] == code
    assert attack_name(0) == "benign"
    with pytest.raises(ValueError, match="99"):
        attack_name(99)


def test_attack_type_stands_on_attack_rows_only():
    table = message_table(
        time_ns=np.arange(3),
        arbitration_id=np.array([1, 0x7FF, 0x800]),
        dlc=np.full(3, 8),
        payload=np.zeros((3, 8)),
        attack=np.array([False, True, False]),
        code=2,
    )
    assert validate(table)["attack_type"].to_list() == [0, 2, 0]
    assert table["extended"].to_list() == [False, False, True]


def test_a_table_of_another_schema_is_refused():
    with pytest.raises(ValueError, match="not a message table"):
        validate(empty_table().with_columns(pl.col("dlc").cast(pl.Int64)))
