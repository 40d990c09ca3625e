"""What a student takes over from its teacher, found by who was recorded for whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from analysis.tables.ablation import PLACE, compare
from analysis.tables.decisions import as_run
from analysis.tables.remarks import few_seeds
from analysis.tables.study import LOWER_IS_BETTER, Study
from analysis.tables.table import Table

TEACHER, DETECTOR = "teacher", "detector"
"""Roles of an input: a record of a teacher, and the detector that was recorded."""
SCHEMA: dict[str, Any] = {
    "student_kd": pl.String,
    "student": pl.String,
    "teacher": pl.String,
    "mean_kd": pl.Float64,
    "mean_student": pl.Float64,
    "mean_teacher": pl.Float64,
    "gain": pl.Float64,
    "gain_low": pl.Float64,
    "gain_high": pl.Float64,
    "p": pl.Float64,
    "gap_recovered": pl.Float64,
    "student_parameters": pl.Int64,
    "teacher_parameters": pl.Int64,
    "parameter_ratio": pl.Float64,
    "n_pairs": pl.Int64,
    **dict.fromkeys(PLACE, pl.String),
    "metric": pl.String,
}


def kd_transfer(study: Study, cells: pl.DataFrame) -> Table:
    """Each taught student beside the untaught one, its baseline, and their teacher.

    Columns: ``student_kd``, ``student``, ``teacher`` and the mean of each; ``gain`` (taught minus
    untaught, paired over seeds) with its interval and ``p``; ``gap_recovered``: the share of the
    teacher's lead over the untaught student that teaching brings, null where it has no lead;
    ``parameter_ratio``: parameters of the student per parameter of the teacher.
    """
    metric = study.asked.metric
    teachers = _teachers(study)
    rows = cells.filter(role="row")
    values = as_run(study) if not study.asked.policies else cells
    names = dict(study.rows.select("fingerprint", "variant").iter_rows())
    gains = {
        tuple(row[name] for name in (*PLACE, "variant")): row
        for row in compare(cells, metric).iter_rows(named=True)
    }
    means = dict.fromkeys(names)
    means |= {
        (row["policy"], row["subset"], row["fingerprint"]): row[metric]
        for row in values.iter_rows(named=True)
    }
    records = []
    for place, found in rows.group_by(*PLACE, "position", "variant", maintain_order=True):
        taught = found.filter(pl.col("fingerprint").is_in(list(teachers)))
        if taught.is_empty():
            continue
        base = rows.filter(
            pl.col("baseline"), stage=found["stage"][0],
            **dict(zip(PLACE, place[:3], strict=True)),
        )  # fmt: skip
        keys = [teachers[key] for key in taught["fingerprint"]]
        lessons = [means.get((place[2], place[1], key)) for key in keys]
        records.append(
            _record(
                {name: str(value) for name, value in zip(PLACE, place[:3], strict=True)},
                taught, base, lessons, gains.get((*place[:3], place[4]), {}), metric,
            )
            | {
                "student_kd": str(place[4]),
                "teacher": next((names[key] for key in keys if key in names), None),
                "teacher_parameters": _parameters(study, keys),
                "student_parameters": _parameters(study, taught["fingerprint"].to_list()),
            }
        )  # fmt: skip
    frame = pl.DataFrame(records, schema=SCHEMA).with_columns(
        parameter_ratio=pl.col("student_parameters") / pl.col("teacher_parameters")
    )
    notes = (
        f"{metric.upper()}: means over seeds; gain: taught minus untaught student, paired over "
        "seeds; gap recovered: gain per lead of the teacher over the untaught student, of means, "
        "empty where the teacher has no lead",
        *few_seeds(frame["n_pairs"].drop_nulls()),
    )
    return Table(kind="kd_transfer", frame=frame, notes=notes)


def _record(
    place: Mapping[str, str],
    taught: pl.DataFrame,
    base: pl.DataFrame,
    lessons: list[float | None],
    gain: Mapping[str, Any],
    metric: str,
) -> dict[str, Any]:
    """One student on one subset."""
    known = [value for value in lessons if value is not None]
    teacher = sum(known) / len(known) if known else None
    mean, untaught = taught[metric].mean(), base[metric].mean()
    recovered = None
    if isinstance(mean, float) and isinstance(untaught, float) and teacher is not None:
        lead = teacher - untaught
        has_lead = lead < 0.0 if metric in LOWER_IS_BETTER else lead > 0.0
        recovered = (mean - untaught) / lead if has_lead else None
    return {
        "student": base["variant"][0] if len(base) else None,
        "mean_kd": mean,
        "mean_student": untaught,
        "mean_teacher": teacher,
        "gain": gain.get("delta"),
        "gain_low": gain.get("low"),
        "gain_high": gain.get("high"),
        "p": gain.get("p"),
        "gap_recovered": recovered,
        "n_pairs": gain.get("n_pairs"),
        **place,
        "metric": metric,
    }


def _teachers(study: Study) -> dict[str, str]:
    """Fingerprint of the teacher behind each tabulated trial that was taught by one."""
    records = {
        key: told["upstream"][TEACHER]
        for key, told in study.manifests.items()
        if TEACHER in told["upstream"]
    }
    recorded = study.more_manifests(set(records.values()))
    return {
        key: recorded[record]["upstream"][DETECTOR]
        for key, record in records.items()
        if record in recorded and DETECTOR in recorded[record]["upstream"]
    }


def _parameters(study: Study, keys: list[str]) -> int | None:
    """Trainable parameters of the first of some trials that tells them."""
    for told in study.more_manifests(keys).values():
        if told["meta"].get("parameters") is not None:
            return int(told["meta"]["parameters"])
    return None
