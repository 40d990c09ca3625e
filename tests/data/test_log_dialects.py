"""Logs without a header: HCRL Car-Hacking CSV and text, candump."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_samples import HEADER, LABELLED, LINES, content, parsed, random_rows

from graphids.data import log_lines
from graphids.data.logs import LogError, read_log

HCRL = b"1478198376.389427,0316,8,05,21,68,09,21,21,00,6f,R\n"
TEXT = b"Timestamp: 1479121434.850202        ID: 0350    000    DLC: 8    05 28 84 66 6d 00 00 a2\n"
CANDUMP = b"(1436509052.249713) vcan0 044#2A366C2BBA\n"


def read(folder: Path, text: bytes, name: str = "RPM_dataset.csv") -> pl.DataFrame:
    path = folder / name
    path.write_bytes(text)
    return read_log(path)


@pytest.mark.parametrize("dialect", LINES)
@given(st.integers(0, 2**32), st.integers(1, 40))
@settings(max_examples=25, deadline=None)
def test_agrees_with_a_line_by_line_reader(
    tmp_path_factory: pytest.TempPathFactory, dialect: str, seed: int, num: int
) -> None:
    text = content(dialect, random_rows(np.random.default_rng(seed), num))
    lines = text.decode().splitlines()[dialect == "csv" :]
    table = read(tmp_path_factory.mktemp("logs"), text, "gear.log")
    assert table.height == num
    for found, line in zip(table.iter_rows(named=True), lines, strict=True):
        time, number, payload, attack = parsed(dialect, line)
        assert found == {
            "time_ns": int(time.replace(".", "")) * 1000,
            "channel": 0,
            "arbitration_id": number,
            "extended": False,
            "dlc": len(payload),
            "payload": list(payload.ljust(8, b"\0")),
            "attack": attack,
            "attack_type": 3 if attack else 0,
        }


@pytest.mark.parametrize("dialect", LINES)
def test_all_dialects_say_the_same_of_the_same_messages(tmp_path: Path, dialect: str) -> None:
    rows = random_rows(np.random.default_rng(1), 500)
    table = read(tmp_path, content(dialect, rows), "gear.txt")
    wanted = read(tmp_path, content("csv", rows), "gear.csv")
    if dialect not in LABELLED:
        nothing = {"attack": pl.lit(None, pl.Boolean), "attack_type": pl.lit(0, pl.UInt8)}
        wanted = wanted.with_columns(**nothing)
    assert table.equals(wanted)


@pytest.mark.parametrize("dialect", LINES)
def test_rows_across_block_borders(
    tmp_path: Path, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = content(dialect, random_rows(np.random.default_rng(2), 200))
    whole = read(tmp_path, text)
    monkeypatch.setattr(log_lines, "_BLOCK", 131)
    assert read(tmp_path, text).equals(whole)
    with pytest.raises(LogError, match=f"line {201 + (dialect == 'csv')}, column"):
        read(tmp_path, text + b"bad line\n")


@pytest.mark.parametrize(
    "text",
    [
        HCRL.replace(b"R", b"r") + HCRL,
        HCRL.replace(b"\n", b",,,\n") + HCRL.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf\n" + HCRL.replace(b",", b" ,\t") + b"\n" + HCRL.rstrip(),
        (HCRL * 2).replace(b"0316", b"0x316").replace(b",8,", b",08,").replace(b",6f", b",0x6F"),
        gzip.compress(HCRL * 2),
    ],
)
def test_spellings_of_hcrl_rows_that_mean_the_same(tmp_path: Path, text: bytes) -> None:
    assert read(tmp_path, text).equals(read(tmp_path, HCRL * 2))


def test_the_label_stands_right_after_a_short_payload(tmp_path: Path) -> None:
    """R4.6: an independent count of short rows and of labels, padded rows among them."""
    text = b"1.0,05f0,2,01,00,R\n2.0,05f0,2,01,00,T,,,,,,\n3.0,0001,0,T\n" + HCRL
    table = read(tmp_path, text)
    assert table["dlc"].to_list() == [2, 2, 0, 8]
    assert table["attack"].to_list() == [False, True, True, False]
    assert table["attack_type"].to_list() == [0, 4, 4, 0]
    assert table["payload"].to_list()[1] == [1, 0, 0, 0, 0, 0, 0, 0]


def test_candump_ids_interfaces_and_remote_frames(tmp_path: Path) -> None:
    rows = (
        b"(1.5) can1 7FF#", b"(2.5) can0 00000044#11", b"(3.5) can1 1FFFFFFF#1122334455667788",
        b"(4.5) can10 044#R", b"(5.5) can0 044#R8",
    )  # fmt: skip
    table = read(tmp_path, b"\n".join(rows) + b"\n", "drive.log")
    assert table["channel"].to_list() == [0, 1, 0, 2, 1]
    assert table["arbitration_id"].to_list() == [0x7FF, 0x44, 0x1FFFFFFF, 0x44, 0x44]
    assert table["extended"].to_list() == [False, True, True, False, False]
    assert table["dlc"].to_list() == [0, 1, 8, 0, 0]
    assert table["attack"].null_count() == 5


def test_text_flags_are_remote_extended_and_error(tmp_path: Path) -> None:
    row = b"Timestamp: 1.5  ID: %s  %s  DLC: 1  ff\n"
    text = b"".join(row % pair for pair in ((b"0044", b"000"), (b"00000044", b"010")))
    text += row % (b"0044", b"100") + b"Timestamp: 2.5 ID: 0044 100 DLC: 8\n"
    table = read(tmp_path, text, "normal_run_data.txt")
    assert table["extended"].to_list() == [False, True, False, False]
    assert table["dlc"].to_list() == [1, 1, 0, 0]
    with pytest.raises(LogError, match="is an error frame"):
        read(tmp_path, text + row % (b"0044", b"001"))


@pytest.mark.parametrize(
    ("good", "line", "column", "reason"),
    [
        (HCRL, b"x,0316,1,05,R", "time_ns", "is not a decimal number"),
        (HCRL, b"1.0,031g,1,05,R", "arbitration_id", "not a hexadecimal"),
        (HCRL, b"1.0,0316,9,05,R", "dlc", "is not a DLC of 0 to 8"),
        (HCRL, b"1.0,0316,x,05,R", "dlc", "is not a DLC"),
        (HCRL, b"1.0,0316,8,05,R", "line", "has a DLC of 8 and 1 fields"),
        (HCRL, b"1.0,0316,1,05,06,R", "line", "has a DLC of 1 and 2 fields"),
        (HCRL, b"1.0,0316,1,05", "line", "has a DLC of 1 and 0 fields"),
        (HCRL, b"1.0,0316,2,05,,R", "byte 1", "has 0 bytes where one stands"),
        (HCRL, b"1.0,0316,2,05,1234,R", "byte 1", "has 2 bytes where one stands"),
        (HCRL, b"1.0,0316,2,05,6,R", "byte 1", "a byte has two"),
        (HCRL, b"1.0,0316,1,05,1", "attack", "is not a label; R is a regular"),
        (HCRL, b"1.0,0316", "line", "has 2 fields"),
        (TEXT, b"Timestamp: 1.0 ID: 0350 000 DLC: 2 05", "line", "has a DLC of 2 and 1 fields"),
        (TEXT, b"Timestamp: 1.0 ID: 0350 000 DLC:", "line", "ends before its DLC"),
        (TEXT, b"Timestamp: 1.0 id: 0350 000 DLC: 0", "line", "has no word ID: at place 3"),
        (TEXT, b"Timestamp: 1.0 ID: 0350 020 DLC: 0", "flags", "is not three digits"),
        (CANDUMP, b"(1.0) can0 044##011", "frame", "is a CAN FD frame"),
        (CANDUMP, b"(1.0) can0 044", "frame", "has no #"),
        (CANDUMP, b"1.0 can0 044#11", "time_ns", "is not a time in brackets"),
        (CANDUMP, b"(1.0) can0 FFF#11", "arbitration_id", "largest id of so many digits"),
        (CANDUMP, b"(1.0) can0 20000004#11", "arbitration_id", "is an error frame"),
        (CANDUMP, b"(1.0) can0 44#11", "arbitration_id", "has 2 digits"),
        (CANDUMP, b"(1.0) can0 04G#11", "arbitration_id", "is not a hexadecimal"),
        (CANDUMP, b"(1.0) can0 044#112", "payload", "a byte has two"),
        (CANDUMP, b"(1.0) can0 044#112233445566778899", "payload", "at most 8"),
        (CANDUMP, b"(1.0) can0 044#11 R", "line", "has 4 words"),
    ],
)
def test_a_bad_row_stops_the_read(
    tmp_path: Path, good: bytes, line: bytes, column: str, reason: str
) -> None:
    with pytest.raises(LogError) as caught:
        read(tmp_path, good + b"\n" + line + b"\n" + good + b"worse\n")
    assert f"line 3, column {column}: '" in str(caught.value)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        HCRL[:-4] + b"\n",
        HCRL.replace(b",R", b",0"),
        HCRL.replace(b",8,", b",9,"),
        HCRL.replace(b"05,", b"05,21,"),
        b"Timestamp,ID,DLC,Data,Flag\n" + HCRL,
        b"1478198376.389427,0316,8,0521680921210000,R\n"[:-2] + b"?\n",
        b"vcan0 044 [5] 2A 36 6C 2B BA\n",
        b"ID: 0350 000 DLC: 0\n",
    ],
)
def test_a_first_line_of_no_dialect_is_refused_and_all_are_shown(
    tmp_path: Path, text: bytes
) -> None:
    with pytest.raises(LogError, match="line 1: no dialect has the columns") as caught:
        read(tmp_path, text + HCRL)
    for known in (HEADER, "HCRL CSV, as ", "candump, as (", "HCRL text, as Timestamp"):
        assert known in str(caught.value)


@pytest.mark.parametrize("dialect", LINES)
def test_a_log_cut_anywhere_holds_whole_messages_or_is_refused(
    tmp_path: Path, dialect: str
) -> None:
    """No frame is shortened by the cut."""
    text = content(dialect, random_rows(np.random.default_rng(3), 12))
    whole = read(tmp_path, text)
    for size in range(len(text) - 180, len(text)):
        lines = text[:size].count(b"\n") - (dialect == "csv")
        try:
            table = read(tmp_path, text[:size])
        except LogError:
            table = read(tmp_path, text[:size].rpartition(b"\n")[0] + b"\n")
            assert table.height == lines
        assert table.equals(whole.head(table.height))
        assert table.height >= lines


def test_more_interfaces_than_a_channel_can_number_are_refused(tmp_path: Path) -> None:
    lines = [b"(%d.0) can%d 044#\n" % (i, i) for i in range(257)]
    assert read(tmp_path, b"".join(lines[:256]))["channel"].to_list() == list(range(256))
    with pytest.raises(LogError, match="line 257, column channel: 'can256'"):
        read(tmp_path, b"".join(lines))
