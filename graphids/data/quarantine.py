"""What a lenient read of a log leaves out: how many rows, for which reasons, and a few of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MAX_EXAMPLES = 5
"""Rows that a quarantine shows."""
_EXCERPT = 80


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """A row that cannot be read, and why."""

    line: int
    """Number of its line: in the block that it was found in, or 1-based in the file."""
    column: str
    """Name of the column, or ``line`` where the row as a whole is wrong."""
    kind: str
    """Word under which such rows are counted."""
    reason: str
    """What is wrong, as the rest of a sentence about the excerpt."""
    excerpt: str
    """What stands there, escaped and in quotes, at most 80 characters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quarantine:
    """Account of a log's rows; those of blank lines and of the header are none."""

    rows_in: int = 0
    """Rows of the log: ``rows_kept`` and all of ``bad`` together."""
    rows_kept: int = 0
    """Rows of the message table."""
    bad: Mapping[str, int] = field(default_factory=dict)
    """Rows that were left out, by the kind of their fault (:class:`Fault`)."""
    examples: tuple[Fault, ...] = ()
    """The first ``MAX_EXAMPLES`` of them, with the numbers of their lines in the file."""

    def __post_init__(self) -> None:
        if self.rows_in != self.rows_kept + self.rows_bad:
            raise ValueError(
                f"{self.rows_in} rows are not {self.rows_kept} kept and {self.rows_bad} bad ones"
            )

    @property
    def rows_bad(self) -> int:
        """Rows that were left out."""
        return sum(self.bad.values())

    @property
    def bad_share(self) -> float:
        """Share of the rows that was left out, 0 to 1; 0 without rows."""
        return self.rows_bad / max(1, self.rows_in)

    def __str__(self) -> str:
        reasons = ", ".join(f"{count:,} {kind}" for kind, count in sorted(self.bad.items()))
        return f"{self.rows_kept:,} of {self.rows_in:,} rows kept" + (
            f"; left out: {reasons}" if reasons else ""
        )


def excerpt(content: bytes) -> str:
    """The content escaped and in quotes, at most 80 characters of it."""
    text = content[: 4 * _EXCERPT].decode("utf-8", "backslashreplace")
    escaped = text.encode("unicode_escape").decode("ascii")
    return f"'{escaped}'" if len(escaped) <= _EXCERPT else f"'{escaped[: _EXCERPT - 3]}...'"
