"""Rows that do not compare are refused with the difference named, or shown and marked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from synthetic import FLOOR_ROW, LOSSES, SUBSETS, Row, Store

from analysis.tables import Asked, MixedRowsError, ablation_table, make_table

BASE, FOCAL = LOSSES[0], LOSSES[1]


def marks(root: Path) -> dict[str, str | None]:
    frame = ablation_table(root, "g", allow_mixed=True, subset="test_01").frame
    if "mixed" not in frame.columns:
        return {}
    return dict(frame.select("variant", "mixed").iter_rows())


def test_rows_on_earlier_captures_alone_are_refused(tmp_path: Path) -> None:
    """One row ran before the files changed, another one only since."""
    Store(rows=(BASE, FOCAL, FLOOR_ROW), run="run-1", digest="old", seeds=(0, 1, 2)).write(tmp_path)
    Store(rows=(BASE, FLOOR_ROW), run="run-2", digest="new", seeds=(0, 1, 2)).write(tmp_path)
    with pytest.raises(MixedRowsError) as refused:
        ablation_table(tmp_path, "g")
    for part in ("focal (seeds 0, 1, 2)", "digest old", "digest new", "--allow-mixed"):
        assert part in str(refused.value)
    assert marks(tmp_path) == {"ce": None, "focal": "captures", "always_attack": None}
    notes = ablation_table(tmp_path, "g", allow_mixed=True).notes
    assert any(note.startswith("mixed: sim: its captures have changed") for note in notes)


def test_seeds_on_earlier_captures_alone_are_refused(tmp_path: Path) -> None:
    Store(run="run-1", digest="old", seeds=(0, 1, 2)).write(tmp_path)
    Store(run="run-2", digest="new", seeds=(3, 4)).write(tmp_path)
    with pytest.raises(MixedRowsError, match=r"ce \(seeds 0, 1, 2\)"):
        make_table(tmp_path, "g", "leaderboard")


def test_results_that_were_planned_again_are_replaced_and_told(tmp_path: Path) -> None:
    """A grid that is run again on new files must not be locked out by its old results."""
    Store(run="run-1", digest="old").write(tmp_path)
    new = Store(run="run-2", digest="new", absent=(("focal", 1),))
    table = ablation_table(new.write(tmp_path), "g", subset="test_01")
    (focal,) = table.frame.filter(variant="focal").to_dicts()
    assert focal["n"] == 2
    assert "focal on sim, seed 1: not run" in table.notes
    assert any("results on the earlier ones are left out" in note for note in table.notes)


def test_other_captures_of_another_data_set_are_no_difference(tmp_path: Path) -> None:
    Store(datasets=("a",), run="run-1", digest="one").write(tmp_path)
    Store(datasets=("b",), run="run-2", digest="two").write(tmp_path)
    frame = ablation_table(tmp_path, "g").frame
    assert set(frame["dataset"]) == {"a", "b"}
    assert "mixed" not in frame.columns


def test_other_windows_that_no_setting_explains_are_refused(tmp_path: Path) -> None:
    Store(rows=(BASE, FLOOR_ROW)).write(tmp_path)
    Store(rows=(BASE, FOCAL, FLOOR_ROW), windows=60).write(tmp_path)
    with pytest.raises(MixedRowsError, match=r"focal on sim / test_01.*60 windows.*ce has 70"):
        ablation_table(tmp_path, "g")
    assert marks(tmp_path)["focal"] == "windows"


def test_windows_that_an_axis_changes_are_told_and_never_paired(tmp_path: Path) -> None:
    short = Row(name="short", axis="window", level="50", prepare="50")
    Store(rows=(BASE, FLOOR_ROW)).write(tmp_path)
    Store(rows=(BASE, short, FLOOR_ROW), windows=140).write(tmp_path)
    table = ablation_table(tmp_path, "g", subset="test_01")
    (found,) = table.frame.filter(variant="short").to_dicts()
    assert (found["n"], found["delta"], found["n_windows"]) == (3, None, 140)
    assert any(note.startswith("short on sim / test_01") for note in table.notes)
    pairs = make_table(tmp_path, "g", "effect_size").frame.filter(variant_b="short")
    assert set(pairs["n_pairs"]) == {0}


@pytest.mark.parametrize(
    ("manifest", "what", "message"),
    [
        ({"holds": [512, 2048]}, "batch", "batches split at 512 nodes on cpu"),
        ({"device": "cuda"}, "batch", "whole batches on cuda"),
        ({"metrics_version": 2}, "metrics", "version 2"),
    ],
)
def test_other_batches_and_metrics_are_refused(
    tmp_path: Path, manifest: dict[str, object], what: str, message: str
) -> None:
    Store(rows=(BASE, replace(FOCAL, manifest=manifest), FLOOR_ROW)).write(tmp_path)
    with pytest.raises(MixedRowsError, match=message):
        ablation_table(tmp_path, "g")
    assert marks(tmp_path)["focal"] == what


def test_a_simple_detector_may_run_on_another_device_than_a_network(tmp_path: Path) -> None:
    network = replace(BASE, manifest={"device": "cuda"})
    Store(rows=(network, FLOOR_ROW)).write(tmp_path)
    assert "mixed" not in ablation_table(tmp_path, "g").frame.columns


def test_rows_planned_with_other_seeds_are_refused(tmp_path: Path) -> None:
    Store(rows=(BASE, FOCAL, FLOOR_ROW), seeds=(0, 1)).write(tmp_path)
    Store(rows=(BASE, FLOOR_ROW), seeds=(2,), run="run-2").write(tmp_path)
    with pytest.raises(MixedRowsError, match=r"focal on sim was planned with seeds 0, 1, ce with"):
        ablation_table(tmp_path, "g")
    assert marks(tmp_path)["focal"] == "seeds"


def test_cost_is_shown_whatever_the_devices(tmp_path: Path) -> None:
    Store(rows=(BASE, replace(FOCAL, manifest={"device": "cuda"}), FLOOR_ROW)).write(tmp_path)
    table = make_table(tmp_path, "g", "cost")
    assert table.frame["device"].to_list() == ["cpu", "cuda", "cpu"]


def test_subsets_that_two_data_sets_may_share_are_told(tmp_path: Path) -> None:
    Store(datasets=("a", "b")).write(tmp_path)
    notes = ablation_table(tmp_path, "g", subset="test_01").notes
    assert any(f"a / {SUBSETS[0]} and b / {SUBSETS[0]}" in note for note in notes)
    one = make_table(tmp_path, "g", "ablation", Asked(dataset="a")).notes
    assert not any("count it once" in note for note in one)
