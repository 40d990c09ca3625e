"""Rows with unequal seeds by a declared rule: every table and figure takes them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from synthetic import FLOOR_ROW, LOSSES, Store

from analysis.figures import all_figures
from analysis.figures.results import Results
from analysis.sequential_rule import Rule, declare, make_rule
from analysis.tables import KINDS, MixedRowsError, make_table
from analysis.tables.decisions import cells
from analysis.tables.seeds import standings
from analysis.tables.study import read_study
from graphids.store.ledger import Ledger

BASE, FOCAL, WEIGHTED = LOSSES[:3]


def usual_rule() -> Rule:
    return make_rule(
        metric="mcc", subset=None, most=20, margin=None, seeds=range(3), rows=2, design="d"
    )


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Focal loss was decided at nine seeds, the weighted one went on to thirteen."""
    Store(seeds=range(3), scores=True).write(tmp_path)
    declare(tmp_path, "g", usual_rule())
    Store(seeds=range(9), scores=True, run="run-2", rows=(BASE, FOCAL, WEIGHTED)).write(tmp_path)
    Store(seeds=range(13), scores=True, run="run-3", rows=(BASE, WEIGHTED)).write(tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS])
def test_every_table_takes_them(kind: str, store: Path) -> None:
    table = make_table(store, "g", kind)
    assert "mixed" not in table.frame.columns
    told = any(note.startswith("seeds: rows have unequal numbers") for note in table.notes)
    assert told is (kind not in ("cost", "dataset_summary"))


def test_the_same_seeds_without_a_rule_are_refused(store: Path) -> None:
    (store / "plans" / "g" / "seeds.json").unlink()
    with pytest.raises(MixedRowsError, match="was planned with seeds"):
        make_table(store, "g", "ablation")


def test_a_rule_of_another_design_is_none_of_these_rows(store: Path) -> None:
    path = store / "plans" / "g" / "seeds.json"
    path.write_text(path.read_text().replace('"design": "d"', '"design": "another"'))
    assert read_study(store, "g").rule is None
    with pytest.raises(MixedRowsError, match="was planned with seeds"):
        make_table(store, "g", "ablation")


def test_figures_take_them(store: Path) -> None:
    study = read_study(store, "g")
    figures = list(all_figures(Results(study=study, cells=cells(study))))
    assert {figure.name for figure in figures if figure.chart} > {"forest-0", "seeds-0"}


def test_differences_are_means_over_subsets_of_common_seeds(store: Path) -> None:
    study = read_study(store, "g")
    assert study.rule is not None
    found = {one.variant: one for one in standings(study, study.rule)}
    values = cells(study).group_by("variant", "seed").agg(pl.col("mcc").mean())
    means = {(variant, seed): value for variant, seed, value in values.iter_rows()}
    for name, seeds in (("focal", 9), ("weighted_ce", 13)):
        look = found[name].looks[-1]
        delta = sum(means[name, s] - means["ce", s] for s in range(seeds)) / seeds
        assert (look.seeds, look.pairs) == (seeds, seeds)
        assert look.mean == pytest.approx(delta)
    assert "mlp" not in found, "it has no baseline"


def test_a_look_waits_for_what_has_not_run_and_not_for_what_has_failed(tmp_path: Path) -> None:
    made = Store(seeds=range(9), rows=(BASE, FOCAL, FLOOR_ROW), absent=(("focal", 4),))
    made.write(tmp_path)
    rule = usual_rule()
    (waiting,) = standings(read_study(tmp_path, "g"), rule)
    assert (waiting.looks, waiting.awaited) == ((), 9)
    failure = {"kind": "nan", "error": "loss is nan", "label": ""}
    Ledger(tmp_path).fail(made.key("focal", "sim", 4), failure)
    (taken,) = standings(read_study(tmp_path, "g"), rule)
    assert [(look.seeds, look.pairs) for look in taken.looks] == [(9, 8)]
    assert "look at 9, 8 pairs" in taken.told()
