"""What is behind a row, and questions in SQL to a store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from synthetic import LOSSES, SUBSETS, Row, Store

from analysis.provenance import DEFAULT, why
from analysis.query import TABLES, query
from graphids.store.outputs import DamagedOutputError
from graphids.store.results import SCORES_FILE

DEEP = {"settings": {"loss": "focal", "model": {"type": "GATConfig", "heads": 8}}}
ROWS = (
    replace(LOSSES[0], manifest={"settings": {"fit": {"type": "FitConfig", "max_epochs": 8}}}),
    replace(LOSSES[1], manifest=DEEP, aliases=("focal_2",)),
    Row(name="taught", axis="loss", level="taught", teacher="ce"),
    *LOSSES[3:],
)


def test_a_row_leads_back_to_its_fingerprints(tmp_path: Path) -> None:
    store = Store(rows=ROWS, seeds=(0, 1), absent=(("focal", 1),))
    found = why(store.write(tmp_path), "g", "focal")
    assert [trial.seed for trial in found.trials] == [0]
    trial = found.trials[0]
    assert trial.fingerprint == store.key("focal", "sim", 0)
    assert (tmp_path / trial.folder / "manifest.json").is_file()
    assert trial.upstream == {"data": store.key("prepare", "sim", None)}
    assert (trial.commit, trial.threshold_rule, trial.dataset_digest) == ("abc", "max_f1", "x")
    assert found.captures["sim"][SUBSETS[0]] == [f"{SUBSETS[0]}/a.csv"]
    assert found.notes == ("focal on sim, seed 1: not run",)


def test_the_difference_to_the_baseline_is_told_field_by_field(tmp_path: Path) -> None:
    root = Store(rows=ROWS).write(tmp_path)
    found = why(root, "g", "focal_2")
    assert (found.row, found.baseline) == ("focal", "ce")
    assert found.differences == {
        "loss": (DEFAULT, "focal"),
        "model.heads": (DEFAULT, 8),
        "fit.max_epochs": (8, DEFAULT),
    }
    assert why(root, "g", "ce").differences == {}
    assert why(root, "g", "mlp").baseline is None


def test_a_stage_that_only_the_row_has_is_a_difference(tmp_path: Path) -> None:
    found = why(Store(rows=ROWS).write(tmp_path), "g", "taught")
    assert found.differences["teacher.stage"] == ("(no such stage)", "record (version 1)")
    assert found.settings["teacher.detector.stage"] == "classify (version 1)"


def test_an_unknown_row_names_the_closest(tmp_path: Path) -> None:
    root = Store().write(tmp_path)
    with pytest.raises(ValueError, match="did you mean 'focal'"):
        why(root, "g", "focla")


def test_a_question_joins_plan_and_results(tmp_path: Path) -> None:
    store = Store()
    store.write(tmp_path)
    answer = query(
        tmp_path,
        "select p.variant, avg(r.value) as mcc, count(*) as n from results r "
        "join plan p on r.fingerprint = p.fingerprint where p.role = 'row' "
        f"and r.metric = 'mcc' and r.split = '{SUBSETS[0]}' group by p.variant order by mcc desc",
    ).frame
    assert answer["variant"].to_list() == ["mlp", "focal", "ce", "weighted_ce"]
    values = [store.values(LOSSES[1], "sim", s, SUBSETS[0])["mcc"] for s in store.seeds]
    assert answer["mcc"][1] == pytest.approx(pl.Series(values).mean())


def test_a_question_reads_scores_and_trials(tmp_path: Path) -> None:
    store = Store(scores=True)
    store.write(tmp_path)
    key = store.key("ce", "sim", 1)
    answer = query(
        tmp_path, f"select max(score) as top, count(*) as n from scores where fingerprint = '{key}'"
    ).frame
    frame = store.frame(LOSSES[0], "sim", 1)
    assert answer.row(0) == (frame["score"].max(), frame.height)
    stages = query(tmp_path, "select stage, count(*) as n from trials group by stage").frame
    assert dict(stages.iter_rows()) == {"prepare": 1, "classify": 9, "fuse": 3, "baseline": 1}


def test_only_what_is_named_is_read(tmp_path: Path) -> None:
    Store(scores=True).write(tmp_path)
    path = next(tmp_path.glob(f"outputs/classify-*/{SCORES_FILE}"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert query(tmp_path, "select count(*) as n from results").frame["n"][0] > 0
    with pytest.raises(DamagedOutputError, match="does not match its manifest"):
        query(tmp_path, "select count(*) from scores")


@pytest.mark.parametrize("sql", ["select nope from trials", "select * from nowhere", "drop", "("])
def test_a_question_that_is_not_understood_is_the_users_to_mend(tmp_path: Path, sql: str) -> None:
    root = Store().write(tmp_path)
    with pytest.raises(ValueError, match="the tables are results, scores, plan, trials"):
        query(root, sql)


def test_every_table_of_an_empty_store_has_its_columns(tmp_path: Path) -> None:
    for name in TABLES:
        assert query(tmp_path, f"select * from {name}").frame.is_empty()
    with pytest.raises(FileNotFoundError, match="there is no store"):
        query(tmp_path / "none", "select 1")
