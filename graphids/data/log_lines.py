"""Log files as blocks of whole lines, split into fields; what to say of a line that is wrong."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from graphids.data.log_fields import Fields

_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_BLOCK = 1 << 22
_EXCERPT = 80
_NEWLINE, _COMMA = ord("\n"), ord(",")


class LogError(ValueError):
    """A log that cannot be read: file, line, column, excerpt, reason and the way out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where a block of lines is wrong, and why."""

    row: int
    """Position among the lines of the block that are not blank."""
    column: str
    """Name of the column, or ``line`` where the line as a whole is wrong."""
    reason: str
    """What is wrong, as the rest of a sentence about the excerpt."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lines:
    """Consecutive lines of a log."""

    text: np.ndarray
    """The lines ``[B]``, uint8, each with its line end."""
    first: int
    """1-based number of the first line in the file."""
    cut: bool
    """True for a last line without a line end, which ``text`` has all the same."""

    def split(self, num_columns: int) -> tuple[np.ndarray, list[Fields], Place | None]:
        """Fields of the lines that are not blank, without the white space around them.

        Returns:
            Line of the block that each row stands in ``[N]``; the columns; and the first line that
            has another number of fields, which the columns then end before.
        """
        end = np.flatnonzero(self.text == _NEWLINE)
        start = np.append(0, end[:-1] + 1)
        whole = Fields(text=self.text, start=start, end=end).stripped()
        rows = np.flatnonzero(whole.start < whole.end)
        start, end = start[rows], end[rows]
        commas = np.flatnonzero(self.text == _COMMA)
        first = np.searchsorted(commas, start)
        found = np.searchsorted(commas, end) - first + 1
        wrong = np.flatnonzero(found != num_columns)
        broken = None
        if wrong.size:
            count = int(found[wrong[0]])
            reason = f"has {count} field{'s' * (count != 1)} instead of {num_columns}"
            broken = Place(row=int(wrong[0]), column="line", reason=reason)
            start, end, first = start[: wrong[0]], end[: wrong[0]], first[: wrong[0]]
        cuts = [start - 1, *(commas[first + k] for k in range(num_columns - 1)), end]
        columns = [
            Fields(text=self.text, start=left + 1, end=right).stripped()
            for left, right in pairwise(cuts)
        ]
        return rows, columns, broken

    def describe(self, path: Path, line: int, place: Place, columns: Sequence[str]) -> str:
        """The whole message about ``place``, which stands in ``line`` of this block."""
        content = self.text.tobytes().split(b"\n")[line].rstrip(b"\r")
        shown = content
        if place.column != "line":
            shown = content.split(b",")[list(columns).index(place.column)]
        nul = " (it holds NUL bytes)" if b"\0" in shown else ""
        cut = "; the last line is cut" if self.cut else ""
        return (
            f"{path}, line {self.first + line}, column {place.column}: "
            f"{excerpt(shown)} {place.reason}{nul}{cut}; repair or remove the line and read again"
        )


def open_log(path: Path) -> BinaryIO:
    """The decompressed bytes of a log; gzip is told by the first two bytes, not by the suffix.

    A gzip file of several members is read whole. Reads raise :class:`LogError` where the compressed
    data is cut or damaged.
    """
    with path.open("rb") as raw:
        compressed = raw.read(2) == _GZIP_MAGIC
    return io.BufferedReader(_Gunzip(path), 1 << 20) if compressed else path.open("rb")


def read_lines(stream: BinaryIO) -> tuple[bytes, Iterator[Lines]]:
    """First line without its end and byte order mark, and the other lines in blocks."""
    header = stream.readline(_BLOCK).removeprefix(_BOM)
    return header.rstrip(b"\r\n"), _blocks(stream)


def excerpt(content: bytes) -> str:
    """The content escaped and in quotes, at most 80 characters of it."""
    text = content.decode("utf-8", "backslashreplace")
    escaped = text.encode("unicode_escape").decode("ascii")
    return f"'{escaped}'" if len(escaped) <= _EXCERPT else f"'{escaped[: _EXCERPT - 3]}...'"


def _blocks(stream: BinaryIO) -> Iterator[Lines]:
    """Whole lines up to the end of the stream."""
    first, rest = 2, b""
    while data := stream.read(_BLOCK):
        whole, end, rest = (rest + data).rpartition(b"\n")
        if end:
            text = np.frombuffer(whole + end, dtype=np.uint8)
            yield Lines(text=text, first=first, cut=False)
            first += int(np.count_nonzero(text == _NEWLINE))
    if rest.strip():
        yield Lines(text=np.frombuffer(rest + b"\n", dtype=np.uint8), first=first, cut=True)


class _Gunzip(io.RawIOBase):
    """Decompressed bytes of a gzip file, whose faults name the file."""

    def __init__(self, path: Path) -> None:
        """Opens ``path``, which is known to be gzip."""
        self._path = path
        self._stream = gzip.open(path)  # noqa: SIM115  close() closes it

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fills the buffer, as raw streams do; 0 at the end."""
        try:
            data = self._stream.read(len(buffer))
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise LogError(
                f"{self._path}: the gzip data is cut or damaged ({error}); "
                "copy or download the file again"
            ) from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Closes the file."""
        self._stream.close()
        super().close()
