"""Rows of the HCRL Car-Hacking logs: payloads of as many cells as the DLC says, one byte each.

Song, Woo, Kim: In-vehicle network intrusion detection using deep convolutional neural network,
Vehicular Communications 2020. The labelled logs are CSV without a header; the attack-free one is
what python-can printed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from graphids.data.log_fields import (
    HEX,
    Column,
    FieldError,
    Fields,
    numbers,
    odd_ones,
    one_payload,
    read_ids,
    read_times,
)
from graphids.data.log_lines import Lines
from graphids.data.log_rows import Rows
from graphids.data.messages import MAX_STANDARD_ID, PAYLOAD_BYTES

_CSV_HEAD, _CSV_LEAST = 3, 4  # cells before the payload, and without one
_TEXT_HEAD = 7
_TEXT_WORDS = {0: b"Timestamp:", 2: b"ID:", 5: b"DLC:"}
_REMOTE, _EXTENDED, _ERROR = 4, 2, 1  # the three flags read as a binary number


def read_hcrl_csv(lines: Lines) -> Rows:
    """Rows ``time,id,dlc,byte 0,...,flag``: R regular, T injected, right after the last byte.

    Empty cells at the end of a short row are accepted: spreadsheets add them.
    """
    rows = Rows(lines, lines.between_commas().without_empty_ends())
    rows.refuse_all(
        rows.cells.count < _CSV_LEAST,
        "fields",
        lambda row: f"has {rows.cells.count[row]} fields; time, id, dlc and flag are {_CSV_LEAST}",
    )
    rows.read("dlc", rows.cells.column(2), _read_dlcs)
    _read_payload(rows, _CSV_HEAD, around=_CSV_LEAST)
    rows.read("time_ns", rows.cells.column(0), read_times)
    rows.read("arbitration_id", rows.cells.column(1), read_ids)
    rows.read("attack", rows.cells.column(rows.cells.count - 1), _read_flags)
    return rows


def read_hcrl_text(lines: Lines) -> Rows:
    """Rows ``Timestamp: seconds ID: id flags DLC: dlc byte 0 ...``, which carry no label.

    The flags are three binary digits: remote frame, extended id, error frame. A remote frame has no
    payload, whatever its DLC.
    """
    rows = Rows(lines, lines.between_spaces())
    rows.refuse_all(rows.cells.count < _TEXT_HEAD, "fields", lambda _: "ends before its DLC")
    for place, word in _TEXT_WORDS.items():
        wrong = ~rows.cells.column(place).equal(word)
        rows.refuse_all(wrong, "fields", partial(_lacks, word.decode(), place))
    flags = rows.read("flags", rows.cells.column(4), _read_flag_digits)
    rows.refuse_all(flags & _ERROR > 0, "error_frame", lambda _: "is an error frame, no message")
    dlc = rows.read("dlc", rows.cells.column(6), _read_dlcs)
    remote = rows.columns["flags"] & _REMOTE > 0
    dlc[remote] = 0
    rows.cells = replace(rows.cells, count=np.where(remote, _TEXT_HEAD, rows.cells.count))
    _read_payload(rows, _TEXT_HEAD, around=_TEXT_HEAD)
    rows.read("time_ns", rows.cells.column(1), read_times)
    ids = rows.read("arbitration_id", rows.cells.column(3), read_ids)
    flags = rows.columns.pop("flags")
    rows.columns["extended"] = (ids > MAX_STANDARD_ID) | (flags & _EXTENDED > 0)
    return rows


def _lacks(word: str, place: int, _: int) -> str:
    """Reason of a row without a fixed word."""
    return f"has no word {word} at place {place + 1}"


def _read_payload(rows: Rows, head: int, around: int) -> None:
    """Payload ``[N, 9]``, the DLC and eight bytes, from the cells after the first ``head``.

    Args:
        rows: rows with the column ``dlc``, which this takes.
        head: cells before the payload.
        around: cells before and after it.
    """

    def reason(row: int) -> str:
        """What a row has and what its DLC says."""
        held = rows.cells.count[row] - around
        return f"has a DLC of {rows.columns['dlc'][row]} and {held} fields where its bytes stand"

    rows.refuse_all(rows.cells.count - around < rows.columns["dlc"], "dlc_short", reason)
    rows.refuse_all(rows.cells.count - around > rows.columns["dlc"], "dlc_long", reason)
    for byte in range(PAYLOAD_BYTES):
        present = rows.columns["dlc"] > byte
        cells = rows.cells.column(np.where(present, head + byte, 0))
        rows.read(f"byte {byte}", cells, partial(_read_bytes, present=present))
    names = ("dlc", *(f"byte {byte}" for byte in range(PAYLOAD_BYTES)))
    rows.columns["payload"] = np.stack([rows.columns.pop(name) for name in names], axis=1)


def _read_bytes(fields: Fields, present: np.ndarray) -> Column:
    """One byte of each payload that has it, else 0; values ``[N]``, uint8."""
    high, low = HEX[fields.at(fields.start)], HEX[fields.at(fields.start + 1)]
    known = (fields.end - fields.start == 2) & ((high | low) < 16)
    odd, errors = odd_ones(fields, known | ~present, _one_byte)
    values = np.where(present, (high << 4) | low, 0)
    values[list(odd)] = list(odd.values())
    return Column(values=values, errors=errors)


def _one_byte(field: bytes) -> int:
    """Value of one byte in hexadecimal, with or without ``0x``.

    Raises:
        FieldError: not exactly one byte.
    """
    payload = one_payload(field)
    if len(payload) != 1:
        raise FieldError("hex", f"has {len(payload)} bytes where one stands")
    return payload[0]


def _read_dlcs(fields: Fields) -> Column:
    """DLCs; values ``[N]``, uint8."""
    character = fields.at(fields.start)
    known = (fields.end - fields.start == 1) & (character >= ord("0")) & (character <= ord("8"))
    odd, errors = odd_ones(fields, known, _one_dlc)
    values = character - np.uint8(ord("0"))
    values[list(odd)] = list(odd.values())
    return Column(values=values, errors=errors)


def _one_dlc(field: bytes) -> int:
    """DLC of one field.

    Raises:
        FieldError: not a number, or more than a classic frame holds.
    """
    if not field.isdigit():
        raise FieldError("dlc", "is not a DLC")
    if len(field) > 2 or int(field) > PAYLOAD_BYTES:
        raise FieldError("dlc", f"is not a DLC of 0 to {PAYLOAD_BYTES}")
    return int(field)


def _read_flags(fields: Fields) -> Column:
    """Labels; values ``[N]``, boolean, true for T."""
    letter = fields.at(fields.start) | 0x20
    known = (fields.end - fields.start == 1) & ((letter == ord("r")) | (letter == ord("t")))
    refuse = _refusal("label", "is not a label; R is a regular message and T an injected one")
    return Column(values=letter == ord("t"), errors=odd_ones(fields, known, refuse)[1])


def _read_flag_digits(fields: Fields) -> Column:
    """Three binary digits as a number; values ``[N]``, int64."""
    length = fields.end - fields.start
    values, known = numbers(fields, fields.end, np.minimum(length, 3), base=2)
    refuse = _refusal("flags", "is not three digits of 0 and 1: remote, extended, error")
    return Column(values=values, errors=odd_ones(fields, known & (length == 3), refuse)[1])


def _refusal(kind: str, reason: str) -> Callable[[bytes], int]:
    """A function for one field that accepts none."""

    def refuse(_: bytes) -> int:
        raise FieldError(kind, reason)

    return refuse
