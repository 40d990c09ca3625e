"""Every row under every threshold policy: what the choice of a threshold makes of a ranking."""

from __future__ import annotations

from dataclasses import replace

import polars as pl

from analysis.tables.ablation import PLACE, once
from analysis.tables.decisions import NAMES
from analysis.tables.decisions import cells as read_cells
from analysis.tables.study import Study
from analysis.tables.table import Table


def thresholds(study: Study, cells: pl.DataFrame) -> Table:
    """Decisions of each row under the policies that are asked for, or under all of them.

    Columns: ``variant``, ``policy``, ``f1``, ``mcc``, ``precision``, ``recall``, ``fpr``, ``auroc``
    (on the policy's scale), ``threshold`` (mean over seeds, null where captures have their own),
    ``saturated`` (seeds), ``lead_in_seconds``, ``lead_in_windows``, ``contamination`` (share of
    attack windows in the lead-ins), ``n``, ``dataset``, ``subset``, ``n_windows``, ``n_attacks``.
    """
    if not study.asked.policies:
        study = replace(study, asked=replace(study.asked, policies=NAMES))
        cells = read_cells(study)
    metrics = ("f1", "mcc", "precision", "recall", "fpr", "auroc")
    frame = (
        once(cells)
        .group_by(*PLACE, "position", "variant", maintain_order=True)
        .agg(
            pl.col(metrics).mean(),
            pl.col("threshold").mean(),
            pl.col("saturated").sum().cast(pl.Int64),
            pl.col("lead_in_seconds").first(),
            pl.col("lead_in_windows").max(),
            pl.col("contamination").mean(),
            pl.col("n_windows").count().cast(pl.Int64).alias("n"),
            pl.col("n_windows", "n_attacks").max().cast(pl.Int64),
        )
        .sort("dataset", "subset", "position", maintain_order=True)
        .select(
            "variant", "policy", *metrics, "threshold", "saturated", "lead_in_seconds",
            "lead_in_windows", "contamination", "n", "dataset", "subset", "n_windows", "n_attacks",
        )
    )  # fmt: skip
    notes = (
        "mean over n seeds; no policy wins everywhere: one that reads the lead-in finds the scale "
        "of an unknown vehicle, and is misled where the lead-in holds attacks (contamination)",
    )
    return Table(kind="thresholds", frame=frame, notes=notes)
