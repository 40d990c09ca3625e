"""Figures of analyses show what was committed, and analyses stay out of every table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from looked_at import Look, add_looks, attention, embeddings, landscape, similarity
from synthetic import LOSSES, Row, Store

from analysis.figures import Figure, Results, to_inline_svg
from analysis.figures.analysed import DATASETS, analysed
from analysis.figures.attention import attention_figures, attention_frame, windows
from analysis.figures.embeddings import embeddings_figures, embeddings_frame
from analysis.figures.landscape import AT_MOST, BANDS, landscape_figures, landscape_frame
from analysis.figures.similarity import similarity_figures, similarity_frame
from analysis.report import read_report, to_page
from analysis.tables import KINDS
from analysis.tables.decisions import cells
from analysis.tables.study import read_study
from graphids.store.outputs import DamagedOutputError

FAMILIES = {
    "embeddings": embeddings_figures, "similarity": similarity_figures,
    "attention": attention_figures, "landscape": landscape_figures,
}  # fmt: skip
LOOKS = (
    embeddings("ce_embeddings", "ce"),
    similarity("pair", "focal", "ce", [[0.5, np.nan], [0.25, -0.1], [0.0, 1.0]]),
    attention("ce_attention", "ce"),
    landscape("ce_landscape", "ce", [[4.0, 2.0, 9.0], [2.0, 1.0, 0.5], [3.0, np.nan, 400.0]]),
)
STORE = Store(seeds=(0, 1))


def results(root: Path) -> Results:
    study = read_study(root, "g")
    return Results(study=study, cells=cells(study))


def look(root: Path, stage: str) -> list[Figure]:
    return list(FAMILIES[stage](results(root)))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("looks")
    return add_looks(STORE, STORE.write(made), LOOKS)


def test_every_analysis_is_drawn_and_told(root: Path) -> None:
    for stage in FAMILIES:
        (figure,) = look(root, stage)
        assert figure.chart is not None, stage
        drawn = to_inline_svg(figure.chart, figure.name, figure.alt)
        assert "<path" in drawn
        assert "ce" in figure.alt
        assert "NaN" not in drawn
        assert "seed 0" in figure.caption


def test_a_grid_without_analyses_has_a_sentence_each(tmp_path: Path) -> None:
    STORE.write(tmp_path)
    for stage in FAMILIES:
        (figure,) = look(tmp_path, stage)
        assert figure.chart is None
        assert "The grid declares no analysis of" in figure.caption
        assert figure.name == stage


def test_an_analysis_that_has_not_run_is_told(tmp_path: Path) -> None:
    planned = Look(name="later", stage="landscape", of={"detector": "ce"}, committed=False)
    add_looks(STORE, STORE.write(tmp_path), (planned,))
    (figure,) = look(tmp_path, "landscape")
    assert figure.chart is None
    assert "committed yet" in figure.caption


def test_analyses_change_no_table_and_no_count(root: Path, tmp_path: Path) -> None:
    STORE.write(tmp_path)
    bare, whole = read_study(tmp_path, "g"), read_study(root, "g")
    assert whole.analyses["variant"].to_list() == [one.name for one in LOOKS]
    assert whole.rows.equals(bare.rows)
    assert whole.manifests.keys() == bare.manifests.keys()
    found = cells(whole)
    assert found.equals(cells(bare))
    for kind in KINDS:
        make = kind.maker()
        with_looks, without = make(whole, found), make(bare, cells(bare))
        assert with_looks.frame.equals(without.frame), kind.name


def test_a_page_holds_them(root: Path) -> None:
    page = to_page(read_report(root, "g"), "Does it?")
    for name in ("embeddings-0-0", "similarity-0", "attention-0-0", "landscape-0"):
        assert f'<figure id="{name}">' in page


def test_a_file_that_was_changed_is_not_drawn(tmp_path: Path) -> None:
    add_looks(STORE, STORE.write(tmp_path), LOOKS[:1])
    (path,) = tmp_path.glob("outputs/*/embeddings.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DamagedOutputError):
        look(tmp_path, "embeddings")


def test_rows_are_named_and_what_is_no_row_by_its_label(root: Path, tmp_path: Path) -> None:
    (one,) = analysed(results(root), "sim", "similarity")
    assert one.of == {"teacher": "focal", "student": "ce"}
    rows = tuple(row for row in LOSSES if row.name != "focal")
    store = Store(rows=rows, seeds=(0,))
    add_looks(store, store.write(tmp_path), LOOKS[1:2])
    (other,) = analysed(results(tmp_path), "sim", "similarity")
    assert other.of["student"] == "ce"
    assert other.of["teacher"] == store.key("focal", "sim", 0)[:12]


def test_points_are_the_windows(root: Path) -> None:
    (one,) = analysed(results(root), "sim", "embeddings")
    frame = embeddings_frame(one)
    assert frame["class"].value_counts(sort=True).rows() == [("benign", 60), ("attack", 20)]
    assert set(frame.filter(pl.col("class") == "attack")["attack"]) == {"dos"}
    assert frame["attack"].null_count() == 60
    np.testing.assert_allclose(frame.select("x", "y").to_numpy(), one.tensors["xy"])


def test_an_undefined_similarity_is_no_number(root: Path) -> None:
    frame = similarity_frame(analysed(results(root), "sim", "similarity"))
    assert frame["value"].to_list() == [0.5, None, 0.25, -0.1, 0.0, 1.0]
    assert frame["teacher"].unique(maintain_order=True).to_list() == ["conv 0", "conv 1", "conv 2"]
    (figure,) = look(root, "similarity")
    assert figure.chart is not None
    drawn = to_inline_svg(figure.chart, figure.name, figure.alt)
    assert ">n/a<" in drawn
    assert ">−0.10<" in drawn


def test_attention_is_shared_out_among_ids(root: Path) -> None:
    (one,) = analysed(results(root), "sim", "attention")
    frame = attention_frame(one, windows(one)[:1])
    assert set(frame["target"]) == {"010"}
    shares = dict(frame.select("source", "share").iter_rows())
    assert shares == pytest.approx({"010": 0.4, "2a0": 0.1, "7ff": 0.5})
    plain = dict(frame.select("source", "messages").iter_rows())
    assert plain == pytest.approx({"010": 0.25, "2a0": 0.25, "7ff": 0.5})


def test_the_surest_attack_is_shown_and_in_every_classifier_alike(tmp_path: Path) -> None:
    looks = (attention("one", "ce"), attention("two", "focal", (0.99, 0.3, 0.4, 0.35)))
    add_looks(STORE, STORE.write(tmp_path), looks)
    first, second = look(tmp_path, "attention")
    assert "attack: dos, score 0.900" in first.alt
    assert "benign, score 0.200" in first.alt
    assert "attack: dos, score 0.400" in second.alt
    assert "highest score of ce" in second.caption
    assert "drawn with it" in second.caption
    assert ["as in the first figure" in one.caption for one in (first, second)] == [False, True]
    assert "7ff, 50% of all where its messages alone would draw 50%" in first.alt


@pytest.mark.parametrize("moved", [1000, 300])
def test_a_classifier_without_these_windows_shows_its_own_surest(
    tmp_path: Path, moved: int
) -> None:
    made = attention("two", "focal", (0.99, 0.3, 0.4, 0.35))
    # None of the first one's windows at 200 and 300, or one of the two.
    places = made.tensors["first_message"] + moved
    other = Look(**{**vars(made), "tensors": {**made.tensors, "first_message": places}})
    add_looks(STORE, STORE.write(tmp_path), (attention("one", "ce"), other))
    first, second = look(tmp_path, "attention")
    assert "highest score of ce" in first.caption
    assert "attack: dos, score 0.990" in second.alt
    assert "benign, score 0.300" in second.alt
    assert "highest score of focal" in second.caption
    assert "as in the first figure" not in second.caption


def test_a_benign_window_is_told_only_where_one_is_shown(tmp_path: Path) -> None:
    # After the surest comes another attack.
    made = attention("one", "ce")
    labels = {name: made.tensors[name][[0, 1, 0, 0]] for name in ("label", "attack_type")}
    alone = Look(**{**vars(made), "tensors": {**made.tensors, **labels}})
    add_looks(STORE, STORE.write(tmp_path), (alone,))
    (figure,) = look(tmp_path, "attention")
    assert "attack: dos, score 0.900" in figure.alt
    assert "benign" not in figure.alt + figure.caption


def test_without_an_attack_a_benign_window_is_shown(tmp_path: Path) -> None:
    made = attention("one", "ce")
    benign = {name: np.zeros(4, dtype=np.int64) for name in ("label", "attack_type")}
    quiet = Look(**{**vars(made), "tensors": {**made.tensors, **benign}})
    add_looks(STORE, STORE.write(tmp_path), (quiet,))
    (figure,) = look(tmp_path, "attention")
    assert "none of those drawn is an attack" in figure.caption
    assert "benign, score 0.500" in figure.alt
    assert "attack:" not in figure.alt


def test_a_loss_is_told_as_a_multiple_of_that_in_the_middle(root: Path) -> None:
    frame = landscape_frame(analysed(results(root), "sim", "landscape"))
    assert frame["times"].to_list() == [4.0, 2.0, 9.0, 2.0, 1.0, 0.5, 3.0, None, 400.0]
    # Rows of the square are steps along the first direction, which is drawn from left to right.
    assert frame.filter(x=0.0, y=1.0)["times"][0] == 0.5
    assert frame.filter(x=1.0, y=-1.0)["times"][0] == 3.0
    assert [upper for upper, _ in BANDS.values()] == sorted(u for u, _ in BANDS.values())
    (figure,) = look(root, "landscape")
    assert "ce 1 in the middle, from 0.5 to 400 around it" in figure.alt
    assert figure.chart is not None
    drawn = to_inline_svg(figure.chart, figure.name, figure.alt)
    for band in ("below", "to 1.1", "to 2", "to 3", "to 5", "to 10", "above"):
        assert f">{band}<" in drawn, band
    assert ">to 100<" not in drawn
    assert figure.caption.endswith("Grey: not finite.")


@pytest.mark.parametrize("middle", [0.0, -1.0, np.nan])
def test_a_middle_that_nothing_is_a_multiple_of_is_told(tmp_path: Path, middle: float) -> None:
    square = [[2.0, 2.0, np.inf], [2.0, middle, 2.0], [2.0, 2.0, 2.0]]
    add_looks(STORE, STORE.write(tmp_path), (landscape("of_ce", "ce", square),))
    frame = landscape_frame(analysed(results(tmp_path), "sim", "landscape"))
    assert frame["times"].null_count() == 9
    assert frame["loss"].null_count() == 1 + np.isnan(middle)
    (figure,) = look(tmp_path, "landscape")
    assert figure.caption.endswith("or no multiple, where the middle is no positive number.")
    assert figure.chart is not None
    drawn = to_inline_svg(figure.chart, figure.name, figure.alt)
    assert "in the middle" in drawn
    assert not [band for band in BANDS if f">{band}<" in drawn]


def test_the_loss_that_was_evaluated_is_named(tmp_path: Path) -> None:
    square = [[2.0, 2.0, 2.0], [2.0, 1.0, 2.0], [2.0, 2.0, 2.0]]
    first, second = (landscape(f"of_{row}", row, square) for row in ("ce", "focal"))
    other = Look(**{**vars(second), "meta": {**second.meta, "loss": "FocalLoss"}})
    add_looks(STORE, STORE.write(tmp_path / "alike"), (first, second))
    add_looks(STORE, STORE.write(tmp_path / "apart"), (first, other))
    (alike,), (apart,) = (look(tmp_path / name, "landscape") for name in ("alike", "apart"))
    assert alike.caption.startswith("Loss (CrossEntropy) in a plane")
    assert apart.caption.startswith("Loss (CrossEntropy of ce; FocalLoss of focal) in a plane")
    assert "a checkpoint does not keep" in apart.caption


def test_a_report_of_many_shows_some_and_says_so(tmp_path: Path) -> None:
    rows = tuple(Row(name=f"r{i}", baseline=i == 0) for i in range(AT_MOST + 2))
    datasets = tuple(f"set_{i}" for i in range(DATASETS + 2))
    store = Store(rows=rows, datasets=datasets, seeds=(0,))
    square = [[2.0, 2.0, 2.0], [2.0, 1.0, 2.0], [2.0, 2.0, 2.0]]
    looks = [landscape(f"of_{row.name}", row.name, square) for row in rows]
    add_looks(store, store.write(tmp_path), looks)
    *drawn, last = look(tmp_path, "landscape")
    assert len(drawn) == DATASETS
    assert all(f"first {AT_MOST} of {len(rows)} detectors" in figure.caption for figure in drawn)
    assert last.chart is None
    assert "set_4, set_5" in last.caption


def test_seeds_of_one_row_are_told_apart(tmp_path: Path) -> None:
    square = [[2.0, 2.0, 2.0], [2.0, 1.0, 2.0], [2.0, 2.0, 2.0]]
    made = landscape("of_ce", "ce", square)
    looks = [made, Look(**{**vars(made), "name": "of_ce_1", "seed": 1})]
    add_looks(STORE, STORE.write(tmp_path), looks)
    frame = landscape_frame(analysed(results(tmp_path), "sim", "landscape"))
    assert frame["row"].unique().sort().to_list() == ["ce, seed 0", "ce, seed 1"]
