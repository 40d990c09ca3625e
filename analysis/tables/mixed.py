"""What keeps rows from being compared, as values: found by the guard, refused or marked."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import polars as pl

NAMES = ("variant", "model", "variant_a", "variant_b")
"""Columns of a table that name a row."""


class MixedRowsError(ValueError):
    """Rows that do not compare; the message names each difference and the way out."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One thing in which rows of a data set differ that must be alike."""

    dataset: str
    """Data set."""
    what: str
    """``captures``, ``windows``, ``metrics``, ``seeds`` or ``batch``."""
    variants: tuple[str, ...]
    """Rows that differ from the others."""
    text: str
    """What was found."""


def refuse(differences: Sequence[Difference]) -> None:
    """Raises where there is a difference.

    Raises:
        MixedRowsError: Names each of them.
    """
    if differences:
        told = "; ".join(difference.text for difference in differences)
        raise MixedRowsError(
            f"these rows do not compare: {told}. Run the rows that differ again, or show all of "
            "them, marked, with --allow-mixed"
        )


def mixed_rows(differences: Iterable[Difference]) -> frozenset[tuple[str, str]]:
    """Data set and row of every row that differs from the others."""
    return frozenset(
        (difference.dataset, variant)
        for difference in differences
        for variant in difference.variants
    )


def mark(frame: pl.DataFrame, differences: Iterable[Difference]) -> pl.DataFrame:
    """The frame with ``mixed``: what a row differs in from the others, null where in nothing."""
    found: dict[tuple[str, str], list[str]] = {}
    for difference in differences:
        for variant in difference.variants:
            kinds = found.setdefault((difference.dataset, variant), [])
            kinds += [difference.what] if difference.what not in kinds else []
    names = [name for name in NAMES if name in frame.columns]
    if not found or not names or "dataset" not in frame.columns:
        return frame
    marks = []
    for row in frame.select("dataset", *names).iter_rows():
        kinds = [kind for name in row[1:] for kind in found.get((row[0], name), [])]
        marks.append(", ".join(dict.fromkeys(kinds)) or None)
    return frame.with_columns(mixed=pl.Series(marks, dtype=pl.String))


def listed(rows: pl.DataFrame) -> str:
    """Rows with their seeds, from ``variant`` and ``seed``: ``ce (seeds 0, 1)``."""
    found = rows.group_by("variant", maintain_order=True).agg(pl.col("seed").unique().sort())
    return ", ".join(
        f"{variant} (seeds {', '.join(map(str, seeds))})" for variant, seeds in found.iter_rows()
    )
