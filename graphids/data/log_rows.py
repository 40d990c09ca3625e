"""The rows of one block while their columns are read; a row that cannot be read leaves at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from graphids.data.log_fields import Column, FieldError, Fields
from graphids.data.log_lines import Cells, Lines
from graphids.data.quarantine import Fault, excerpt

LINE = "line"
"""Column of a fault of the row as a whole."""


class Rows:
    """Good rows of a block, their columns so far, and the faults of the other rows."""

    def __init__(self, lines: Lines, cells: Cells) -> None:
        """All rows of ``lines`` are good as yet."""
        self.cells = cells
        """Cells of the good rows."""
        self.columns: dict[str, np.ndarray] = {}
        """What was read of the good rows, ``[N, ...]`` each."""
        self.faults: list[Fault] = []
        """Why the other rows cannot be read, with the numbers of their lines in the file."""
        self._lines = lines

    def __len__(self) -> int:
        return len(self.cells)

    def read(self, name: str, fields: Fields, reader: Callable[[Fields], Column]) -> np.ndarray:
        """Reads a column of the good rows, keeps and returns it; rows that it lacks leave."""
        column = reader(fields)
        self.columns[name] = column.values
        self.refuse(column.errors, name, fields)
        return self.columns[name]

    def refuse_all(self, wrong: np.ndarray, kind: str, reason: Callable[[int], str]) -> None:
        """Takes out the rows where ``wrong`` ``[N]`` is true, for the reason of each position."""
        positions = np.flatnonzero(wrong).tolist()
        self.refuse({row: FieldError(kind, reason(row)) for row in positions})

    def refuse(
        self, errors: Mapping[int, FieldError], name: str = LINE, fields: Fields | None = None
    ) -> None:
        """Takes out the rows at these positions, whose ``fields`` of column ``name`` are wrong."""
        if not errors:
            return
        shown = self.cells.whole() if fields is None else fields
        for row, error in errors.items():
            self._add(int(self.cells.line[row]), name, error, shown[row])
        good = np.ones(len(self), dtype=bool)
        good[list(errors)] = False
        self.cells = self.cells.take(good)
        self.columns = {key: values[good] for key, values in self.columns.items()}

    def _add(self, line: int, name: str, error: FieldError, content: bytes) -> None:
        """Notes a fault."""
        kind, reason = error.kind, str(error)
        if b"\0" in content:
            kind, reason = "nul", f"{reason} (it holds NUL bytes)"
        if self._lines.cut:
            kind, reason = "truncated_tail", f"{reason}; the last line is cut"
        self.faults.append(
            Fault(
                line=self._lines.first + line,
                column=name,
                kind=kind,
                reason=reason,
                excerpt=excerpt(content),
            )
        )
