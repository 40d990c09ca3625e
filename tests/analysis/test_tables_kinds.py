"""Each kind of table against an obvious oracle."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic import FLOOR_ROW, LOSSES, SUBSETS, Row, Store

from analysis.tables import KINDS, Asked, make_table
from analysis.tables.cost import co_tenants
from analysis.tables.ranking import BEHIND, effect_size, tie_candidates
from analysis.tables.study import read_study
from graphids.grid.grid import FLOOR

STUDENTS = (
    Row(name="student", axis="distillation", level="nokd", baseline=True, meta={"parameters": 50}),
    Row(name="taught", axis="distillation", level="kd", effect=0.1, teacher="teacher",
        meta={"parameters": 50}),
    Row(name="teacher", effect=0.2, meta={"parameters": 1000}),
    FLOOR_ROW,
)  # fmt: skip


def frame(root: Path, kind: str, **asked: object) -> pl.DataFrame:
    return make_table(root, "g", kind, Asked(**asked)).frame  # type: ignore[arg-type]


def values(store: Store, name: str, subset: str = SUBSETS[0], metric: str = "mcc") -> np.ndarray:
    (row,) = (row for row in store.rows if row.name == name)
    return np.array([store.values(row, "sim", seed, subset)[metric] for seed in store.seeds])


def test_every_kind_has_a_frame_and_notes_on_any_store(tmp_path: Path) -> None:
    full = Store(scores=True).write(tmp_path / "full")
    every = tuple((row.name, seed) for row in LOSSES for seed in (0, 1, 2))
    empty = Store(absent=every).write(tmp_path / "empty")
    for kind in KINDS:
        table = make_table(full, "g", kind.name)
        assert table.kind == kind.name
        # No row is taught, attacks have no codes, and the best row is clear.
        may_be_empty = kind.name in ("kd_transfer", "per_attack", "tie_candidates")
        assert table.frame.height > 0 or may_be_empty, kind.name
        assert make_table(empty, "g", kind.name).notes


def test_the_floor_stands_in_every_table_of_results(tmp_path: Path) -> None:
    root = Store().write(tmp_path)
    for kind, name in (
        ("ablation", "variant"), ("leaderboard", "variant"), ("expected_max", "variant"),
        ("main_results", "model"), ("test_results", "model"), ("per_attack", "variant"),
        ("cost", "variant"),
    ):  # fmt: skip
        assert FLOOR in frame(root, kind)[name].to_list(), kind


def test_the_leaderboard_is_sorted_by_the_mean(tmp_path: Path) -> None:
    store = Store(seeds=range(5))
    found = frame(store.write(tmp_path), "leaderboard", subset="test_01")
    assert found["variant"].to_list() == ["mlp", "focal", "ce", "weighted_ce", FLOOR]
    first = found.row(0, named=True)
    assert first["mean"] == pytest.approx(values(store, "mlp").mean())
    assert first["ci_low"] < first["mean"] < first["ci_high"]
    worst = frame(tmp_path, "leaderboard", subset="test_01", metric="fpr")
    assert worst["mean"].is_sorted()


def test_effect_sizes_are_of_all_pairs_of_an_axis(tmp_path: Path) -> None:
    store = Store(seeds=range(5))
    found = frame(store.write(tmp_path), "effect_size", subset="test_01")
    pairs = found.select("variant_a", "variant_b").rows()
    assert pairs == [("ce", "focal"), ("ce", "weighted_ce"), ("focal", "weighted_ce")]
    a, b = values(store, "ce"), values(store, "focal")
    row = found.row(0, named=True)
    assert row["mean_diff"] == pytest.approx((a - b).mean())
    assert row["d_z"] == pytest.approx((a - b).mean() / (a - b).std(ddof=1))
    pooled = np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2)
    assert row["cohens_d"] == pytest.approx((a.mean() - b.mean()) / pooled)
    assert row["p_holm"] >= row["p"]


def test_the_expected_maximum_starts_at_the_mean_and_ends_at_the_best(tmp_path: Path) -> None:
    store = Store()
    found = frame(store.write(tmp_path), "expected_max", subset="test_01").filter(variant="focal")
    assert found["n_seeds"].to_list() == [1, 2, 3]
    own = values(store, "focal")
    assert found["expected_max"][0] == pytest.approx(own.mean())
    assert found["expected_max"][2] == pytest.approx(own.max())


def test_ties_are_rows_that_the_best_does_not_clearly_beat(tmp_path: Path) -> None:
    twin = Row(name="twin", axis="loss", level="twin", effect=0.1)
    rows = (*LOSSES[:3], twin, FLOOR_ROW)
    found = frame(Store(rows=rows, seeds=range(6)).write(tmp_path), "tie_candidates")
    for names in found.select("variant_a", "variant_b").rows():
        assert set(names) == {"focal", "twin"}
    assert found["gap"].min() >= 0
    assert set(found["verdict"]) == {"tied"}
    few = frame(Store(rows=rows, seeds=(0, 1)).write(tmp_path / "few"), "tie_candidates")
    assert set(few["verdict"]) == {"untold"}
    assert set(few["variant_a"]) | set(few["variant_b"]) == {row.name for row in rows[:4]}


def test_the_seeds_of_both_judge_rows_with_unequal_ones(tmp_path: Path) -> None:
    """The row with nine easy seeds has the best mean, and loses at each of them."""
    rng = np.random.default_rng(0)
    study = read_study(Store().write(tmp_path), "g")
    given = {"ce": (20, 0.7), "focal": (9, 0.6)}
    cells = pl.DataFrame(
        [
            {
                "dataset": "sim", "subset": SUBSETS[0], "policy": "as run", "position": i,
                "variant": name, "axis": "loss", "stage": "classify", "role": "row",
                "baseline": i == 0, "seed": seed, "fingerprint": f"{name} {seed}",
                "mcc": mean + (0.2 if seed < 9 else -0.4) + 0.005 * rng.normal(),
                "n_windows": 5.0, "n_attacks": 2.0,
            }
            for i, (name, (seeds, mean)) in enumerate(given.items())
            for seed in range(seeds)
        ]
    )  # fmt: skip
    (tie,) = tie_candidates(study, cells).frame.to_dicts()
    assert (tie["variant_a"], tie["variant_b"], tie["verdict"]) == ("focal", "ce", BEHIND)
    assert tie["mean_a"] > tie["mean_b"]
    assert tie["gap"] == pytest.approx(-0.1, abs=0.01)
    (effect,) = effect_size(study, cells).frame.to_dicts()
    assert effect["mean_diff"] > 0
    assert effect["cohens_d"] > 0
    assert effect["d_z"] > 0


def test_main_results_are_of_known_ground_unless_asked(tmp_path: Path) -> None:
    root = Store().write(tmp_path)
    assert set(frame(root, "main_results")["scenario"]) == {SUBSETS[0]}
    assert set(frame(root, "main_results", subset="test_02")["scenario"]) == {SUBSETS[1]}
    columns = ["model", "accuracy", "precision", "recall", "f1", "auc", "specificity", "mcc"]
    assert frame(root, "main_results").columns[: len(columns)] == columns


def test_every_attack_has_a_value_of_its_own(tmp_path: Path) -> None:
    found = frame(Store().write(tmp_path), "per_attack")
    assert set(found["attack"]) == {"dos"}
    assert found["mean"].to_list() == pytest.approx([0.456] * len(found))
    assert dict(found.select("variant", "n").iter_rows()) == {
        "ce": 3, "focal": 3, "weighted_ce": 3, "mlp": 3, FLOOR: 1,
    }  # fmt: skip


def test_a_student_is_found_by_its_teacher(tmp_path: Path) -> None:
    store = Store(rows=STUDENTS, seeds=range(4))
    found = frame(store.write(tmp_path), "kd_transfer", subset="test_01")
    assert found.height == 1
    row = found.row(0, named=True)
    names = (row["student_kd"], row["student"], row["teacher"])
    assert names == ("taught", "student", "teacher")
    kd, no, teacher = (values(store, name).mean() for name in ("taught", "student", "teacher"))
    assert row["gain"] == pytest.approx(kd - no)
    assert row["gap_recovered"] == pytest.approx((kd - no) / (teacher - no))
    assert row["parameter_ratio"] == pytest.approx(0.05)


def test_a_teacher_without_a_lead_leaves_no_gap(tmp_path: Path) -> None:
    worse = (*STUDENTS[:2], Row(name="teacher", effect=-0.3), FLOOR_ROW)
    found = frame(Store(rows=worse).write(tmp_path), "kd_transfer")
    assert found["gap_recovered"].null_count() == found.height
    assert found["gain"].null_count() == 0


def test_cost_has_no_results_and_results_no_cost(tmp_path: Path) -> None:
    root = Store().write(tmp_path)
    cost, results = frame(root, "cost"), frame(root, "metrics")
    assert {"peak_bytes", "predicted_bytes", "seconds", "co_tenants"} <= set(cost.columns)
    assert not {"f1", "mcc", "mean"} & set(cost.columns)
    assert not {name for name in results.columns if "bytes" in name or "seconds" in name}
    chain = cost.filter(variant="ce").row(0, named=True)
    assert (chain["seconds"], chain["chain_seconds"], chain["n"]) == (10.0, 20.0, 3)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 6), st.sampled_from("ab")), max_size=9)
)
def test_co_tenants_are_those_of_a_walk_through_time(
    trials: list[tuple[int, int, str]],
) -> None:
    told = pl.DataFrame(
        [(float(s), float(s + n), "r", host) for s, n, host in trials],
        schema={"started": pl.Float64, "ended": pl.Float64, "run": pl.String, "host": pl.String},
        orient="row",
    )
    found = co_tenants(told).to_list()
    for i, (start, length, host) in enumerate(trials):
        others = [(s, s + n) for j, (s, n, h) in enumerate(trials) if j != i and h == host]
        moments = [start, *(t + d for t in range(start, start + length) for d in (0.0, 0.5))]
        # A trial without duration is beside nothing that ends or begins with it.
        most = max(sum(s <= t < e for s, e in others) for t in moments)
        if length:
            assert found[i] == most


def test_the_summary_of_the_data_counts_windows_and_attacks(tmp_path: Path) -> None:
    found = frame(Store().write(tmp_path), "dataset_summary").filter(subset=SUBSETS[0])
    row = found.row(0, named=True)
    assert (row["windows"], row["attack_windows"], row["captures"]) == (70, 20, 1)
    assert row["attack_ratio"] == pytest.approx(20 / 70)
    assert row["always_attack_f1"] == pytest.approx(2 * 20 / 90)
    assert row["attacks"] == ["dos"]


def test_thresholds_show_what_the_lead_in_held(tmp_path: Path) -> None:
    root = Store(scores=True).write(tmp_path)
    found = frame(root, "thresholds", subset="test_02", lead_in_seconds=10.0)
    row = found.filter(variant="ce", policy="median_centred").row(0, named=True)
    # Ten seconds are 20 of 35 windows of a capture; the attack begins at window 17.
    assert (row["lead_in_seconds"], row["lead_in_windows"]) == (10.0, 40)
    assert row["contamination"] == pytest.approx(6 / 40)


def test_an_unknown_kind_names_those_that_there_are(tmp_path: Path) -> None:
    root = Store().write(tmp_path)
    with pytest.raises(ValueError, match="--kind takes metrics, ablation"):
        make_table(root, "g", "podium")
