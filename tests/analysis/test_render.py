"""Formats agree cell by cell, and whatever stands in a cell cannot break out of it."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console
from synthetic import FLOOR_ROW, LOSSES, SUBSETS, Row, Store

from analysis.render import as_sheets, render
from analysis.render.cells import Sheet
from analysis.render.latex import SIGNS
from analysis.render.terminal import lines, to_terminal
from analysis.tables import KINDS, Asked, Table, make_table

ODD = r"50%_of $x & <b>{a|b}</b> \~^#"
ROWS = (LOSSES[0], Row(name=ODD, axis="loss", level="odd", effect=0.1), *LOSSES[2:])
KIND_NAMES = [kind.name for kind in KINDS if kind.name != "kd_transfer"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    subsets = (*SUBSETS, "test_05_suppress")
    return Store(rows=ROWS, subsets=subsets).write(tmp_path_factory.mktemp("render"))


class Cells(HTMLParser):
    """Rows of every table of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tables: list[list[list[str]]] = []
        self.inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self.inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.tables[-1][-1][-1] += data


def of_markdown(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        if line.startswith("| ") and not set(line) <= set("|-: "):
            parts = re.split(r"(?<!\\)\|", line)[1:-1]
            yield [re.sub(r"\\(.)", r"\1", part.strip()) for part in parts]


def of_latex(text: str) -> Iterator[list[str]]:
    back = {written: sign for sign, written in SIGNS.items()}
    pattern = re.compile("|".join(re.escape(w) for w in sorted(back, key=len, reverse=True)))
    for line in text.splitlines():
        if line.endswith(r" \\"):
            parts = re.split(r"(?<!\\) & ", line.removesuffix(r" \\"))
            yield [pattern.sub(lambda m: back[m[0]], part).removeprefix("{}") for part in parts]


def wanted(sheets: Sequence[Sheet]) -> list[list[str]]:
    return [list(row) for sheet in sheets for row in (sheet.headings, *sheet.rows)]


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_text_formats_show_one_and_the_same(root: Path, kind: str) -> None:
    table = make_table(root, "g", kind, Asked())
    sheets = as_sheets(table)
    expected = wanted(sheets)
    assert list(of_markdown(render(table, "md").decode())) == expected
    assert list(of_latex(render(table, "latex").decode())) == expected
    page = Cells()
    page.feed(render(table, "html").decode())
    shown = [[cell.strip() for cell in row] for part in page.tables for row in part[1:]]
    assert [row for row in shown if row] == expected
    out = io.StringIO()
    to_terminal(sheets, table.notes, Console(file=out, width=20))
    for line in (line for sheet in sheets for line in lines(sheet)):
        assert line in out.getvalue().splitlines()


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_data_formats_hold_the_frame(root: Path, kind: str) -> None:
    frame = make_table(root, "g", kind).frame
    assert pl.read_parquet(render(Table(kind=kind, frame=frame), "parquet")).equals(frame)
    assert json.loads(render(Table(kind=kind, frame=frame), "json")) == frame.to_dicts()
    told = list(csv.DictReader(io.StringIO(render(Table(kind=kind, frame=frame), "csv").decode())))
    assert len(told) == frame.height
    for text, row in zip(told, frame.to_dicts(), strict=True):
        for name, value in row.items():
            if isinstance(value, float):
                assert float(text[name]) == value
            elif value is None:
                assert text[name] == ""


def test_numbers_are_those_of_the_frame(root: Path) -> None:
    table = make_table(root, "g", "ablation", Asked(subset="test_01"))
    (sheet,) = as_sheets(table)
    for shown, row in zip(sheet.rows, table.frame.to_dicts(), strict=True):
        told = dict(zip(sheet.headings, shown, strict=True))
        assert float(told["MCC"].split(" ± ")[0]) == pytest.approx(row["mean"], abs=5.1e-5)
        if row["delta"] is not None:
            assert float(told["Δ MCC"]) == pytest.approx(row["delta"], abs=5.1e-5)
            assert json.loads(told["95 % interval"].replace("+", "")) == pytest.approx(
                [row["low"], row["high"]], abs=5.1e-5
            )


def test_a_saturated_validation_flags_what_depends_on_a_threshold(tmp_path: Path) -> None:
    rows = (LOSSES[0], replace(LOSSES[1], effect=5.0), FLOOR_ROW)
    Store(rows=rows, scores=True).write(tmp_path)
    for metric, flagged in (("mcc", {"focal"}), ("auroc", set())):
        table = make_table(tmp_path, "g", "ablation", Asked(metric=metric, subset="test_01"))
        (sheet,) = as_sheets(table)
        assert {row[0] for row in sheet.rows if "†" in row[1]} == flagged
    (sheet,) = as_sheets(make_table(tmp_path, "g", "main_results"))
    assert [row[0] for row in sheet.rows] == ["ce", "focal †", "always_attack"]


def test_undefined_says_why(root: Path) -> None:
    table = make_table(root, "g", "ablation", Asked(subset="test_05"))
    assert {row[1] for sheet in as_sheets(table) for row in sheet.rows} == {"n/a (no attacks)"}


def test_a_row_that_has_not_run_says_so(tmp_path: Path) -> None:
    absent = tuple(("focal", seed) for seed in (0, 1, 2))
    table = make_table(Store(absent=absent).write(tmp_path), "g", "ablation")
    for sheet in as_sheets(table):
        (row,) = [row for row in sheet.rows if row[0] == "focal"]
        assert row[1] == "n/a (not run)"


def test_mixed_rows_are_marked_in_text(tmp_path: Path) -> None:
    odd = replace(LOSSES[1], manifest={"device": "cuda"})
    Store(rows=(LOSSES[0], odd, FLOOR_ROW)).write(tmp_path)
    table = make_table(tmp_path, "g", "leaderboard", Asked(allow_mixed=True))
    names = {row[0] for sheet in as_sheets(table) for row in sheet.rows}
    assert names == {"ce", "focal ‡", "always_attack"}


def test_every_sign_of_a_table_is_known_to_latex(root: Path) -> None:
    for kind in KIND_NAMES:
        for policies in ((), ("max_f1", "centred")):
            table = make_table(root, "g", kind, Asked(policies=policies))
            unknown = {
                sign
                for text in (render(table, "md").decode(), *table.notes)
                for sign in text
                if not sign.isascii() and sign not in SIGNS
            }
            assert not unknown, [unicodedata.name(sign) for sign in unknown]


def test_a_page_is_whole_and_loads_nothing(root: Path) -> None:
    page = render(make_table(root, "g", "ablation"), "html").decode()
    assert page.startswith("<!DOCTYPE html>")
    assert "<b>" not in page
    assert not re.search(r"https?://|<script|<link|@import|url\(", page)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
@pytest.mark.parametrize("kind", KIND_NAMES)
def test_latex_compiles(root: Path, tmp_path: Path, kind: str) -> None:
    body = render(make_table(root, "g", kind, Asked(policies=("max_f1",))), "latex").decode()
    document = (
        r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs,graphicx}"
        "\n\\begin{document}\n" + body + "\\end{document}\n"
    )
    (tmp_path / "table.tex").write_text(document)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "table.pdf").stat().st_size > 1000
    assert "Missing character" not in done.stdout
