"""How each kind of table is laid out as text."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from analysis.render.cells import (
    PLACES,
    Column,
    Layout,
    Record,
    interval,
    mebibytes,
    metric,
    missing,
    number,
    p_value,
    plain,
)
from analysis.tables.study import AS_RUN
from analysis.tables.table import Table

HEADINGS = {
    "f1": "F1", "mcc": "MCC", "auroc": "AUROC", "ap": "AP", "fpr": "FPR", "auc": "AUC",
    "precision": "precision", "recall": "recall", "n_attacks": "attacks", "n_windows": "windows",
}  # fmt: skip
"""Headings of metrics and counts that are not their names."""
RATES = (
    "f1", "mcc", "auroc", "ap", "fpr", "auc", "precision", "recall", "accuracy", "specificity",
    "f1_macro", "balanced_accuracy", "mean", "mean_a", "mean_b", "mean_kd", "mean_student",
    "mean_teacher", "expected_max", "always_attack_f1",
)  # fmt: skip
"""Columns that are shown as metrics."""
INTERVALS = {"ci_low": "ci_high", "diff_ci_low": "diff_ci_high", "gain_low": "gain_high"}
DIFFERENCES = ("mean_diff", "gap", "gain")
EFFECTS = ("cohens_d", "d_z")
SHARES = ("attack_ratio", "contamination", "gap_recovered", "parameter_ratio")
RANKINGS = ("auroc", "ap")
"""Metrics that know no threshold."""
NAMES = ("variant", "model", "variant_a", "variant_b")
SECTIONS = ("dataset", "subset", "scenario", "metric")
UNSPLIT = ("metrics", "query", "cost", "dataset_summary")
"""Kinds that stand in one section."""


def layout(table: Table) -> Layout:
    """The layout of a table: of its kind, or column by column."""
    if table.kind == "ablation":
        return _ablation(table)
    frame = table.frame
    sections = () if table.kind in UNSPLIT else SECTIONS
    hidden = {*sections, *INTERVALS.values(), "saturated"}
    if PLACES & set(sections) & set(frame.columns):
        hidden |= {"n_windows", "n_attacks"}
    if "policy" in frame.columns and set(frame["policy"].unique()) <= {AS_RUN}:
        hidden |= {"policy", "lead_in_seconds", "lead_in_windows", "contamination"}
    if table.kind in ("metrics", "query"):
        hidden = set()
    columns = tuple(
        _column(name, words=kind in (pl.String, pl.List(pl.String)))
        for name, kind in frame.schema.items()
        if name not in hidden
    )
    return Layout(columns=columns, sections=sections)


def _column(name: str, *, words: bool) -> Column:
    """A column of a frame as a column of text."""
    heading = HEADINGS.get(name, name.replace("_", " "))
    if name in NAMES:
        return Column(heading=name.replace("_", " "), text=_row_name(name), left=True)
    if name in RATES:
        return Column(heading=heading, text=metric(name))
    if name in EFFECTS:
        return Column(heading=heading if name == "cohens_d" else name, text=_signed(name))
    if name in SHARES:
        return Column(heading=heading, text=_share(name))
    if name == "std":
        return Column(heading=heading, text=_decimals(name))
    if name in INTERVALS:
        return Column(heading="95 % interval", text=interval(name, INTERVALS[name]))
    if name in DIFFERENCES:
        return Column(heading=heading, text=_difference(name))
    if name.startswith("p_") or name == "p":
        return Column(heading="p Holm" if name == "p_holm" else heading, text=p_value(name))
    if name.endswith("_bytes"):
        return Column(heading=f"{name[:-6].replace('_', ' ')} MiB", text=mebibytes(name))
    return Column(heading=heading, text=plain(name), left=words)


def _ablation(table: Table) -> Layout:
    """The paired table: the metric, its difference to the baseline, what else to know."""
    frame = table.frame
    name = str(frame["metric"][0]) if len(frame) else "mcc"
    compared = HEADINGS.get(name, name)
    columns = [
        Column(heading="row", text=_row_name("variant"), left=True),
        Column(heading=compared, text=_spread),
        Column(heading=f"Δ {compared}", text=_delta("delta")),
        Column(heading="95 % interval", text=interval("low", "high", signed=True)),
        Column(heading="p", text=p_value("p")),
        Column(heading="p Holm", text=p_value("p_holm")),
        Column(heading="d_z", text=_signed("d_z")),
        Column(heading="n", text=_pairs),
        Column(heading="verdict", text=_verdict, left=True),
        *(
            Column(heading=HEADINGS[other], text=metric(other))
            for other in ("f1", "mcc", "auroc", "ap")
            if other in frame.columns
        ),
    ]
    sections: tuple[str, ...] = ("dataset", "subset")
    if set(frame["policy"].unique()) - {AS_RUN}:
        sections = (*sections, "policy")
        columns += [
            Column(heading="FPR", text=metric("fpr") if "fpr" in frame.columns else metric("mean")),
            Column(heading="lead-in", text=_lead_in),
            Column(heading="contamination", text=_share("contamination")),
        ]
    return Layout(columns=tuple(columns), sections=sections)


def _row_name(name: str) -> Callable[[Record], str]:
    """Name of a row, with what a reader has to know of it."""

    def text(record: Record) -> str:
        shown = str(record[name])
        if name == "variant" and record.get("baseline") is True:
            shown += " (baseline)"
        # Of a table of one metric, the cell of the metric is flagged.
        if "metric" not in record and record.get("saturated"):
            shown += " †"
        return f"{shown} ‡" if record.get("mixed") else shown

    return text


def _spread(record: Record) -> str:
    """Mean and standard deviation over seeds, flagged where its threshold is arbitrary."""
    if record["mean"] is None:
        return missing(record)
    flag = " †" if record["saturated"] and record["metric"] not in RANKINGS else ""
    if record["std"] is None:
        return f"{number(record['mean'])}{flag}"
    return f"{number(record['mean'])} ± {number(record['std'])}{flag}"


def _difference(name: str) -> Callable[[Record], str]:
    """A difference with its sign."""
    return lambda record: (
        missing(record) if record[name] is None else number(record[name], signed=True)
    )


def _delta(name: str) -> Callable[[Record], str]:
    """A paired difference, empty where nothing is compared."""
    return lambda record: "" if record[name] is None else number(record[name], signed=True)


def _signed(name: str) -> Callable[[Record], str]:
    """An effect in standard deviations, empty where there is none."""
    return lambda record: "" if record[name] is None else number(record[name], 2, signed=True)


def _decimals(name: str) -> Callable[[Record], str]:
    """A number, empty where there is none."""
    return lambda record: "" if record[name] is None else number(record[name])


def _pairs(record: Record) -> str:
    """Seeds of the row; those of the pairs, where they are fewer."""
    n, pairs = record["n"], record["n_pairs"]
    return f"{n}" if pairs is None or pairs == n else f"{n} ({pairs} pairs)"


def _verdict(record: Record) -> str:
    """What the comparison says; how many seeds it would take, where it says nothing."""
    verdict = record["verdict"]
    if verdict in (None, "baseline"):
        return ""
    if verdict in ("underpowered", "not told apart") and record["seeds_needed"] is not None:
        return f"{verdict}, needs {record['seeds_needed']:,} seeds"
    return str(verdict)


def _lead_in(record: Record) -> str:
    if record["lead_in_windows"] is None:
        return ""
    return f"{record['lead_in_seconds']:g} s, {record['lead_in_windows']:,} windows"


def _share(name: str) -> Callable[[Record], str]:
    return lambda record: "" if record[name] is None else f"{100.0 * record[name]:.1f} %"
