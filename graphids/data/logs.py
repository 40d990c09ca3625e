"""CAN logs in, canonical message tables out; and the way back for the simulator.

The header line chooses the dialect; one function reads each dialect. A row that cannot be read
stops the read: nothing is guessed, padded or skipped, except blank lines.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import polars as pl

from graphids.data.log_fields import (
    Column,
    Fields,
    read_ids,
    read_labels,
    read_payloads,
    read_times,
)
from graphids.data.log_lines import Lines, LogError, Place, excerpt, open_log, read_lines
from graphids.data.messages import (
    MAX_STANDARD_ID,
    PAYLOAD_BYTES,
    attack_code,
    message_table,
    validate,
)

CAN_TRAIN_AND_TEST = ("timestamp", "arbitration_id", "data_field", "attack")
"""Columns of the can-train-and-test CSV dialect: seconds, hex, hex, 0 or 1."""

Reader = Callable[[Path, Sequence[str], Iterator[Lines]], pl.DataFrame]


def read_log(path: Path) -> pl.DataFrame:
    """Canonical message table of one log, plain or gzip, rows in the order of the file.

    The attack type of attack rows comes from the file's name and folder
    (:func:`graphids.data.messages.attack_code`).

    Raises:
        LogError: unknown header, no messages, damaged gzip data, or a row that cannot be read.
        OSError: the file cannot be opened.
    """
    path = Path(path)
    with open_log(path) as stream:
        header, lines = read_lines(stream)
        columns = [name.strip().lower() for name in header.decode("utf-8", "replace").split(",")]
        reader = READERS.get(frozenset(columns))
        if reader is None or len(set(columns)) < len(columns):
            raise LogError(f"{path}, line 1: {_header_problem(header, columns)}")
        table = reader(path, columns, lines)
    if table.is_empty():
        raise LogError(f"{path}: holds a header and no messages; remove it or record it again")
    return table


def write_log(messages: pl.DataFrame, path: Path) -> None:
    """Writes a table in the can-train-and-test dialect; ``read_log`` gives the same table back.

    Gzip where the name ends in ``.gz``; equal tables give equal files. Missing folders are made.

    Raises:
        ValueError: not a canonical table, or one that the dialect cannot hold.
    """
    path = Path(path)
    if problem := _unwritable(validate(messages), path):
        raise ValueError(f"{path} cannot hold this table: {problem}; change the table or the name")
    data = _csv_text(messages)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data, 6, mtime=0) if path.name.endswith(".gz") else data)


def _header_problem(header: bytes, columns: Sequence[str]) -> str:
    """Why no reader takes this header."""
    if not header:
        return "the file is empty; remove it or record it again"
    known = "; ".join(",".join(names) for names in (CAN_TRAIN_AND_TEST,))
    if header.startswith((b"\xff\xfe", b"\xfe\xff")):
        return f"the text is UTF-16; save it as UTF-8. Known headers: {known}"
    missing = [name for name in CAN_TRAIN_AND_TEST if name not in columns]
    missing = missing if 0 < len(missing) < len(CAN_TRAIN_AND_TEST) else []
    twice = sorted({name for name in columns if columns.count(name) > 1})
    return (
        f"no dialect has the columns {excerpt(header)}"
        + (f"; missing: {', '.join(missing)}" if missing else "")
        + (f"; twice: {', '.join(twice)}" if twice else "")
        + f". Known headers: {known}. Convert the log to one of them"
    )


def _read_can_train_and_test(
    path: Path, columns: Sequence[str], blocks: Iterator[Lines]
) -> pl.DataFrame:
    """Reads the dialect :data:`CAN_TRAIN_AND_TEST`, its columns in any order."""
    parsers: dict[str, Callable[[Fields], Column]] = dict(
        zip(CAN_TRAIN_AND_TEST, (read_times, read_ids, read_payloads, read_labels), strict=True)
    )
    parts: list[list[np.ndarray]] = []
    for lines in blocks:
        rows, fields, broken = lines.split(len(columns))
        read = {name: parsers[name](column) for name, column in zip(columns, fields, strict=True)}
        places = [broken] if broken else []
        places += [
            Place(row=column.failure[0], column=name, reason=column.failure[1])
            for name, column in read.items()
            if column.failure
        ]
        if lines.cut and columns[-1] != "attack":
            reason = "ends without a line end, so it may be cut"
            places.append(Place(row=0, column=columns[-1], reason=reason))
        if places:
            place = min(places, key=lambda place: place.row)
            raise LogError(lines.describe(path, int(rows[place.row]), place, columns))
        parts.append([read[name].values for name in CAN_TRAIN_AND_TEST])
    if not parts:
        return message_table(
            time_ns=np.zeros(0), arbitration_id=np.zeros(0), dlc=np.zeros(0),
            payload=np.zeros((0, PAYLOAD_BYTES)), attack=np.zeros(0), code=0,
        )  # fmt: skip
    time_ns, ids, payload, attack = (np.concatenate(part) for part in zip(*parts, strict=True))
    return message_table(
        time_ns=time_ns,
        arbitration_id=ids,
        dlc=payload[:, 0],
        payload=payload[:, 1:],
        attack=attack,
        code=attack_code(path),
    )


READERS: Mapping[frozenset[str], Reader] = MappingProxyType(
    {frozenset(CAN_TRAIN_AND_TEST): _read_can_train_and_test}
)
"""Reader of each dialect, by the names in its header. A new dialect is one more entry."""


def _unwritable(messages: pl.DataFrame, path: Path) -> str | None:
    """Why the can-train-and-test dialect cannot give this table back, or None."""
    payload = messages["payload"].to_numpy()
    ids, dlc = messages["arbitration_id"].to_numpy(), messages["dlc"].to_numpy()
    attack, code = messages["attack"].fill_null(False).to_numpy(), attack_code(path)
    checks = {
        "it has no rows": messages.is_empty(),
        "a value is missing": any(messages.null_count().row(0)),
        "it has messages of another channel than 0": bool((messages["channel"] != 0).any()),
        "a payload is longer than 8 bytes": bool((dlc > PAYLOAD_BYTES).any()),
        "a byte beyond a payload's length is not 0": bool(
            payload[np.arange(PAYLOAD_BYTES) >= dlc[:, None]].any()
        ),
        "extended differs from having an id above 7FF": bool(
            (messages["extended"].to_numpy() != (ids > MAX_STANDARD_ID)).any()
        ),
        f"its attack types differ from {code}, which the name stands for": bool(
            (messages["attack_type"].to_numpy() != np.where(attack, code, 0)).any()
        ),
    }
    return next((problem for problem, found in checks.items() if found), None)


def _csv_text(messages: pl.DataFrame) -> bytes:
    """The table as text: nine decimals, three or eight digits of id, upper-case hexadecimal."""
    time = pl.col("time_ns")
    digits = np.frombuffer(messages["payload"].to_numpy().tobytes().hex().upper().encode(), "S16")
    text = messages.select(
        timestamp=pl.format(
            "{}{}.{}",
            pl.when(time < 0).then(pl.lit("-")).otherwise(pl.lit("")),
            time.abs() // 10**9,
            (time.abs() % 10**9).cast(pl.String).str.zfill(9),
        ),
        arbitration_id=_hex_text(messages["arbitration_id"]),
        data_field=pl.Series(digits.astype("U16")).str.head(2 * messages["dlc"].cast(pl.Int64)),
        attack=pl.col("attack").cast(pl.UInt8),
    )
    stream = io.BytesIO()
    text.select(CAN_TRAIN_AND_TEST).write_csv(stream, quote_style="never")
    return stream.getvalue()


def _hex_text(ids: pl.Series) -> pl.Series:
    """Ids in upper-case hexadecimal: three digits, or eight where the id is extended."""
    unique = ids.unique()
    text = [f"{value:03X}" if value <= MAX_STANDARD_ID else f"{value:08X}" for value in unique]
    return ids.replace_strict(unique, text, return_dtype=pl.String)
