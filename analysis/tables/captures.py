"""Which captures the rows of a table were tested on: one and the same set for each data set.

A data set whose files change keeps its name. Results on the earlier files stand in the store beside
those on the new ones, and a table over both would compare detectors on different traffic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from analysis.tables.mixed import Difference, listed, refuse
from graphids.store.outputs import SHORT
from graphids.store.results import newest_captures, newest_rows

ROW = ["variant", "dataset", "seed"]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The plan of a table."""

    plan: pl.DataFrame
    """Each (variant, dataset, seed) once, as ``PLAN_SCHEMA``."""
    told: tuple[str, ...] = ()
    """What to say of results that were left out."""
    differences: tuple[Difference, ...] = ()
    """Rows on other captures than the rest."""


def choose_captures(
    design: pl.DataFrame, committed: Mapping[str, Path], *, allow_mixed: bool
) -> Choice:
    """Every row on the newest captures of its data set.

    Rows that were planned again on the newest captures have replaced their earlier results, whether
    or not they have run since. A row with results on earlier captures alone would be missing from
    the table, or would mix into it: it is refused.

    Args:
        design: Every planned row of a design, newest run first.
        committed: Committed outputs by the first characters of their fingerprint.
        allow_mixed: Whether such a row is taken on the captures that it was last planned on.

    Raises:
        MixedRowsError: Names each data set, both digests and the rows.
    """
    newest = newest_captures(design)
    plan = newest_rows(newest)
    keys = ["dataset", "dataset_digest"]
    earlier = design.join(newest.select(keys).unique(), on=keys, how="anti", maintain_order="left")
    earlier = newest_rows(earlier).filter(
        pl.col("role") != "upstream", pl.col("fingerprint").str.head(SHORT).is_in(list(committed))
    )
    digests = dict(plan.select(keys).unique().iter_rows())
    told, differences = [], []
    for (dataset, old), rows in earlier.group_by(keys, maintain_order=True):
        now = digests[str(dataset)][:SHORT]
        alone = rows.join(plan, on=ROW, how="anti", maintain_order="left")
        if len(alone) < len(rows):
            told.append(
                f"{dataset}: its captures have changed (digest {str(old)[:SHORT]}, now {now}); "
                f"{len(rows) - len(alone)} results on the earlier ones are left out"
            )
        if not alone.is_empty():
            differences.append(
                Difference(
                    dataset=str(dataset),
                    what="captures",
                    variants=tuple(alone["variant"].unique(maintain_order=True)),
                    text=f"{dataset}: its captures have changed between runs, and {listed(alone)} "
                    f"ran on those of digest {str(old)[:SHORT]} alone, other rows on those of "
                    f"digest {now}: different traffic",
                )
            )
    if not allow_mixed:
        refuse(differences)
    mixed = newest_rows(design) if differences else plan
    return Choice(plan=mixed, told=tuple(told), differences=tuple(differences))
