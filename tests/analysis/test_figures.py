"""Every figure is whole, says what it shows, and is a sentence where it has nothing to show."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import altair as alt
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import FLOOR_ROW, LOSSES, SUBSETS, Row, Store

from analysis.figures import Figure, Results, all_figures, to_inline_svg, to_png, to_svg
from analysis.figures.forest import forest_figures
from analysis.figures.fusion import CLASSES, diagnostics_frame
from analysis.figures.placing import CHARACTER, LINE, RADIUS, Box, place
from analysis.figures.results import AT_MOST, averages, by_mean, shown
from analysis.figures.style import colours, dashes, subset_name
from analysis.figures.timeline import timeline_frame
from analysis.figures.training import history_frame
from analysis.tables.decisions import cells
from analysis.tables.study import Asked, read_study
from graphids.store.files import sha256

FUSIONS = (
    Row(name="dqn", stage="fuse", effect=0.2, meta={"diagnostics": {
        "mean_alpha": 0.5, "mean_alpha_benign": 0.25, "mean_alpha_attack": 0.75}}),
    Row(name="moe", stage="fuse", meta={"diagnostics": {
        "gate_entropy": 0.3, "expert_usage_0": 0.6, "expert_usage_1": 0.4}}),
)  # fmt: skip
ROWS = (*LOSSES[:3], *FUSIONS, FLOOR_ROW)
FAMILIES = {
    "forest", "subsets", "seeds", "roc", "precision-recall", "sensitivity", "reliability", "ranks",
    "pareto-parameters", "pareto-latency-p50-ms", "pareto-chain-seconds", "training", "alpha",
    "gate", "timeline", "embeddings", "similarity", "attention", "landscape",
}  # fmt: skip
EMPTY = {"pareto-latency-p50-ms", "embeddings", "similarity", "attention", "landscape"}
"""Nothing here has measured a latency or declares an analysis."""


def results(root: Path, **asked: object) -> Results:
    study = read_study(root, "g", Asked(**asked))  # type: ignore[arg-type]
    return Results(study=study, cells=cells(study))


def family(figure: Figure) -> str:
    return re.sub(r"-\d+$", "", figure.name)


def add_history(root: Path, losses: dict[str, list[float]]) -> None:
    """Gives every committed row a history, as its stage would have written it."""
    for path in (root / "outputs").glob("*/manifest.json"):
        told = json.loads(path.read_text())
        if told["stage"] not in ("classify", "fuse"):
            continue
        frame = pl.DataFrame(
            [(epoch, name, v) for name, vs in losses.items() for epoch, v in enumerate(vs)],
            schema={"epoch": pl.Int64, "metric": pl.String, "value": pl.Float64},
            orient="row",
        )
        history = path.parent / "history.parquet"
        frame.write_parquet(history)
        entry = {"sha256": sha256(history), "bytes": history.stat().st_size}
        path.write_text(json.dumps(told | {"files": told["files"] | {"history.parquet": entry}}))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("figures")
    subsets = (*SUBSETS, "test_05_suppress")
    made = Store(rows=ROWS, datasets=("a", "b"), subsets=subsets, scores=True).write(place)
    add_history(made, {"train_loss": [1.0, 0.5], "val_loss": [1.1, 0.7], "val_auroc": [0.6, 0.9]})
    return made


@pytest.fixture(scope="module")
def figures(root: Path) -> list[Figure]:
    return list(all_figures(results(root)))


def test_every_family_has_a_figure_with_words(figures: list[Figure]) -> None:
    assert {family(figure) for figure in figures} == FAMILIES
    assert len({figure.name for figure in figures}) == len(figures)
    for figure in figures:
        assert figure.title
        assert figure.caption.endswith((".", ")"))
        assert (figure.chart is None) is (family(figure) in EMPTY), figure.name
        assert figure.chart is None or len(figure.alt) > 40


def test_every_chart_draws(figures: list[Figure]) -> None:
    for figure in figures:
        if figure.chart is not None and figure.name.endswith(
            ("forest-0", "-0", "ranks", "timeline")
        ):
            assert to_svg(figure.chart).startswith("<svg")
            assert to_png(figure.chart).startswith(b"\x89PNG")


def test_an_empty_store_gives_sentences(tmp_path: Path) -> None:
    every = tuple((row.name, seed) for row in ROWS for seed in (0, 1, 2))
    figures = list(all_figures(results(Store(rows=ROWS, absent=every).write(tmp_path))))
    assert {family(figure) for figure in figures} == FAMILIES
    assert [figure.name for figure in figures if figure.chart is not None] == []
    assert all(figure.caption for figure in figures)


def test_each_forest_names_the_baseline_of_its_rows(tmp_path: Path) -> None:
    other = (
        Row(name="vgae", axis="conv", level="a", baseline=True, stage="autoencode"),
        Row(name="wide", axis="conv", level="b", stage="autoencode", effect=0.1),
    )
    drawn = results(Store(rows=(*LOSSES[:2], *other, FLOOR_ROW)).write(tmp_path))
    forests = [figure for figure in forest_figures(drawn) if figure.chart is not None]
    for figure, base, row, axis in zip(
        forests, ("ce", "vgae"), ("focal", "wide"), ("loss", "conv"), strict=True
    ):
        assert figure.title.endswith(f"to the baseline {base}, axis {axis}")
        assert f"Row minus {base} over" in figure.caption
        assert f" to {base}, from " in figure.alt
        assert f"({row} on " in figure.alt


def test_a_chart_without_words_is_refused() -> None:
    chart = alt.Chart(alt.Data(values=[])).mark_point()
    with pytest.raises(ValueError, match="'f' has a chart and no text alternative"):
        Figure(name="f", title="t", caption="c", chart=chart)


def test_drawings_of_one_page_do_not_share_ids() -> None:
    clipped = alt.Chart(alt.Data(values=[{"x": 1}])).mark_point(clip=True).encode(x="x:Q")
    pages = [to_inline_svg(clipped, name, "a point") for name in ("one", "two")]
    ids = [re.findall(r'\bid="([^"]+)"', page) for page in pages]
    assert ids[0]
    assert not set(ids[0]) & set(ids[1])
    for page, own in zip(pages, ids, strict=True):
        assert set(re.findall(r"url\(#([^)]+)\)", page)) == set(own)
        assert "http" not in page


def test_an_inline_drawing_keeps_every_text_and_mark(figures: list[Figure]) -> None:
    for figure in figures:
        if figure.chart is not None and family(figure) in ("alpha", "subsets", "timeline"):
            whole, inline = to_svg(figure.chart), to_inline_svg(figure.chart, "f", "alt")
            texts = [re.findall(r"<text[^>]*>([^<]*)", page) for page in (whole, inline)]
            assert texts[0] == texts[1]
            assert texts[0]
            hues = [
                sorted(re.findall(r'fill="(#[0-9A-Fa-f]{6}|rgb[^"]+)"', page))
                for page in (whole, inline)
            ]
            assert hues[0] == hues[1]


def test_text_of_a_store_cannot_break_out_of_a_drawing() -> None:
    odd = '<script>alert(1)</script>"&'
    chart = alt.Chart(alt.Data(values=[{"a": odd}])).mark_point().encode(y="a:N")
    page = to_inline_svg(chart, "f", odd)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_baseline_is_black_and_every_row_has_a_sign() -> None:
    names = ["a", "base", "b", "c", "d", "e", "f"]
    hues, strokes = colours(names, ["base"]), dashes(names, ["base"])
    found = dict(zip(hues["domain"], hues["range"], strict=True))
    assert found.pop("base") == "#000000"
    assert len(set(found.values())) == len(names) - 1
    assert len(set(map(tuple, strokes["range"]))) == len(names) - 1


def test_rows_without_a_subset_are_not_averaged(tmp_path: Path) -> None:
    store = Store(rows=LOSSES)
    made = results(store.write(tmp_path))
    full = averages(made.cells, "mcc")
    cut = made.cells.filter(~((pl.col("variant") == "focal") & (pl.col("subset") == SUBSETS[1])))
    partial = averages(cut, "mcc")
    assert set(full["variant"]) - set(partial["variant"]) == {"focal"}
    ce = next(row for row in LOSSES if row.name == "ce")
    wanted = np.mean(
        [store.values(ce, "sim", seed, subset)["mcc"] for seed in store.seeds for subset in SUBSETS]
    )
    assert full.filter(variant="ce")["value"][0] == pytest.approx(wanted)
    assert by_mean(cut, "mcc")[-1] == "focal"


def test_a_crowded_figure_keeps_the_baseline_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    levels = tuple(
        Row(name=f"r{i}", axis="x", level=str(i), effect=0.05 * i) for i in range(AT_MOST + 3)
    )
    base = replace(LOSSES[0], effect=-0.4)
    made = results(Store(rows=(base, *levels, FLOOR_ROW)).write(tmp_path))
    rows = shown(made, "sim")
    assert rows.names[0] == "ce"
    assert FLOOR_ROW.name in rows.names
    assert set(rows.names[1:-1]) == {row.name for row in levels[-(AT_MOST - 1) :]}
    assert f"{AT_MOST + 1} of {len(levels) + 2} rows" in rows.told
    assert shown(results(Store().write(tmp_path / "few")), "sim").told == ""


def test_jobs_of_a_lane_never_overlap() -> None:
    rng = np.random.default_rng(0)
    starts = rng.uniform(0.0, 50.0, 60)
    told = {
        str(i): {
            "run": "r", "host": "node.example", "worker": i, "stage": "s",
            "started": start, "ended": start + length,
        }
        for i, (start, length) in enumerate(zip(starts, rng.exponential(4.0, 60), strict=True))
    }  # fmt: skip
    _, frame = timeline_frame(told)
    for _, lane in frame.group_by("lane"):
        ordered = lane.sort("started")
        assert (ordered["started"][1:] >= ordered["ended"][:-1]).all()
    zero = min(starts)
    at_once = max(
        sum(one["started"] - zero <= t < one["ended"] - zero for one in told.values())
        for t in frame["started"]
    )
    assert frame["lane"].max() == at_once
    assert frame["host"].unique().to_list() == ["host 1"]


def test_trials_that_shared_a_process_are_one_job() -> None:
    common = {"run": "r", "host": "h", "worker": 7, "stage": "fuse", "started": 3.0}
    other = common | {"run": "old", "ended": 9.0}
    run, frame = timeline_frame(
        {"a": common | {"ended": 4.0}, "b": common | {"ended": 5.0}, "c": other}
    )
    assert run == "r"
    assert frame.select("started", "ended", "trials").rows() == [(0.0, 2.0, 2)]


def test_diagnostics_are_those_of_the_manifests(root: Path) -> None:
    frame = diagnostics_frame(results(root), "a", CLASSES)
    means = frame.group_by("variant", "kind").agg(pl.col("value").mean()).sort("kind")
    assert means.rows() == [("dqn", "attack windows", 0.75), ("dqn", "benign windows", 0.25)]
    assert frame.height == 6


def test_a_history_is_read_loss_by_loss(root: Path) -> None:
    frame = history_frame(results(root), "a")
    assert set(frame["part"]) == {"training", "validation"}
    own = frame.filter(variant="ce", seed=1, part="validation").sort("epoch")
    assert own["value"].to_list() == [1.1, 0.7]
    assert FLOOR_ROW.name not in set(frame["variant"])


def test_ranks_count_each_data_set_once(figures: list[Figure]) -> None:
    (ranks,) = (figure for figure in figures if figure.name == "ranks")
    assert ranks.alt.startswith("Mean ranks over 2 data sets: ")
    given = [float(rank) for rank in re.findall(r" (\d+\.\d\d)(?=[,.])", ranks.alt)]
    assert sum(given[: len(ROWS)]) == pytest.approx(len(ROWS) * (len(ROWS) + 1) / 2, abs=0.03)


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.tuples(st.integers(0, 10), st.integers(0, 8)), min_size=1, max_size=8).map(
        lambda cells: [(60.0 + 48.0 * column, 29.0 + 24.0 * line) for column, line in cells]
    )
)
def test_names_of_few_points_hide_nothing(points: list[tuple[float, float]]) -> None:
    names = [f"row_{i}" for i in range(len(points))]
    centres = place(points, names, 600, 250)
    half = CHARACTER * len(names[0]) / 2
    boxes = [
        Box(left=x - half, low=y - LINE / 2, right=x + half, high=y + LINE / 2) for x, y in centres
    ]
    marks = [
        Box(left=x - RADIUS, low=y - RADIUS, right=x + RADIUS, high=y + RADIUS) for x, y in points
    ]
    for i, box in enumerate(boxes):
        assert box.outside(600, 250) == 0.0
        assert all(box.overlap(other) == 0.0 for other in (*boxes[:i], *marks))


def test_subsets_are_named_in_words() -> None:
    assert subset_name(SUBSETS[0]) == "01 known vehicle known attack"
    assert max(map(len, subset_name(SUBSETS[1], 14).split("\n"))) <= 14
