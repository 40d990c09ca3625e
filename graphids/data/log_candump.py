"""Rows of ``candump -L``: one frame a line, without labels; interfaces become channels."""

from __future__ import annotations

import numpy as np

from graphids.data.log_fields import (
    Column,
    FieldError,
    Fields,
    numbers,
    odd_ones,
    read_payloads,
    read_times,
)
from graphids.data.log_lines import Lines
from graphids.data.log_rows import Rows
from graphids.data.messages import MAX_EXTENDED_ID, MAX_STANDARD_ID, PAYLOAD_BYTES

_STANDARD_DIGITS, _EXTENDED_DIGITS = 3, 8
_MAX_CHANNELS = 256
_HASH = ord("#")


class CandumpReader:
    """Reads the blocks of one log in order: channels count interfaces as they appear."""

    def __init__(self) -> None:
        """No interface is known as yet."""
        self._interfaces: list[bytes] = []

    def __call__(self, lines: Lines) -> Rows:
        """Rows ``(seconds) interface id#payload``.

        An id of eight digits is an extended one. ``R`` for a payload is a remote frame, which has
        none.
        """
        rows = Rows(lines, lines.between_spaces())
        rows.refuse_all(
            rows.cells.count != 3,
            "fields",
            lambda row: f"has {rows.cells.count[row]} words; time, interface and frame are 3",
        )
        rows.read("time_ns", rows.cells.column(0), _read_bracketed_times)
        hashes = rows.read("frame", rows.cells.column(2), _find_hashes)
        frame = rows.cells.column(2)
        number = Fields(text=frame.text, start=frame.start, end=hashes)
        rows.read("arbitration_id", number, _read_can_ids)
        hashes, frame = rows.columns.pop("frame"), rows.cells.column(2)
        rows.columns["extended"] = hashes - frame.start == _EXTENDED_DIGITS
        start = hashes + 1
        remote = _is_remote(Fields(text=frame.text, start=start, end=frame.end))
        if lines.cut:
            short = ~remote & (frame.end - start < 2 * PAYLOAD_BYTES)
            error = FieldError("truncated_tail", "ends without a line end, so it may be cut")
            rows.refuse(dict.fromkeys(np.flatnonzero(short).tolist(), error))
            start, remote, frame = start[~short], remote[~short], rows.cells.column(2)
        end = np.where(remote, start, frame.end)
        rows.read("payload", Fields(text=frame.text, start=start, end=end), read_payloads)
        rows.read("channel", rows.cells.column(1), self._read_channels)
        return rows

    def _read_channels(self, fields: Fields) -> Column:
        """Number of each interface; values ``[N]``, uint8."""
        values = np.zeros(len(fields.start), dtype=np.uint8)
        rest = np.arange(len(values))
        for number in range(_MAX_CHANNELS):
            if not rest.size:
                break
            if number == len(self._interfaces):
                self._interfaces.append(fields[rest[0]])
            left = Fields(text=fields.text, start=fields.start[rest], end=fields.end[rest])
            same = left.equal(self._interfaces[number])
            values[rest[same]] = number
            rest = rest[~same]
        error = FieldError("channel", f"is one more interface than the {_MAX_CHANNELS} that fit")
        return Column(values=values, errors=dict.fromkeys(rest.tolist(), error))


def _read_bracketed_times(fields: Fields) -> Column:
    """Nanoseconds of decimal seconds in brackets; values ``[N]``, int64."""
    opened = fields.at(fields.start) == ord("(")
    closed = fields.text[fields.end - 1] == ord(")")
    inside = Fields(
        text=fields.text,
        start=fields.start + opened,
        end=np.maximum(fields.end - closed, fields.start + opened),
    )
    column = read_times(inside)
    error = FieldError("time", "is not a time in brackets")
    bare = np.flatnonzero(~(opened & closed)).tolist()
    return Column(values=column.values, errors={**column.errors, **dict.fromkeys(bare, error)})


def _find_hashes(fields: Fields) -> Column:
    """Where each frame's first # stands; values ``[N]``, int64, positions in the block."""
    hashes = np.append(np.flatnonzero(fields.text == _HASH), len(fields.text))
    values = hashes[np.searchsorted(hashes, fields.start)]
    single = (values < fields.end) & (fields.at(values + 1) != _HASH)
    return Column(values=values, errors=odd_ones(fields, single, _one_frame)[1])


def _one_frame(field: bytes) -> int:
    """Refuses a frame that is not classic CAN.

    Raises:
        FieldError: always.
    """
    if b"##" in field:
        raise FieldError("can_fd", "is a CAN FD frame, and a message table holds classic ones")
    raise FieldError("fields", "has no # between its id and its payload")


def _read_can_ids(fields: Fields) -> Column:
    """Ids of three or eight hexadecimal digits; values ``[N]``, int64."""
    length = fields.end - fields.start
    values, digits = numbers(fields, fields.end, np.minimum(length, 8), base=16)
    standard = (length == _STANDARD_DIGITS) & (values <= MAX_STANDARD_ID)
    extended = (length == _EXTENDED_DIGITS) & (values <= MAX_EXTENDED_ID)
    return Column(
        values=values, errors=odd_ones(fields, digits & (standard | extended), _one_can_id)[1]
    )


def _one_can_id(field: bytes) -> int:
    """Says what is wrong with an id.

    Raises:
        FieldError: always.
    """
    if set(field.lower()) - set(b"0123456789abcdef"):
        raise FieldError("hex", "is not a hexadecimal arbitration id")
    if len(field) not in (_STANDARD_DIGITS, _EXTENDED_DIGITS):
        raise FieldError("id_range", f"has {len(field)} digits; an id has 3, an extended one 8")
    if len(field) == _EXTENDED_DIGITS and 0x20000000 <= int(field, 16) < 0x40000000:
        raise FieldError("error_frame", "is an error frame, which is no message")
    raise FieldError("id_range", "is beyond the largest id of so many digits")


def _is_remote(fields: Fields) -> np.ndarray:
    """Whether each payload is that of a remote frame, ``R`` and perhaps a DLC ``[N]``."""
    length = fields.end - fields.start
    dlc = fields.at(fields.start + 1)
    bare = (length == 1) | ((length == 2) & (dlc >= ord("0")) & (dlc <= ord("8")))
    return bare & (fields.at(fields.start) == ord("R"))
