"""Random messages written in every dialect, and read back line by line without sharing code."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

Row = dict[str, Any]

HEADER = "timestamp,arbitration_id,data_field,attack"


def random_rows(rng: np.random.Generator, num: int) -> list[Row]:
    """Messages that every dialect can hold: 11-bit ids, microseconds, one bus."""
    rows = []
    for micro in np.cumsum(rng.integers(0, 900, num)) + 1_478_198_376_389_427:
        payload = rng.integers(0, 256, rng.choice([0, 2, 5, 8, 8, 8]), dtype=np.uint8).tobytes()
        number, attack = int(rng.integers(0, 0x800)), bool(rng.random() < 0.3)
        rows.append({"micro": int(micro), "id": number, "payload": payload, "attack": attack})
    return rows


def seconds(row: Row) -> str:
    return f"{row['micro'] // 10**6}.{row['micro'] % 10**6:06d}"


def csv_line(row: Row) -> str:
    return f"{seconds(row)},{row['id']:03X},{row['payload'].hex()},{int(row['attack'])}"


def hcrl_line(row: Row) -> str:
    cells = [f"{byte:02x}" for byte in row["payload"]]
    start = [seconds(row), f"{row['id']:04x}", str(len(cells))]
    return ",".join([*start, *cells, "T" if row["attack"] else "R"])


def text_line(row: Row) -> str:
    payload = row["payload"].hex(" ")
    dlc = len(row["payload"])
    return f"Timestamp: {seconds(row)}        ID: {row['id']:04x}    000    DLC: {dlc}    {payload}"


def candump_line(row: Row) -> str:
    return f"({seconds(row)}) can0 {row['id']:03X}#{row['payload'].hex().upper()}"


LINES = {"csv": csv_line, "hcrl": hcrl_line, "text": text_line, "candump": candump_line}
"""A message as a line of each dialect."""
LABELLED = ("csv", "hcrl")


def content(dialect: str, rows: list[Row]) -> bytes:
    """A whole log."""
    lines = [LINES[dialect](row) for row in rows]
    return "".join(line + "\n" for line in ([HEADER] if dialect == "csv" else []) + lines).encode()


def parsed(dialect: str, line: str) -> tuple[str, int, bytes, bool | None]:
    """Time as text, id, payload and label of one line, by regular expression."""
    if dialect == "csv":
        time, number, payload, label = line.split(",")
        return time, int(number, 16), bytes.fromhex(payload), label == "1"
    if dialect == "hcrl":
        time, number, dlc, *rest = line.split(",")
        size = int(dlc)
        return time, int(number, 16), bytes.fromhex("".join(rest[:size])), rest[size] == "T"
    shapes = {
        "text": r"Timestamp: (\S+) +ID: (\w+) +000 +DLC: \d +(.*)",
        "candump": r"\((\S+)\) \w+ (\w+)#(\w*)",
    }
    found = re.fullmatch(shapes[dialect], line)
    assert found is not None
    return found[1], int(found[2], 16), bytes.fromhex(found[3]), None
