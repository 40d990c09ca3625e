"""The dialects of CAN logs, told by the first line of a file: a header, or the shape of a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphids.data.log_candump import CandumpReader
from graphids.data.log_fields import (
    Column,
    FieldError,
    Fields,
    read_ids,
    read_labels,
    read_payloads,
    read_times,
)
from graphids.data.log_hcrl import read_hcrl_csv, read_hcrl_text
from graphids.data.log_lines import Lines
from graphids.data.log_rows import Rows
from graphids.data.quarantine import excerpt

CAN_TRAIN_AND_TEST = ("timestamp", "arbitration_id", "data_field", "attack")
"""Columns of the can-train-and-test CSV dialect: seconds, hex, hex, 0 or 1."""

_COLUMNS: dict[str, tuple[str, Callable[[Fields], Column]]] = {
    "timestamp": ("time_ns", read_times),
    "arbitration_id": ("arbitration_id", read_ids),
    "data_field": ("payload", read_payloads),
    "attack": ("attack", read_labels),
}

BlockReader = Callable[[Lines], Rows]
"""Reads the blocks of one log, in order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Dialect:
    """A dialect without a header."""

    name: str
    """Name in messages."""
    row: re.Pattern[bytes]
    """Shape of a first row; generous where the reader says better what is wrong."""
    example: str
    """What a row looks like."""
    reader: Callable[[], BlockReader]
    """A reader for one log."""


HEADERLESS = (
    Dialect(
        name="HCRL CSV",
        row=re.compile(
            rb"[-+.\deE]+\s*,\s*[\da-fA-FxX]+\s*,\s*0?[0-8]\s*,(?:[\s\da-fA-FxX]+,){0,8}\s*[RTrt][\s,]*"
        ),
        example="1478198376.389427,0316,8,05,21,68,09,21,21,00,6f,R",
        reader=lambda: read_hcrl_csv,
    ),
    Dialect(
        name="HCRL text",
        row=re.compile(rb"\s*Timestamp:\s*\d.*", re.DOTALL),
        example="Timestamp: 1479121434.850202 ID: 0350 000 DLC: 2 05 28",
        reader=lambda: read_hcrl_text,
    ),
    Dialect(
        name="candump",
        row=re.compile(rb"\s*\([\d.]+\)\s+\S+\s+[\da-fA-F]+#.*", re.DOTALL),
        example="(1436509052.249713) vcan0 044#2A366C2BBA",
        reader=CandumpReader,
    ),
)
"""Dialects whose first line is a row. A new one is one more entry."""


def choose_reader(first_line: bytes) -> tuple[BlockReader, bool]:
    """Reader of the log that begins with this line, and whether the line is a header.

    Raises:
        ValueError: no dialect begins like that; says which ones there are.
    """
    names = [name.strip().lower() for name in first_line.decode("utf-8", "replace").split(",")]
    if sorted(names) == sorted(CAN_TRAIN_AND_TEST):
        return _can_train_and_test(names), True
    for dialect in HEADERLESS:
        if dialect.row.fullmatch(first_line.rstrip()):
            return dialect.reader(), False
    raise ValueError(_problem(first_line.rstrip(b"\r\n"), names))


def _problem(first_line: bytes, names: Sequence[str]) -> str:
    """Why no dialect begins with this line."""
    if not first_line:
        return "the file is empty; remove it or record it again"
    header = ",".join(CAN_TRAIN_AND_TEST)
    if first_line.startswith((b"\xff\xfe", b"\xfe\xff")):
        return f"the text is UTF-16; save it as UTF-8. Known headers: {header}"
    missing = [name for name in CAN_TRAIN_AND_TEST if name not in names]
    missing = missing if 0 < len(missing) < len(CAN_TRAIN_AND_TEST) else []
    twice = [name for name in CAN_TRAIN_AND_TEST if names.count(name) > 1]
    examples = "; ".join(f"{dialect.name}, as {dialect.example}" for dialect in HEADERLESS)
    return (
        f"no dialect has the columns {excerpt(first_line)}, nor such a first row"
        + (f"; missing: {', '.join(missing)}" if missing else "")
        + (f"; twice: {', '.join(twice)}" if twice else "")
        + f". Known headers: {header}. Known rows without a header: {examples}. "
        "Convert the log to one of them"
    )


def _can_train_and_test(names: Sequence[str]) -> BlockReader:
    """Reader of the dialect :data:`CAN_TRAIN_AND_TEST`, its columns in this order."""

    def read(lines: Lines) -> Rows:
        rows = Rows(lines, lines.between_commas())
        if lines.cut and names[-1] != "attack":
            error = FieldError("truncated_tail", "ends without a line end, so it may be cut")
            rows.refuse(dict.fromkeys(range(len(rows)), error))
        rows.refuse_all(
            rows.cells.count != len(names),
            "fields",
            lambda row: _wrong_count(int(rows.cells.count[row]), len(names)),
        )
        for place, name in enumerate(names):
            rows.read(name, rows.cells.column(place), _COLUMNS[name][1])
        rows.columns = {_COLUMNS[name][0]: values for name, values in rows.columns.items()}
        return rows

    return read


def _wrong_count(found: int, wanted: int) -> str:
    """Reason of a row with another number of fields."""
    return f"has {found} field{'s' * (found != 1)} instead of {wanted}"
