"""Log files as blocks of whole lines, and the lines of a block as cells: fields of any number."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from graphids.data.log_fields import IS_SPACE, Fields

_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_BLOCK = 1 << 22
_NEWLINE, _COMMA = ord("\n"), ord(",")
_BLANK = IS_SPACE | (np.arange(256) == _NEWLINE)


class LogError(ValueError):
    """A log that cannot be read: file, line, column, excerpt, reason and the way out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cells:
    """The cells of the lines of a block that are not blank, without the white space around them."""

    text: np.ndarray
    """The block ``[B]``, uint8."""
    line: np.ndarray
    """Line of the block that each row stands in ``[N]``."""
    first: np.ndarray
    """First cell of each row ``[N]``."""
    count: np.ndarray
    """Cells of each row ``[N]``, at least 1."""
    start: np.ndarray
    """First byte of each cell ``[M]``."""
    end: np.ndarray
    """Byte after each cell ``[M]``."""

    def __len__(self) -> int:
        return len(self.line)

    def column(self, place: int | np.ndarray) -> Fields:
        """Cell ``place`` of each row, counted from 0, or the places ``[N]``; rows must have it."""
        cell = self.first + place
        return Fields(text=self.text, start=self.start[cell], end=self.end[cell])

    def whole(self) -> Fields:
        """Each row from its first cell to its last."""
        return Fields(
            text=self.text,
            start=self.start[self.first],
            end=self.end[self.first + self.count - 1],
        )

    def take(self, rows: np.ndarray) -> Cells:
        """Some of the rows, by position or mask."""
        return Cells(
            text=self.text,
            line=self.line[rows],
            first=self.first[rows],
            count=self.count[rows],
            start=self.start,
            end=self.end,
        )

    def without_empty_ends(self) -> Cells:
        """The same rows without the empty cells at their end."""
        count = self.count.copy()
        rows = np.flatnonzero(count > 1)
        while rows.size:
            last = self.first[rows] + count[rows] - 1
            rows = rows[(self.start[last] == self.end[last]) & (count[rows] > 1)]
            count[rows] -= 1
        return Cells(
            text=self.text, line=self.line, first=self.first, count=count,
            start=self.start, end=self.end,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Lines:
    """Consecutive lines of a log."""

    text: np.ndarray
    """The lines ``[B]``, uint8, each with its line end."""
    first: int
    """1-based number of the first line in the file."""
    cut: bool
    """True for a last line without a line end, which ``text`` has all the same."""

    def between_commas(self) -> Cells:
        """The cells that commas part."""
        newline = self.text == _NEWLINE
        end = np.flatnonzero(newline | (self.text == _COMMA))
        cells = Fields(text=self.text, start=np.append(0, end[:-1] + 1), end=end).stripped()
        last = np.flatnonzero(newline[end])
        first = np.append(0, last[:-1] + 1)
        rows = np.flatnonzero((last > first) | (cells.start[first] < cells.end[first]))
        return Cells(
            text=self.text,
            line=rows,
            first=first[rows],
            count=(last - first + 1)[rows],
            start=cells.start,
            end=cells.end,
        )

    def between_spaces(self) -> Cells:
        """The cells that white space parts."""
        blank = _BLANK[self.text]
        change = np.diff(blank, prepend=True, append=True)
        start, end = np.flatnonzero(change).reshape(-1, 2).T
        line_end = np.flatnonzero(self.text == _NEWLINE)
        border = np.append(0, np.searchsorted(start, line_end))
        count = np.diff(border)
        rows = np.flatnonzero(count)
        return Cells(
            text=self.text,
            line=rows,
            first=border[rows],
            count=count[rows],
            start=start,
            end=end,
        )


def open_log(path: Path) -> BinaryIO:
    """The decompressed bytes of a log; gzip is told by the first two bytes, not by the suffix.

    A gzip file of several members is read whole. Reads raise :class:`LogError` where the compressed
    data is cut or damaged.
    """
    with path.open("rb") as raw:
        compressed = raw.read(2) == _GZIP_MAGIC
    return io.BufferedReader(_Gunzip(path), 1 << 20) if compressed else path.open("rb")


def first_line(stream: BinaryIO) -> tuple[bytes, int]:
    """First line that is not blank, without byte order mark, and its 1-based number."""
    number = 1
    line = stream.readline(_BLOCK).removeprefix(_BOM)
    while line and not line.strip():
        line = stream.readline(_BLOCK)
        number += 1
    return line, number


def blocks(stream: BinaryIO, before: bytes = b"", first: int = 1) -> Iterator[Lines]:
    """Whole lines up to the end of the stream.

    Args:
        stream: where they come from.
        before: what was read of the stream already and belongs to the lines.
        first: 1-based number of the first line.
    """
    rest = before
    while data := stream.read(_BLOCK):
        whole, end, rest = (rest + data).rpartition(b"\n")
        if end:
            text = np.frombuffer(whole + end, dtype=np.uint8)
            yield Lines(text=text, first=first, cut=False)
            first += int(np.count_nonzero(text == _NEWLINE))
    if rest.strip():
        text = np.frombuffer(rest.removesuffix(b"\n") + b"\n", dtype=np.uint8)
        yield Lines(text=text, first=first, cut=not rest.endswith(b"\n"))


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
