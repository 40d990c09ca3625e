"""Logs are read exactly or not at all, and what is written is read back equal."""

from __future__ import annotations

import csv
import gzip
from decimal import ROUND_DOWN, Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphids.data import log_lines
from graphids.data.log_fields import one_time_ns
from graphids.data.logs import LogError, read_log, write_log
from graphids.data.messages import message_table

HEADER = b"timestamp,arbitration_id,data_field,attack\n"
ROWS = b"1672531200.0,0F1,28030040,0\n1672531200.001164,0C1,21D609A5233BD342,1\n"


def log(tmp_path, content: bytes, name: str = "DoS-1.csv"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def read(tmp_path, *lines: bytes):
    return read_log(log(tmp_path, HEADER + b"".join(line + b"\n" for line in lines)))


def test_values_of_plain_rows(tmp_path):
    table = read_log(log(tmp_path, HEADER + ROWS))
    assert table.rows()[1] == (
        1672531200001164000, 0, 0xC1, False, 8,
        [0x21, 0xD6, 0x09, 0xA5, 0x23, 0x3B, 0xD3, 0x42], True, 1,
    )  # fmt: skip
    assert table["dlc"].to_list() == [4, 8]
    assert table["attack_type"].to_list() == [0, 1]


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + HEADER + ROWS,
        (HEADER + ROWS).replace(b"\n", b"\r\n"),
        HEADER + ROWS + b"\n\n  \r\n",
        HEADER + b"\n" + ROWS.replace(b"\n", b"\n\n"),
        (HEADER + ROWS).rstrip(b"\n"),
        (HEADER + ROWS).replace(b",", b" , ").replace(b"0F1", b"\t0xf1"),
        (HEADER + ROWS).replace(b"0C1", b"0x000000C1").replace(b"21D609A5", b"0x21 d6.09 a5"),
        gzip.compress(HEADER + ROWS),
        gzip.compress(HEADER + ROWS[:20]) + gzip.compress(ROWS[20:]),
        HEADER.replace(b"attack", b" Attack ") + ROWS,
    ],
)
def test_spellings_that_mean_the_same(tmp_path, content):
    assert read_log(log(tmp_path, content)).equals(
        read_log(log(tmp_path, HEADER + ROWS, "DoS.csv"))
    )


def test_columns_in_another_order(tmp_path):
    content = b"attack,data_field,timestamp,arbitration_id\n0,28030040,1672531200.0,0F1\n"
    row = read_log(log(tmp_path, content)).row(0)
    assert row == read(tmp_path, b"1672531200.0,0F1,28030040,0").row(0)


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("0", 0),
        ("5.", 5_000_000_000),
        (".5", 500_000_000),
        ("-0.25", -250_000_000),
        ("0.0000000019", 1),
        ("1672531200.00023981234567890123456789", 1672531200000239812),
        ("1e-05", 10_000),
        ("1.6725312E9", 1672531200000000000),
        ("9223372034.999999999", 9223372034999999999),
        ("0000001672531200.5", 1672531200500000000),
    ],
)
def test_times_are_exact(tmp_path, text, time_ns):
    assert read(tmp_path, f"{text},0F1,00,0".encode())["time_ns"].to_list() == [time_ns]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9_223_372_034),
            st.text("0123456789", max_size=25),
            st.integers(0, 0x1FFFFFFF),
            st.sampled_from(["{:x}", "{:03X}", "0x{:X}", "{:08X}", " {:03x}\t"]),
            st.binary(max_size=8),
            st.booleans(),
        ),
        min_size=1,
        max_size=30,
    )
)
@settings(max_examples=100, deadline=None)
def test_agrees_with_a_row_by_row_reader(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("logs") / "gear-1.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["timestamp", "arbitration_id", "data_field", "attack"])
        for seconds, decimals, number, style, payload, attack in rows:
            time = f"{seconds}.{decimals}"
            writer.writerow([time, style.format(number), payload.hex(), int(attack)])
    table = read_log(path)
    with path.open(newline="") as stream:
        for found, row in zip(table.iter_rows(named=True), csv.DictReader(stream), strict=True):
            exact = Decimal(row["timestamp"]).scaleb(9).to_integral_value(ROUND_DOWN)
            payload = bytes.fromhex(row["data_field"])
            number = int(row["arbitration_id"], 16)
            assert found == {
                "time_ns": int(exact),
                "channel": 0,
                "arbitration_id": number,
                "extended": number > 0x7FF,
                "dlc": len(payload),
                "payload": list(payload.ljust(8, b"\0")),
                "attack": row["attack"] == "1",
                "attack_type": 3 * int(row["attack"]),
            }


@pytest.mark.parametrize(
    ("line", "column", "reason"),
    [
        (b"abc,0F1,00,0", "timestamp", "is not a decimal number"),
        (b",0F1,00,0", "timestamp", "is not a decimal number"),
        (b"nan,0F1,00,0", "timestamp", "is not a decimal number"),
        (b"inf,0F1,00,0", "timestamp", "is not a decimal number"),
        (b"1_0.5,0F1,00,0", "timestamp", "is not a decimal number"),
        (b"1.2.3,0F1,00,0", "timestamp", "is not a decimal number"),
        (b"1.5e-9,0F1,00,0", "timestamp", "not a whole number of nanoseconds"),
        (b"1672531200000000,0F1,00,0", "timestamp", "its unit seconds"),
        (b"1e999999999,0F1,00,0", "timestamp", "its unit seconds"),
        (b"1.0,,00,0", "arbitration_id", "not a hexadecimal"),
        (b"1.0,0G1,00,0", "arbitration_id", "not a hexadecimal"),
        (b"1.0,-F1,00,0", "arbitration_id", "not a hexadecimal"),
        (b"1.0,20000000,00,0", "arbitration_id", "29-bit"),
        (b"1.0,1FFFFFFFF,00,0", "arbitration_id", "29-bit"),
        (b"1.0,0F1,123,0", "data_field", "a byte has two"),
        (b"1.0,0F1,0 0 0 0,0", "data_field", "a byte has two"),
        (b"1.0,0F1,0.1.2.3,0", "data_field", "a byte has two"),
        (b"1.0,0F1,0 1 02,0", "data_field", "a byte has two"),
        (b"1.0,0F1,0X1G,0", "data_field", "is not hexadecimal"),
        (b"1.0,0F1,001122334455667788,0", "data_field", "at most 8"),
        (b"1.0,0F1,00,2", "attack", "is not a label"),
        (b"1.0,0F1,00,", "attack", "is not a label"),
        (b"1.0,0F1,00,true", "attack", "is not a label"),
        (b"1.0,0F1,00", "line", "has 3 fields instead of 4"),
        (b"1.0,0F1,00,0,9", "line", "has 5 fields instead of 4"),
        (b"\0" * 64, "line", "NUL bytes"),
        (b"1.0,0\0F,00,0", "arbitration_id", "NUL bytes"),
    ],
)
def test_a_bad_row_stops_the_read(tmp_path, line, column, reason):
    path = log(tmp_path, HEADER + ROWS + b"\r\n" + line + b"\n" + ROWS + b"worse\n")
    with pytest.raises(LogError) as caught:
        read_log(path)
    message = str(caught.value)
    assert f"{path}, line 5, column {column}: '" in message
    assert reason in message
    assert message.endswith("repair or remove the line and read again")
    assert "\0" not in message


def test_the_first_of_several_faults_is_named(tmp_path):
    with pytest.raises(LogError, match=r"line 3, column attack"):
        read(tmp_path, b"1.0,0F1,00,0", b"1.0,0F1,00,x", b"x,0F1,00,0", b"1.0")


def test_the_excerpt_is_short_and_escaped(tmp_path):
    with pytest.raises(LogError) as caught:
        read(tmp_path, b"1.0,0F1," + b"\xff\x1b" * 500 + b",0")
    shown = str(caught.value).split("'")[1]
    assert len(shown) <= 80
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (HEADER, "holds a header and no messages"),
        (HEADER + b"\n\n", "holds a header and no messages"),
        (b"timestamp,arbitration_id,attack\n", "missing: data_field"),
        (b"timestamp,timestamp,arbitration_id,data_field,attack\n", "twice: timestamp"),
        (b"Time;ID;Data\n1;2;3\n", "no dialect has the columns 'Time;ID;Data'"),
        (HEADER.decode().encode("utf-16"), "UTF-16"),
        (gzip.compress(HEADER + ROWS)[:-12], "cut or damaged"),
        (gzip.compress(HEADER + ROWS)[:-8] + b"\0" * 8, "cut or damaged"),
        (gzip.compress(HEADER + ROWS) + b"tail", "cut or damaged"),
        (HEADER + ROWS + b"1672531201.0,0F", "the last line is cut"),
        (HEADER + ROWS + b"1672531201.0,0F1,00,", "the last line is cut"),
        (b"attack,timestamp,arbitration_id,data_field\n0,1.0,0F1,0011", "it may be cut"),
    ],
)
def test_a_bad_file_is_refused_with_its_name(tmp_path, content, reason):
    path = log(tmp_path, content)
    with pytest.raises(LogError, match=reason) as caught:
        read_log(path)
    assert str(path) in str(caught.value)


def test_rows_across_block_borders(tmp_path, monkeypatch):
    lines = b"".join(b"%d.%03d,%03X,%s,0\n" % (i, i, i, b"AB" * (i % 9)) for i in range(300))
    path = log(tmp_path, HEADER + lines)
    whole = read_log(path)
    monkeypatch.setattr(log_lines, "_BLOCK", 97)
    assert read_log(path).equals(whole)
    path.write_bytes(path.read_bytes() + b"bad,line\n")
    with pytest.raises(LogError, match="line 302, column line"):
        read_log(path)


@given(st.integers(1, 40), st.integers(0, 2**32), st.sampled_from(["a.csv", "a.csv.gz"]))
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read_back(tmp_path_factory, rows, seed, name):
    rng = np.random.default_rng(seed)
    dlc = rng.integers(0, 9, rows)
    payload = rng.integers(0, 256, (rows, 8)) * (np.arange(8) < dlc[:, None])
    table = message_table(
        time_ns=rng.integers(-(2**62), 2**62, rows),
        arbitration_id=rng.integers(0, 1 << rng.integers(1, 30, rows)),
        dlc=dlc,
        payload=payload,
        attack=rng.integers(0, 2, rows).astype(bool),
        code=4,
    )
    path = tmp_path_factory.mktemp("logs") / "rpm" / name
    write_log(table, path)
    assert read_log(path).equals(table)
    first = path.read_bytes()
    write_log(table, path)
    assert path.read_bytes() == first


def test_a_table_that_the_dialect_cannot_hold_is_not_written(tmp_path):
    table = read_log(log(tmp_path, HEADER + ROWS))
    with pytest.raises(ValueError, match="attack types"):
        write_log(table, tmp_path / "fuzzing-1.csv")
    with pytest.raises(ValueError, match="no rows"):
        write_log(table.head(0), tmp_path / "DoS-2.csv")
    with pytest.raises(ValueError, match="not 0"):
        write_log(table.with_columns(dlc=table["dlc"] - 1), tmp_path / "DoS-2.csv")
    assert not (tmp_path / "DoS-2.csv").exists()


@pytest.mark.parametrize("text", ["1e-10", "1.0000000001e0", "Infinity", "1e", "0x10", "١.٥"])
def test_inexact_and_foreign_times_are_refused(text):
    with pytest.raises(ValueError, match="is not"):
        one_time_ns(text.encode())


def test_real_captures_hold_what_their_description_says(real_data):
    table = read_log(real_data / "set_03" / "train_02_with_attacks" / "fuzzing-3.csv.gz")
    attacks = table.filter(table["attack"])
    assert int((attacks["dlc"] == 0).sum()) == 237
    assert attacks["attack_type"].unique().to_list() == [2]
    kia = read_log(real_data / "hcrl_sa" / "train_02_with_attacks" / "DoS-kia.csv.gz")
    assert set(kia.filter(kia["attack"])["arbitration_id"]) == {0}
