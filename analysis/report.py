"""A whole study on one page: its question, design, results, figures, doubts and provenance."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl

from analysis import report_tables
from analysis.figures import Figure, Results, all_figures, to_png, to_svg
from analysis.figures.results import averages
from analysis.figures.style import metric_name
from analysis.render import as_sheets
from analysis.render.cells import Sheet
from analysis.report_page import FOLD, Section, figure, heading, listed, page, prose, tables
from analysis.tables import KINDS, Asked, Kind, Study, Table, read_study
from analysis.tables.decisions import cells as read_cells
from analysis.tables.guard import differences
from analysis.tables.mixed import Difference, mark, mixed_rows, refuse
from analysis.tables.remarks import dropped, remarks
from analysis.tables.study import LOWER_IS_BETTER

MAIN = "ablation"
LEFT_OUT = (MAIN, "metrics")
"""Kinds that have no place among the other tables: the main one, and the one for programs."""
BESIDE = ("forest", "subsets", "seeds")
"""Figures that stand beside the main table, by the beginning of their names."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """A study read once, for its page and for the files of its figures."""

    results: Results
    """The rows and their results."""
    found: tuple[Difference, ...]
    """What keeps rows from being compared; not empty only where that is allowed."""
    figures: tuple[Figure, ...]
    """Every figure, those without a chart included."""


def read_report(root: Path, grid: str, asked: Asked | None = None) -> Report:
    """Reads a grid from what its runs committed, and makes its figures.

    Args:
        root: Folder of the store.
        grid: Name of the grid.
        asked: Which part of the results is shown.

    Raises:
        FileNotFoundError: if no run of the grid was planned in this store.
        ValueError: An unknown data set or subset, or rows that do not compare.
        DamagedOutputError: if a committed file is not what its manifest says.
    """
    study = read_study(root, grid, asked)
    cells = read_cells(study)
    found = differences(study, cells)
    if not study.asked.allow_mixed:
        refuse(found)
    results = Results(study=study, cells=cells, mixed=mixed_rows(found))
    return Report(results=results, found=found, figures=tuple(all_figures(results)))


def to_page(report: Report, question: str) -> str:
    """The page of a report.

    Args:
        report: What it shows.
        question: The docstring of the grid: its first line asks, the rest explains; may be empty.
    """
    study = report.results.study
    first, _, rest = question.strip().partition("\n")
    title = first or f"Grid {study.grid}"
    lead = f'<p class="byline">{html.escape(_byline(study))}</p>\n{prose(rest)}'
    sections = (
        Section(name="short", title="In short", body=listed(_short(report), "short")),
        Section(name="design", title="Design", body=_design(study)),
        Section(name="results", title="Results", body=_results(report)),
        Section(name="figures", title="Figures", body=_figures(report.figures)),
        Section(name="tables", title="Other tables", body="\n".join(_others(report))),
        Section(name="diagnostics", title="Diagnostics", body=_diagnostics(report)),
        Section(name="provenance", title="Provenance", body=_provenance(study)),
    )
    return page(title, lead, sections)


def write_figures(report: Report, folder: Path) -> list[Path]:
    """Writes every figure that has a chart as SVG and as PNG; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for one in report.figures:
        if one.chart is not None:
            for suffix, content in (
                ("svg", to_svg(one.chart).encode()),
                ("png", to_png(one.chart)),
            ):
                path = folder / f"{one.name}.{suffix}"
                path.write_bytes(content)
                written.append(path)
    return written


def _byline(study: Study) -> str:
    """How large the study is, and how far."""
    own = study.rows.filter(role="row")["variant"].n_unique()
    references = study.rows["variant"].n_unique() - own
    planned = study.rows["fingerprint"].n_unique()
    seeds = ", ".join(map(str, study.rows["seed"].unique().sort()))
    datasets = ", ".join(study.rows["dataset"].unique(maintain_order=True))
    return (
        f"Grid {study.grid}: {own} rows and {references} references on {datasets}, "
        f"seeds {seeds}; {len(study.manifests)} of {planned} tabulated trials committed"
    )


def _short(report: Report) -> Iterator[str]:
    """What the comparisons say as a whole, and what the best row stands beside."""
    metric = report.results.metric
    every = _made(report, MAIN).frame.drop_nulls("delta")
    frame = _without(every, report.results.incomparable)
    if every.is_empty():
        yield "No row is compared with a baseline yet."
    if not frame.is_empty():
        counts = frame.group_by("verdict", maintain_order=True).len()
        told = ", ".join(f"{n} {verdict}" for verdict, n in counts.iter_rows())
        yield f"{len(frame)} paired comparisons of {metric_name(metric)} with the baseline: {told}."
    if len(frame) < len(every):
        yield (
            f"{len(every) - len(frame)} paired comparisons are of rows that do not compare, and "
            "are no findings."
        )
    lower = metric in LOWER_IS_BETTER
    ranked = _without(averages(report.results.cells, metric), report.results.mixed).sort(
        "value", descending=not lower, maintain_order=True
    )
    for dataset in report.results.datasets:
        of = {
            role: ranked.filter(dataset=dataset, role=role).head(1).rows(named=True)
            for role in ("row", "reference")
        }
        if of["row"] and of["reference"]:
            (row,), (reference,) = of["row"], of["reference"]
            ahead = (row["value"] < reference["value"]) == lower
            verb = "ahead of" if ahead and row["value"] != reference["value"] else "not ahead of"
            yield (
                f"On {dataset} the best row by mean {metric_name(metric)} over test subsets, "
                f"{row['variant']} ({row['value']:.3f}), is {verb} the best reference, "
                f"{reference['variant']} ({reference['value']:.3f}); whichever comes first is "
                "flattered by the choice."
            )
    if report.found:
        n = len(report.found)
        several = f"{n} differences keep" if n > 1 else "1 difference keeps"
        yield f"{several} rows from being compared; these rows are marked ‡."


def _without(frame: pl.DataFrame, rows: Set[tuple[str, str]]) -> pl.DataFrame:
    """The lines of a frame that are not of these (data set, row)."""
    lines = frame.select("dataset", "variant").iter_rows()
    return frame.filter(pl.Series([line not in rows for line in lines], dtype=pl.Boolean))


def _design(study: Study) -> str:
    """Rows, what rules took out, and what the plan says of the data sets."""
    quiet = study.rows.filter(role="reference")["variant"].unique().to_list()
    return tables(as_sheets(report_tables.design(study)), quiet) + listed(dropped(study))


def _results(report: Report) -> str:
    """The main table and the figures that show it."""
    shown = [figure(one) for one in report.figures if one.name.startswith(BESIDE)]
    return "\n".join((_table(report, MAIN, fold=None), *shown))


def _figures(figures: Sequence[Figure]) -> str:
    """The other figures; those without a chart come last."""
    others = [one for one in figures if not one.name.startswith(BESIDE)]
    drawn = [figure(one) for one in others if one.chart is not None]
    empty = [figure(one) for one in others if one.chart is None]
    return "\n".join((*drawn, *empty))


def _others(report: Report) -> Iterator[str]:
    """Every other kind of table, with its own notes."""
    for kind in KINDS:
        if kind.name not in LEFT_OUT:
            yield heading(f"{kind.answers[0].upper()}{kind.answers[1:]} ({kind.name})")
            yield _table(report, kind.name)


def _table(report: Report, name: str, fold: int | None = FOLD) -> str:
    """A kind of table as HTML."""
    table = _made(report, name)
    if table.frame.is_empty():
        return '<p class="byline">There is nothing to show in this table yet.</p>'
    rows = report.results.study.rows
    quiet = rows.filter(role="reference")["variant"].unique().to_list()
    return tables(_sheets(table), quiet, fold) + listed(table.notes)


def _sheets(table: Table) -> list[Sheet]:
    """The sections of a table; one that only repeats the heading above it has no title."""
    return [
        replace(sheet, title="" if sheet.title == table.kind else sheet.title)
        for sheet in as_sheets(table)
    ]


def _made(report: Report, name: str) -> Table:
    """A kind of table, marked where rows do not compare."""
    kind: Kind = next(kind for kind in KINDS if kind.name == name)
    table: Table = kind.maker()(report.results.study, report.results.cells)
    return replace(table, frame=mark(table.frame, report.found))


def _diagnostics(report: Report) -> str:
    """What to know before any number is believed."""
    study = report.results.study
    of_design = set(dropped(study))
    all_told = remarks(study, report.results.cells, report.found)
    told = [text for text in all_told if text not in of_design]
    measured = report_tables.predicted(study)
    body = listed(told)
    body += heading("Predicted against measured memory and time of each trial")
    if measured.frame.is_empty():
        return body + '<p class="byline">No committed trial was predicted before it ran.</p>'
    return body + tables(_sheets(measured))


def _provenance(study: Study) -> str:
    """Where every number is from."""
    commits = sorted({str(told["commit"]) for told in study.manifests.values() if told["commit"]})
    facts = (
        f"commit {', '.join(commits)}"
        if commits
        else "commit of the source: not known to the runs",
        *(f"versions: {line}" for line in report_tables.versions(study)),
        *report_tables.digests(study),
        "a fingerprint is the digest of everything that bears on a result: settings of the whole "
        "chain, captures, seed; it names the folder of the output in the store",
    )
    return listed(facts) + tables(as_sheets(report_tables.trials(study)))
