"""Text fields of CAN logs to numbers: a whole column at once, and one field at a time.

A column function reads the usual spelling of all rows together. The few fields of another spelling
go through the function for one field, which knows every accepted one and says what is wrong with
the others. No value passes through a float.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TypeVar

import numpy as np

from graphids.data.messages import MAX_EXTENDED_ID, PAYLOAD_BYTES

NS_DIGITS = 9
_MAX_SECONDS = (
    9_223_372_035  # one more second does not fit into int64 nanoseconds with any fraction
)
_MAX_TRUNCATED = 9  # decimals beyond the ninth that the column pass drops by itself
_NO_DIGIT = 255
_SPACE = b" \t\r\v\f"

T = TypeVar("T")


def _digit_values() -> np.ndarray:
    """Value of each byte read as a hexadecimal digit ``[256]``; 255 where it is none."""
    values = np.full(256, _NO_DIGIT, dtype=np.uint8)
    for value, characters in enumerate(zip("0123456789abcdef", "0123456789ABCDEF", strict=True)):
        for character in characters:
            values[ord(character)] = value
    return values


HEX = _digit_values()
"""Value of each byte read as a hexadecimal digit ``[256]``; 255 where it is none."""
IS_SPACE = np.isin(np.arange(256), np.frombuffer(_SPACE, dtype=np.uint8))
"""Whether each byte is white space inside a line ``[256]``."""


class FieldError(ValueError):
    """Why a row cannot be read, and ``kind``, the word under which such rows are counted."""

    def __init__(self, kind: str, reason: str) -> None:
        """``reason`` is the rest of a sentence about the field."""
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """One column of a block of text: where each row's field starts and ends."""

    text: np.ndarray
    """The block ``[B]``, uint8, with at least one byte after the last field."""
    start: np.ndarray
    """First byte of each field ``[N]``, int64."""
    end: np.ndarray
    """Byte after each field ``[N]``, int64."""

    def __getitem__(self, row: int) -> bytes:
        """One row's field as it stands."""
        return self.text[self.start[row] : self.end[row]].tobytes()

    def stripped(self) -> Fields:
        """The same fields without the white space around them."""
        low = np.count_nonzero(self.text <= ord(" "))
        if low == np.count_nonzero(self.text == ord("\n")):
            return self  # the usual block, told by two passes over its bytes alone
        start, end = self.start.copy(), self.end.copy()
        rows = np.arange(len(start))
        while (rows := rows[(start[rows] < end[rows]) & IS_SPACE[self.at(start[rows])]]).size:
            start[rows] += 1
        rows = np.arange(len(start))
        while (rows := rows[(start[rows] < end[rows]) & IS_SPACE[self.text[end[rows] - 1]]]).size:
            end[rows] -= 1
        return Fields(text=self.text, start=start, end=end)

    def equal(self, content: bytes) -> np.ndarray:
        """Which fields are exactly ``content`` ``[N]``, boolean."""
        same = self.end - self.start == len(content)
        for place, byte in enumerate(content):
            same &= self.at(self.start + place) == byte
        return same

    def at(self, position: np.ndarray) -> np.ndarray:
        """Bytes at these positions, those beyond the block read as its last byte."""
        return self.text[np.minimum(position, len(self.text) - 1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column of a block as numbers."""

    values: np.ndarray
    """A value for each row; those of failed rows mean nothing."""
    errors: Mapping[int, FieldError]
    """Why a row could not be read, by its position."""


def one_time_ns(field: bytes) -> int:
    """Nanoseconds of one time in seconds, exactly; more than nine decimals are truncated.

    Exponent form is accepted where it is a whole number of nanoseconds.

    Raises:
        FieldError: not a decimal number, out of range, or between two nanoseconds.
    """
    text = field.strip().decode("ascii", "replace")
    digits = text.removeprefix("-")
    whole, _, fraction = digits.partition(".")
    plain = (whole + fraction).isascii() and (whole + fraction).isdigit()
    if plain:
        value = int(whole or "0") * 10**NS_DIGITS + int(fraction[:NS_DIGITS].ljust(NS_DIGITS, "0"))
        value = -value if text.startswith("-") else value
    else:
        value = _exponent_ns(text)
    if abs(value) > _MAX_SECONDS * 10**NS_DIGITS:
        raise FieldError("time", f"is beyond {_MAX_SECONDS} seconds; is its unit seconds?")
    return value


def _exponent_ns(text: str) -> int:
    """Nanoseconds of a time written with an exponent."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite() or not set(text) <= set("+-0123456789.eE"):
        raise FieldError("time", "is not a decimal number of seconds")
    if number.adjusted() > len(str(_MAX_SECONDS)):
        raise FieldError("time", f"is beyond {_MAX_SECONDS} seconds; is its unit seconds?")
    scaled = number.scaleb(NS_DIGITS)
    if scaled != scaled.to_integral_value():
        raise FieldError(
            "time", "is not a whole number of nanoseconds; write it as a plain decimal"
        )
    return int(scaled)


def one_id(field: bytes) -> int:
    """Arbitration id of one hexadecimal field, with or without ``0x``.

    Raises:
        FieldError: empty, not hexadecimal, or beyond 29 bits.
    """
    text = field.strip().lower().removeprefix(b"0x")
    if not text or set(text) - set(b"0123456789abcdef"):
        raise FieldError("hex", "is not a hexadecimal arbitration id")
    if int(text, 16) > MAX_EXTENDED_ID:
        raise FieldError(
            "id_range", f"is beyond the largest 29-bit arbitration id {MAX_EXTENDED_ID:X}"
        )
    return int(text, 16)


def one_payload(field: bytes) -> bytes:
    """Payload of one hexadecimal field; ``0x``, spaces and dots between bytes are accepted.

    Raises:
        FieldError: not hexadecimal, half a byte, or more than eight bytes.
    """
    groups = field.strip().lower().removeprefix(b"0x").replace(b".", b" ").split(b" ")
    text = b"".join(groups)
    if set(text) - set(b"0123456789abcdef"):
        raise FieldError("hex", "is not hexadecimal")
    for group in groups:
        if len(group) % 2:
            raise FieldError(
                "hex", f"has {len(group)} hexadecimal digits together, and a byte has two"
            )
    if len(text) > 2 * PAYLOAD_BYTES:
        raise FieldError(
            "dlc_long", f"has {len(text) // 2} bytes, and a classic CAN frame at most 8"
        )
    return bytes.fromhex(text.decode("ascii"))


def one_label(field: bytes) -> bool:
    """Label of one field.

    Raises:
        FieldError: neither 0 nor 1.
    """
    text = field.strip()
    if text not in {b"0", b"1"}:
        raise FieldError("label", "is not a label; 0 is a genuine message and 1 an attack")
    return text == b"1"


def read_times(fields: Fields) -> Column:
    """Nanoseconds of decimal seconds; values ``[N]``, int64."""
    start, end = fields.start, fields.end
    dots = np.append(np.flatnonzero(fields.text == ord(".")), len(fields.text))
    dot = np.minimum(dots[np.searchsorted(dots, start)], end)
    known = (dot > start) & (dot - start <= len(str(_MAX_SECONDS)))
    seconds, digits = numbers(fields, dot, np.minimum(dot - start, 10), base=10)
    known &= digits & (seconds < _MAX_SECONDS)
    decimals = np.maximum(end - dot - 1, 0)
    used = np.minimum(decimals, NS_DIGITS)
    fraction, digits = numbers(fields, dot + 1 + used, used, base=10)
    known &= digits
    beyond = np.minimum(decimals - used, _MAX_TRUNCATED)
    known &= numbers(fields, dot + 1 + used + beyond, beyond, base=10)[1]
    known &= decimals == used + beyond
    scale = 10 ** (NS_DIGITS - np.arange(NS_DIGITS + 1, dtype=np.int64))
    values = seconds * 10**NS_DIGITS + fraction * scale[used]
    odd, errors = odd_ones(fields, known, one_time_ns)
    for row, value in odd.items():
        values[row] = value
    return Column(values=values, errors=errors)


def read_ids(fields: Fields) -> Column:
    """Arbitration ids of hexadecimal fields; values ``[N]``, int64."""
    length = fields.end - fields.start
    values, digits = numbers(fields, fields.end, np.minimum(length, 8), base=16)
    known = digits & (length >= 1) & (length <= 8) & (values <= MAX_EXTENDED_ID)
    odd, errors = odd_ones(fields, known, one_id)
    for row, value in odd.items():
        values[row] = value
    return Column(values=values, errors=errors)


def read_payloads(fields: Fields) -> Column:
    """Payloads of hexadecimal fields; values ``[N, 9]``, uint8: the length, then eight bytes."""
    digits = fields.end - fields.start
    known = (digits % 2 == 0) & (digits <= 2 * PAYLOAD_BYTES)
    values = np.zeros((len(digits), 1 + PAYLOAD_BYTES), dtype=np.uint8)
    values[:, 0] = np.minimum(digits // 2, PAYLOAD_BYTES)
    for byte in range(min(PAYLOAD_BYTES, int(digits.max(initial=0)) // 2)):
        high = HEX[fields.at(fields.start + 2 * byte)]
        low = HEX[fields.at(fields.start + 2 * byte + 1)]
        present = digits >= 2 * byte + 2
        known &= ~present | ((high | low) < 16)
        values[:, 1 + byte] = np.where(present, (high << 4) | low, 0)
    odd, errors = odd_ones(fields, known, one_payload)
    for row, payload in odd.items():
        padded = payload.ljust(PAYLOAD_BYTES, b"\0")
        values[row] = np.frombuffer(bytes([len(payload)]) + padded, dtype=np.uint8)
    return Column(values=values, errors=errors)


def read_labels(fields: Fields) -> Column:
    """Labels; values ``[N]``, boolean, true for an attack."""
    character = fields.at(fields.start)
    known = (fields.end - fields.start == 1) & ((character == ord("0")) | (character == ord("1")))
    _, errors = odd_ones(fields, known, one_label)
    return Column(values=character == ord("1"), errors=errors)


def odd_ones(
    fields: Fields, known: np.ndarray, parse: Callable[[bytes], T]
) -> tuple[dict[int, T], dict[int, FieldError]]:
    """Values, and errors, by row of the fields that the column pass did not know."""
    values: dict[int, T] = {}
    errors: dict[int, FieldError] = {}
    for row in np.flatnonzero(~known).tolist():
        try:
            values[row] = parse(fields[row])
        except FieldError as error:
            errors[row] = error
    return values, errors


def numbers(
    fields: Fields, end: np.ndarray, length: np.ndarray, *, base: int
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of ``length`` digits that end before ``end`` ``[N]``, and which are all digits."""
    value = np.zeros(len(end), dtype=np.int64)
    known = np.ones(len(end), dtype=bool)
    for place in range(int(length.max(initial=0))):
        present = length > place
        digit = HEX[fields.at(np.maximum(end - 1 - place, 0))]
        known &= ~present | (digit < base)
        value += np.where(present, digit.astype(np.int64) * base**place, 0)
    return value, known
