"""Latency in the table of costs and in its figure, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import LOSSES, Row, Store

from analysis.figures.pareto import pareto_figures
from analysis.figures.results import Results
from analysis.tables import KINDS, make_table
from analysis.tables.cost import LATENCY
from analysis.tables.decisions import cells
from analysis.tables.study import read_study

FIGURE = "pareto-latency-p50-ms-0"


def timed(row: Row, milliseconds: float) -> Row:
    measured = {"latency_p50_ms": milliseconds, "latency_windows": 200.0 / milliseconds}
    if milliseconds < 3.0:
        measured["latency_p99_ms"] = 2 * milliseconds
    return replace(row, meta=measured)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Rows of which the last two were committed before latencies were measured."""
    rows = (*(timed(row, i + 1.0) for i, row in enumerate(LOSSES[:3])), *LOSSES[3:])
    return Store(rows=rows).write(tmp_path / "timed")


def test_cost_shows_both_percentiles_and_none_where_none_was_measured(store: Path) -> None:
    table = make_table(store, "g", "cost")
    assert table.frame["latency_p50_ms"].to_list() == [1.0, 2.0, 3.0, None, None]
    assert table.frame["latency_p99_ms"].to_list() == [2.0, 4.0, None, None, None]
    assert table.frame["latency_windows"].to_list() == [200, 100, 66, None, None]
    assert LATENCY in table.notes


def test_no_other_table_changes(store: Path, tmp_path: Path) -> None:
    plain = Store().write(tmp_path / "plain")
    for kind in KINDS:
        tables = [make_table(root, "g", kind.name) for root in (store, plain)]
        same = tables[0].frame.equals(tables[1].frame) and tables[0].notes == tables[1].notes
        assert same is (kind.name != "cost"), kind.name


def test_the_figure_shows_the_rows_that_were_timed(store: Path) -> None:
    study = read_study(store, "g")
    figures = {f.name: f for f in pareto_figures(Results(study=study, cells=cells(study)))}
    assert figures[FIGURE].chart is not None
    assert "of 3 rows against latency" in figures[FIGURE].alt
    assert "Without a measured latency: always_attack, mlp." in figures[FIGURE].caption
