"""The tables of results: statistics over seeds, what is missing, the floor, decisions."""

from __future__ import annotations

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from synthetic import FLOOR_ROW, LOSSES, SUBSETS, Row, Store

from analysis.statistics import ALPHA, holm, paired
from analysis.tables import METRICS, Asked, Table, ablation_table, make_table
from analysis.tables.ablation import COLUMNS, compare, verdict
from analysis.tables.ablation import holm as holm_over_axes
from analysis.tables.decisions import NAMES, policy
from analysis.thresholds import apply_policy
from graphids.grid.grid import FLOOR
from graphids.store.ledger import Ledger
from graphids.store.outputs import DamagedOutputError
from graphids.store.results import METRICS_FILE, PlanFacts

SUPPRESS = (*SUBSETS, "test_05_suppress")


def cell(table: Table, **where: object) -> dict[str, Any]:
    (found,) = table.frame.filter(**where).to_dicts()
    return found


def value(store: Store, name: str, seed: int, metric: str = "mcc", subset: str = SUBSETS[0]) -> Any:
    (row,) = (row for row in store.rows if row.name == name)
    return store.values(row, "sim", seed, subset)[metric]


def test_the_long_table_has_exactly_its_columns_and_every_row(tmp_path: Path) -> None:
    table = make_table(Store(subsets=SUPPRESS).write(tmp_path), "g", "metrics")
    assert tuple(table.frame.columns) == COLUMNS
    assert table.frame.height == len(SUPPRESS) * len(LOSSES) * len(METRICS)
    for subset in SUPPRESS:
        names = table.frame.filter(subset=subset, metric="f1")["variant"].to_list()
        assert names == [row.name for row in LOSSES]
    floor = cell(table, variant=FLOOR, metric="f1", subset=SUBSETS[0])
    assert (floor["mean"], floor["std"], floor["n"], floor["axis"], floor["level"]) == (
        pytest.approx(2 * 20 / 90), None, 1, None, None,
    )  # fmt: skip


def test_mean_and_deviation_are_those_of_the_seeds(tmp_path: Path) -> None:
    store = Store()
    found = cell(make_table(store.write(tmp_path), "g", "metrics"), variant="focal",
                 metric="mcc", subset=SUBSETS[0])  # fmt: skip
    values = [value(store, "focal", seed) for seed in store.seeds]
    assert found["mean"] == pytest.approx(statistics.mean(values))
    assert found["std"] == pytest.approx(statistics.stdev(values))
    assert found["n"] == 3


def test_undefined_is_null_and_counts_no_seed(tmp_path: Path) -> None:
    root = Store(subsets=SUPPRESS).write(tmp_path)
    table = make_table(root, "g", "metrics", Asked(subset="test_05"))
    undefined = table.frame.filter(pl.col("metric").is_in(["f1", "mcc", "auroc", "ap", "recall"]))
    assert undefined["mean"].is_null().all()
    assert set(undefined["n"]) == {0}
    assert set(table.frame.filter(metric="n_attacks")["mean"]) == {0.0}


def test_validation_and_single_attacks_stay_out(tmp_path: Path) -> None:
    table = make_table(Store().write(tmp_path), "g", "metrics")
    assert set(table.frame["subset"]) == set(SUBSETS)
    assert not {0.123, 0.456} & set(table.frame["mean"].to_list())


@pytest.mark.parametrize("seeds", [2, 5, 8])
def test_paired_columns_are_those_of_the_slow_statistics(tmp_path: Path, seeds: int) -> None:
    store = Store(seeds=range(seeds))
    table = ablation_table(store.write(tmp_path), "g")
    for subset in SUBSETS:
        expected = {
            name: paired(
                [
                    value(store, name, seed, subset=subset)
                    - value(store, "ce", seed, subset=subset)
                    for seed in store.seeds
                ]
            )
            for name in ("focal", "weighted_ce")
        }
        adjusted = holm([found.p for found in expected.values()])
        for (name, one), p_holm in zip(expected.items(), adjusted, strict=True):
            found = cell(table, variant=name, subset=subset)
            assert found["delta"] == pytest.approx(one.mean)
            assert (found["p"], found["p_holm"]) == (one.p, pytest.approx(p_holm))
            assert found["d_z"] == pytest.approx(one.d_z)
            assert found["d_z_low"] == pytest.approx(one.d_z_low, rel=1e-6)
            assert found["n_pairs"] == seeds
            assert (found["low"] is None) == (one.low is None)


def test_rows_pair_with_the_baseline_of_their_last_stage_alone(tmp_path: Path) -> None:
    rows = (
        *LOSSES[:3],
        Row(name="vgae", axis="unsupervised", level="vgae", baseline=True, stage="autoencode"),
        Row(name="dgi", axis="unsupervised", level="dgi", stage="autoencode", effect=0.3),
        *LOSSES[3:],
    )
    store = Store(rows=rows)
    table = ablation_table(store.write(tmp_path), "g", subset="test_01")
    delta = statistics.mean(value(store, "dgi", s) - value(store, "vgae", s) for s in store.seeds)
    assert cell(table, variant="dgi")["delta"] == pytest.approx(delta)
    assert cell(table, variant="mlp")["delta"] is None
    assert cell(table, variant=FLOOR)["delta"] is None


def test_no_row_is_underpowered_that_reaches_the_level() -> None:
    """Behind three rows of many pairs, six pairs of one sign are told apart by the last step."""
    rng = np.random.default_rng(0)
    pairs = {"base": 20, "x": 20, "y": 20, "z": 20, "few": 6, "fewest": 4}
    cells = pl.DataFrame(
        [
            {
                "dataset": "d", "subset": SUBSETS[0], "policy": "as run", "variant": name,
                "axis": "loss", "stage": "classify", "role": "row", "baseline": name == "base",
                "seed": seed, "fingerprint": f"{name} {seed}", "n_windows": 5.0, "n_attacks": 2.0,
                "mcc": 0.5 + 0.3 * (name != "base") + 0.01 * rng.normal(),
            }
            for name, count in pairs.items()
            for seed in range(count)
        ]
    )  # fmt: skip
    told = {}
    for left_out in ([], ["fewest"]):
        chosen = cells.filter(~pl.col("variant").is_in(left_out))
        compared = holm_over_axes(compare(chosen, "mcc")).with_columns(baseline=pl.lit(value=False))
        frame = compared.with_columns(verdict("mcc"))
        short = frame.filter(verdict="underpowered")
        assert (short["p_holm"] > ALPHA).all()
        told[len(left_out)] = dict(frame.select("variant", "verdict").iter_rows())
    assert told[1]["few"] == "higher (better)"
    assert told[0]["fewest"] == "underpowered"


def test_few_seeds_are_called_underpowered_and_many_are_not(tmp_path: Path) -> None:
    few = ablation_table(Store(seeds=range(5)).write(tmp_path / "few"), "g")
    many = ablation_table(Store(seeds=range(12)).write(tmp_path / "many"), "g")
    assert cell(few, variant="focal", subset=SUBSETS[0])["verdict"] == "underpowered"
    assert cell(many, variant="focal", subset=SUBSETS[0])["verdict"] == "higher (better)"
    assert cell(many, variant="weighted_ce", subset=SUBSETS[0])["verdict"] == "lower (worse)"
    assert any("73 % with 3 seeds" in note for note in few.notes)
    assert not any("73 % with 3 seeds" in note for note in many.notes)
    lower = ablation_table(tmp_path / "many", "g", metric="fpr")
    assert cell(lower, variant="focal", subset=SUBSETS[0])["verdict"] == "higher (worse)"


def test_seeds_in_both_rows_are_paired_and_others_left_out(tmp_path: Path) -> None:
    store = Store(absent=(("focal", 1),))
    table = ablation_table(store.write(tmp_path), "g", subset="test_01")
    found = cell(table, variant="focal")
    delta = statistics.mean(value(store, "focal", s) - value(store, "ce", s) for s in (0, 2))
    assert (found["n"], found["n_pairs"]) == (2, 2)
    assert found["delta"] == pytest.approx(delta)
    assert "focal on sim, seed 1: not run" in table.notes


def test_what_is_missing_or_left_out_is_told_with_its_reason(tmp_path: Path) -> None:
    rows = (replace(LOSSES[0], aliases=("none",)), *LOSSES[1:])
    dropped = ({"variant": "hinge", "rule": "no_margin", "reason": "has no probability"},)
    facts = PlanFacts(dropped=dropped, notes=("no row is left with loss = hinge",))
    store = Store(rows=rows, absent=(("focal", 1), ("mlp", 0), ("mlp", 2)), facts=facts)
    store.write(tmp_path)
    ledger = Ledger(tmp_path)
    ledger.fail(store.key("focal", "sim", 1), {"kind": "nan", "error": "loss is nan", "label": ""})
    notes = ablation_table(tmp_path, "g").notes
    for note in (
        "ce is also none: equal settings, one training",
        "no row hinge (rule no_margin): has no probability",
        "no row is left with loss = hinge",
        "focal on sim, seed 1: failed: loss is nan",
        "mlp on sim, seeds 0, 2: not run",
    ):
        assert note in notes


def test_rows_that_lack_the_same_seeds_are_told_in_one_line(tmp_path: Path) -> None:
    lacking = [(row, seed) for row in ("focal", "mlp") for seed in (1, 2)]
    notes = ablation_table(Store(absent=tuple(lacking)).write(tmp_path), "g").notes
    assert "focal, mlp on sim, seeds 1, 2: not run" in notes


def test_a_row_behind_a_failed_input_is_skipped(tmp_path: Path) -> None:
    store = Store(absent=(("focal", 0),))
    store.write(tmp_path)
    failure = {"kind": "bug", "error": "KeyError", "label": ""}
    Ledger(tmp_path).fail(store.key("prepare", "sim", None), failure)
    assert "focal on sim, seed 0: skipped: upstream failed" in ablation_table(tmp_path, "g").notes


def test_a_damaged_metrics_file_is_refused(tmp_path: Path) -> None:
    Store().write(tmp_path)
    path = next(tmp_path.glob(f"outputs/classify-*/{METRICS_FILE}"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedOutputError, match="does not match its manifest"):
        ablation_table(tmp_path, "g")


def test_policies_are_those_of_the_scores(tmp_path: Path) -> None:
    store = Store(scores=True)
    store.write(tmp_path)
    asked = Asked(policies=NAMES, lead_in_seconds=5.0, metric="f1")
    table = make_table(tmp_path, "g", "ablation", asked)
    for name in NAMES:
        found = cell(table, variant="focal", subset=SUBSETS[1], policy=policy(name).name)
        frames = [
            apply_policy(store.frame(LOSSES[1], "sim", seed), policy(name)).filter(
                pl.col("capture").is_null(), split=SUBSETS[1]
            )
            for seed in store.seeds
        ]
        for column, mine in (("f1", "mean"), ("fpr", "fpr"), ("contamination", "contamination")):
            expected = pl.concat(frames)[column].mean()
            assert found[mine] == pytest.approx(expected), (name, column)
        assert found["lead_in_seconds"] == 5.0


def test_the_default_is_what_max_f1_gives_from_scores(tmp_path: Path) -> None:
    Store(scores=True).write(tmp_path)
    own = ablation_table(tmp_path, "g")
    again = ablation_table(tmp_path, "g", policies=("max_f1",))
    columns = ["variant", "subset", "mean", "std", "delta", "p_holm", "f1", "auroc", "fpr"]
    assert own.frame.select(columns).equals(again.frame.select(columns))
    results = [
        make_table(tmp_path, "g", "test_results", Asked(policies=policies)).frame.drop(
            "policy", "saturated"
        )
        for policies in ((), ("max_f1",))
    ]
    assert results[0].columns == results[1].columns
    for name in ("accuracy", "f1", "precision", "recall", "mcc", "auroc", "ap", "fpr"):
        pairs = zip(results[0][name], results[1][name], strict=True)
        assert all(a == b or a == pytest.approx(b) for a, b in pairs), name


def test_a_threshold_by_definition_is_kept_under_every_policy(tmp_path: Path) -> None:
    Store(scores=True).write(tmp_path)
    table = make_table(tmp_path, "g", "thresholds")
    floor = table.frame.filter(variant=FLOOR, subset=SUBSETS[0])
    assert floor["policy"].n_unique() == len(NAMES)
    assert floor["recall"].to_list() == [1.0] * len(NAMES)


def test_a_saturated_validation_is_flagged(tmp_path: Path) -> None:
    rows = (LOSSES[0], replace(LOSSES[1], effect=5.0), FLOOR_ROW)
    table = ablation_table(Store(scores=True, rows=rows).write(tmp_path), "g")
    assert cell(table, variant="focal", subset=SUBSETS[0])["saturated"] == 3
    assert cell(table, variant="ce", subset=SUBSETS[0])["saturated"] == 0
    assert any(n.startswith("saturated (†)") and "focal on sim (3 seeds)" in n for n in table.notes)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"metric": "wins"}, "--metric takes f1, mcc"),
        ({"dataset": "other"}, "it has sim"),
        ({"subset": "test_09"}, "it has test_01"),
        ({"lead_in_seconds": 0.0}, "above 0"),
    ],
)
def test_a_request_that_cannot_be_met_says_what_can(
    tmp_path: Path, asked: dict[str, Any], message: str
) -> None:
    root = Store().write(tmp_path)
    with pytest.raises(ValueError, match=message):
        ablation_table(root, "g", **asked)


def test_selection_and_thresholds_are_stated(tmp_path: Path) -> None:
    notes = "\n".join(ablation_table(Store().write(tmp_path), "g").notes)
    assert "none chosen by its results" in notes
    assert "best epoch by val_loss on validation, one of 8 epochs" in notes
    assert "12 trials by max_f1 on validation, 1 trials by definition" in notes
