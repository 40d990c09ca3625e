"""CAN logs in, canonical message tables out; and the way back for the simulator.

The first line chooses the dialect. A row that cannot be read stops the read, or is left out and
counted where the caller asks for that: nothing is guessed or padded, and nothing is skipped
unseen except blank lines.
"""

from __future__ import annotations

import gzip
import io
from collections import Counter
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import polars as pl

from graphids.data.log_dialects import CAN_TRAIN_AND_TEST, choose_reader
from graphids.data.log_lines import LogError, blocks, first_line, open_log
from graphids.data.messages import (
    MAX_STANDARD_ID,
    PAYLOAD_BYTES,
    attack_code,
    empty_table,
    message_table,
    validate,
)
from graphids.data.quarantine import MAX_EXAMPLES, Fault, Quarantine

OnBad = Literal["raise", "quarantine"]
"""What to do with a row that cannot be read: stop, or leave it out and count it."""


def read_log(path: Path, on_bad: OnBad = "raise") -> pl.DataFrame:
    """Canonical message table of one log, plain or gzip, rows in the order of the file.

    Dialects: can-train-and-test CSV, HCRL Car-Hacking CSV and text, candump
    (:mod:`graphids.data.log_dialects`). The attack type of attack rows comes from the file's name
    and folder (:func:`graphids.data.messages.attack_code`).

    Args:
        path: the log.
        on_bad: ``quarantine`` leaves bad rows out; :func:`read_log_quarantined` also counts them.

    Raises:
        LogError: unknown dialect, no messages, damaged gzip data, or a row that cannot be read.
        OSError: the file cannot be opened.
        ValueError: ``on_bad`` is neither of the two words.
    """
    if on_bad not in get_args(OnBad):
        raise ValueError(f"on_bad must be one of {', '.join(get_args(OnBad))} (got {on_bad!r})")
    return _read(Path(path), on_bad)[0]


def read_log_quarantined(path: Path) -> tuple[pl.DataFrame, Quarantine]:
    """Message table of the rows that can be read, and an account of the others.

    The table is that of the same log without the lines of the bad rows.

    Raises:
        LogError: unknown dialect, no message that can be read, or damaged gzip data.
        OSError: the file cannot be opened.
    """
    return _read(Path(path), "quarantine")


def is_log(path: Path) -> bool:
    """Whether a file begins as a log of a known dialect does.

    Raises:
        LogError: damaged gzip data.
        OSError: the file cannot be opened.
    """
    with open_log(Path(path)) as stream:
        line, _ = first_line(stream)
    try:
        choose_reader(line)
    except ValueError:
        return False
    return True


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


def _read(path: Path, on_bad: OnBad) -> tuple[pl.DataFrame, Quarantine]:
    """Table and account of one log; the account of a strict read has no bad rows."""
    parts: list[dict[str, np.ndarray]] = []
    bad: Counter[str] = Counter()
    examples: list[Fault] = []
    with open_log(path) as stream:
        line, number = first_line(stream)
        try:
            reader, is_header = choose_reader(line)
        except ValueError as error:
            raise LogError(f"{path}, line {number}: {error}") from None
        before, number = (b"", number + 1) if is_header else (line, number)
        for lines in blocks(stream, before, number):
            rows = reader(lines)
            if rows.faults and on_bad == "raise":
                raise LogError(_sentence(path, min(rows.faults, key=lambda fault: fault.line)))
            bad.update(fault.kind for fault in rows.faults)
            examples = sorted([*examples, *rows.faults], key=lambda fault: fault.line)
            examples = examples[:MAX_EXAMPLES]
            parts.append(rows.columns)
    table = _table(path, parts)
    if table.is_empty() and bad:
        raise LogError(f"{_sentence(path, examples[0])}; no row of {bad.total()} can be read")
    if table.is_empty():
        raise LogError(f"{path}: holds a header and no messages; remove it or record it again")
    kept = table.height
    return table, Quarantine(
        rows_in=kept + bad.total(), rows_kept=kept, bad=dict(bad), examples=tuple(examples)
    )


def _table(path: Path, parts: list[dict[str, np.ndarray]]) -> pl.DataFrame:
    """Canonical table from the columns of all blocks."""
    if not parts:
        return empty_table()
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    payload = columns["payload"]
    return message_table(
        time_ns=columns["time_ns"],
        arbitration_id=columns["arbitration_id"],
        dlc=payload[:, 0],
        payload=payload[:, 1:],
        attack=columns.get("attack"),
        code=attack_code(path),
        extended=columns.get("extended"),
        channel=columns.get("channel"),
    )


def _sentence(path: Path, fault: Fault) -> str:
    """The whole message about a bad row."""
    return (
        f"{path}, line {fault.line}, column {fault.column}: {fault.excerpt} {fault.reason}; "
        "repair or remove the line and read again"
    )


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
