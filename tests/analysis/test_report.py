"""A report is one page that loads nothing, hides nothing and says what its store says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from pages import Page
from synthetic import FLOOR_ROW, LOSSES, SUBSETS, Row, Store

from analysis import report_tables
from analysis.render import as_sheets
from analysis.render.cells import Sheet
from analysis.report import LEFT_OUT, Report, read_report, to_page, write_figures
from analysis.report_page import prose, tables
from analysis.tables import KINDS, Asked, MixedRowsError, Table
from graphids.commands.errors import RequestError
from graphids.commands.report import main, question
from graphids.store.ledger import Ledger
from graphids.store.results import PlanFacts

ODD = "a<b>&\"'</table><script>alert(1)</script>"
QUESTION = 'Does ``loss`` matter <here> & now?\n\nAxis ``loss``: three of them.\n"Quoted."'
DROPPED = {"variant": "both", "rule": "no_pairs", "reason": "it makes no sense"}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    store = Store(
        rows=(*LOSSES[:2], Row(name=ODD, axis="loss", level="odd", effect=0.1), *LOSSES[2:]),
        subsets=(*SUBSETS, "test_05_suppress"),
        scores=True,
        absent=(("weighted_ce", 2),),
        facts=PlanFacts(dropped=(DROPPED,), notes=("sim: a capture is used once",)),
    )
    root = store.write(tmp_path_factory.mktemp("secret-place"))
    failure = {"label": "weighted_ce", "error": "ValueError: <lost> it\nmore", "kind": "bug"}
    Ledger(root).fail(store.key("weighted_ce", "sim", 2), failure)
    return read_report(root, "g")


@pytest.fixture(scope="module")
def text(report: Report) -> str:
    return to_page(report, QUESTION)


def wanted(sheets: Sequence[Sheet]) -> list[list[list[str]]]:
    return [[list(row) for row in (sheet.headings, *sheet.rows)] for sheet in sheets if sheet.rows]


def made(report: Report, kind: str) -> Table:
    (known,) = (one for one in KINDS if one.name == kind)
    table: Table = known.maker()(report.results.study, report.results.cells)
    return table


def test_a_page_nests_and_loads_nothing(text: str) -> None:
    page = Page.read(text)
    assert page.faults == []
    assert not re.search(r"https?:|//[a-z]|<link|<img|@import|javascript:", text, re.IGNORECASE)
    assert page.named("script") == []
    assert set(re.findall(r"url\(([^)]*)\)", text)) <= {
        f"#{element.attributes['id']}" for element in page.elements if "id" in element.attributes
    }
    assert all(element.attributes["href"].startswith("#") for element in page.named("a"))


def test_every_id_is_one_and_every_link_arrives(text: str) -> None:
    page = Page.read(text)
    ids = [element.attributes["id"] for element in page.elements if "id" in element.attributes]
    assert len(set(ids)) == len(ids)
    links = {element.attributes["href"].removeprefix("#") for element in page.named("a")}
    assert links
    assert links <= set(ids)


def test_every_figure_has_a_text_alternative_and_a_caption(report: Report, text: str) -> None:
    page = Page.read(text)
    drawn = [one for one in report.figures if one.chart is not None]
    assert [svg.attributes["aria-label"] for svg in page.named("svg")] != []
    assert {svg.attributes["aria-label"] for svg in page.named("svg")} == {f.alt for f in drawn}
    assert {svg.attributes["role"] for svg in page.named("svg")} == {"img"}
    assert len(page.named("figure")) == len(page.named("figcaption")) == len(drawn)
    for one in report.figures:
        assert one.caption in "".join(element.text for element in page.named("body"))


def test_every_cell_is_that_of_its_frame(report: Report, text: str) -> None:
    shown = Page.read(text).tables
    study = report.results.study
    expected = wanted(as_sheets(report_tables.design(study)))
    for kind in KINDS:
        if kind.name not in LEFT_OUT:
            expected += wanted(as_sheets(made(report, kind.name)))
    expected += wanted(as_sheets(made(report, "ablation")))
    expected += wanted(as_sheets(report_tables.trials(study)))
    for table in expected:
        assert table in shown
    assert len(shown) == len(expected)


def test_numbers_of_the_main_table_are_those_of_the_frame(report: Report, text: str) -> None:
    frame = made(report, "ablation").frame
    tables = [table for table in Page.read(text).tables if "Δ MCC" in table[0]]
    rows = [dict(zip(table[0], row, strict=True)) for table in tables for row in table[1:]]
    assert len(rows) == frame.height
    for told, row in zip(rows, frame.to_dicts(), strict=True):
        if row["mean"] is not None:
            mean = float(told["MCC"].removesuffix(" †").split(" ± ")[0])
            assert mean == pytest.approx(row["mean"], abs=5.1e-5)
        if row["delta"] is not None:
            assert float(told["Δ MCC"]) == pytest.approx(row["delta"], abs=5.1e-5)


def test_question_and_words_of_the_store_are_escaped(text: str) -> None:
    page = Page.read(text)
    (head,) = page.named("h1")
    assert head.text == QUESTION.split("\n")[0]
    assert "<script" not in text
    assert any(ODD in cell for table in page.tables for row in table for cell in row)
    assert any(ODD in svg.text for svg in page.named("svg"))
    assert "<code>loss</code>: three of them." in text


def test_doubts_are_told(text: str) -> None:
    words = "".join(element.text for element in Page.read(text).named("body"))
    assert "no row both (rule no_pairs): it makes no sense" in words
    assert "a capture is used once" in words
    assert "weighted_ce on sim, seed 2: failed: ValueError: <lost> it" in words
    assert "trials by max_f1 on validation" in words
    assert "No committed trial was predicted before it ran." in words


def test_a_page_names_no_place_and_no_host(report: Report, text: str) -> None:
    root = report.results.study.outputs.root
    assert str(root) not in text
    assert root.name not in text
    hosts = [told["host"] for told in report.results.study.manifests.values()]
    assert set(hosts) == {"h"}
    assert not re.search(r">h<|host h\b", text)


def test_a_page_is_the_same_twice(report: Report, text: str) -> None:
    root = report.results.study.outputs.root
    assert to_page(read_report(root, "g"), QUESTION) == text


def test_predictions_stand_beside_measurements(tmp_path: Path) -> None:
    told = {
        "predicted_bytes": 2**19,
        "predicted_seconds": 20.0,
        "peak_bytes": 2**20,
        "seconds": 5.0,
    }
    rows = (replace(LOSSES[0], manifest=told), FLOOR_ROW)
    report = read_report(Store(rows=rows, seeds=(0,)).write(tmp_path), "g")
    frame = report_tables.predicted(report.results.study).frame
    assert frame["bytes_ratio"].to_list() == [2.0]
    assert frame["seconds_ratio"].to_list() == [0.25]
    assert "Predicted against measured" in to_page(report, "")


def test_rows_that_do_not_compare_are_refused_or_marked(tmp_path: Path) -> None:
    odd = replace(LOSSES[1], manifest={"device": "cuda"})
    Store(rows=(LOSSES[0], odd, FLOOR_ROW)).write(tmp_path)
    with pytest.raises(MixedRowsError, match="focal"):
        read_report(tmp_path, "g")
    text = to_page(read_report(tmp_path, "g", Asked(allow_mixed=True)), "")
    assert "focal ‡" in text
    assert "1 difference keeps rows from being compared" in text


@pytest.mark.parametrize("odd", ["focal", "ce"])
def test_rows_that_do_not_compare_are_no_findings(odd: str, tmp_path: Path) -> None:
    """Where the baseline is the odd one, so is every row that is compared with it."""
    first = Row(name="first", axis="loss", level="first")
    rows = [replace(row, manifest={"device": "cuda"} if row.name == odd else {})
            for row in (first, *LOSSES[:3])]  # fmt: skip
    store = Store(rows=(*rows, FLOOR_ROW), seeds=range(8)).write(tmp_path)
    report = read_report(store, "g", Asked(allow_mixed=True))
    kept = made(report, "ablation").frame.drop_nulls("delta")
    kept = kept.filter(pl.col("variant").is_in(["first", "weighted_ce"]), pl.lit(odd == "focal"))
    words = Page.read(to_page(report, "")).named("body")[0].text
    (forest,) = (one for one in report.figures if one.name == "forest-0")
    assert f"{6 - len(kept)} paired comparisons are of rows that do not compare" in words
    assert (f"{len(kept)} paired comparisons of MCC with the baseline" in words) is bool(len(kept))
    assert f"{(kept['p_holm'] <= 0.05).sum()} of them told apart from 0" in forest.alt
    assert f"{odd} ‡" in forest.alt + forest.caption
    assert "best row by mean MCC over test subsets, focal" not in words or odd != "focal"
    for one in report.figures:
        told = f"‡ Not to be compared with the other rows: {odd} on sim." in one.caption
        assert told is (one.chart is not None), one.name


def test_a_store_without_results_makes_a_page_of_sentences(tmp_path: Path) -> None:
    every = tuple((row.name, seed) for row in LOSSES for seed in (0, 1, 2))
    page = Page.read(to_page(read_report(Store(absent=every).write(tmp_path), "g"), ""))
    assert page.faults == []
    assert page.named("svg") == []
    words = "".join(element.text for element in page.named("body"))
    assert "No row is compared with a baseline yet." in words
    assert "not run" in words


def test_long_tables_are_folded_and_the_main_one_is_not() -> None:
    sheet = Sheet(title="t", headings=("a",), left=(True,), rows=(("x",),) * 50)
    assert tables([sheet]).startswith("<details>")
    assert "details" not in tables([sheet], fold=None)
    assert prose("") == ""


def test_figures_are_written_as_files(report: Report, tmp_path: Path) -> None:
    drawn = [one for one in report.figures if one.chart is not None][:2]
    written = write_figures(replace(report, figures=tuple(drawn)), tmp_path / "new")
    assert {path.name for path in written} == {
        f"{one.name}.{suffix}" for one in drawn for suffix in ("svg", "png")
    }
    for path in written:
        content = path.read_bytes()
        assert content.startswith(b"<svg" if path.suffix == ".svg" else b"\x89PNG")


def test_the_question_is_read_and_not_imported(tmp_path: Path) -> None:
    assert question("smoke").startswith("Does the whole chain work here?")
    own = tmp_path / "own.py"
    own.write_text('"""What is asked?"""\nraise SystemExit("imported")\n')
    assert question(str(own)) == "What is asked?"
    assert question("no_such_grid") == ""
    assert question("common") == ""


def test_the_command_needs_neither_torch_nor_ray(report: Report, tmp_path: Path) -> None:
    out = tmp_path / "new" / "report.html"
    arguments = {
        "grid": "g", "out": str(out), "store": str(report.results.study.outputs.root),
    }  # fmt: skip
    code = (
        "import json, sys, pathlib\nfrom graphids.commands.report import main\n"
        "told = {k: v if k == 'grid' else pathlib.Path(v) for k, v in "
        "json.loads(sys.argv[1]).items()}\n"
        "main(**told, figures=None, metric='mcc', dataset=None, allow_mixed=False)\n"
        "print({'torch', 'ray', 'lightning'} & {name.split('.')[0] for name in sys.modules})\n"
    )
    command = [sys.executable, "-c", code, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "set()"
    assert Page.read(out.read_text()).faults == []


def test_what_cannot_be_met_is_a_message(report: Report, tmp_path: Path) -> None:
    root = report.results.study.outputs.root
    asked = {"figures": None, "metric": "mcc", "dataset": None, "allow_mixed": False}
    with pytest.raises(RequestError, match="no run of grid 'other'"):
        main(grid="other", out=tmp_path / "a.html", store=root, **asked)  # type: ignore[arg-type]
    with pytest.raises(RequestError, match="--metric takes"):
        main(grid="g", out=tmp_path / "a.html", store=root, **asked | {"metric": "no"})  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_figures_that_cannot_be_written_leave_the_page(report: Report, tmp_path: Path) -> None:
    root = report.results.study.outputs.root
    asked = {"store": root, "metric": "mcc", "dataset": None, "allow_mixed": False}
    out, taken = tmp_path / "page.html", tmp_path / "taken"
    taken.write_text("a file")
    with pytest.raises(RequestError, match=r"--figures .*taken cannot be written: File exists"):
        main(grid="g", out=out, figures=taken, **asked)  # type: ignore[arg-type]
    assert Page.read(out.read_text()).faults == []
    with pytest.raises(RequestError, match=r"--out .*taken/a cannot be written: "):
        main(grid="g", out=taken / "a", figures=None, **asked)  # type: ignore[arg-type]
    assert {path.name for path in tmp_path.iterdir()} == {"page.html", "taken"}
