"""``seeds`` again: on a grid that has grown, after failures, beside other seeds or another run."""

from __future__ import annotations

from pathlib import Path

import pytest
from seeds_runs import GRID, Here, add, plain_run, planned, stands, table, write_axis

from analysis.sequential_rule import read_looks, read_rule
from analysis.tables.seeds import NO_PAIR
from graphids.commands import seeds
from graphids.commands.errors import RequestError
from graphids.runner.execute import DONE, SOME_FAILED
from graphids.store.lease import Lease, StoreHeldError


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    found = Here()
    monkeypatch.setattr(seeds, "execute_request", found)
    return found


def rule_text(store: Path) -> str:
    return (store / "plans" / "luck" / "seeds.json").read_text()


def test_a_rule_does_not_stretch_to_more_rows(tmp_path: Path, here: Here) -> None:
    grid, store = write_axis(tmp_path / "grid.py", 0.5, 0.7), tmp_path / "store"
    add(store, grid=str(grid))
    declared, ran = rule_text(store), len(here.ran)
    write_axis(grid, 0.5, 0.7, 0.501, 0.502)
    for dry_run in (True, False):
        with pytest.raises(RequestError, match=r"among 1 row of .* now has 3; .*another --store"):
            add(store, grid=str(grid), dry_run=dry_run)
    assert (rule_text(store), len(here.ran)) == (declared, ran)
    # What `run` gives the grid is another design's, which the rule says nothing of.
    plain_run(store, grid, "0-4")
    shown = table(store)
    assert "mixed" not in shown.frame.columns
    assert "declared before" not in "\n".join(shown.notes)


def test_a_rule_goes_on_with_other_rows_that_are_no_more(tmp_path: Path, here: Here) -> None:
    grid, store = write_axis(tmp_path / "grid.py", 0.5, 0.501), tmp_path / "store"
    add(store, grid=str(grid))
    first, looks, notes = read_rule(store, "luck"), stands(store)["0.501"].looks, table(store).notes
    write_axis(grid, 0.5, 0.7)
    assert add(store, grid=str(grid), dry_run=True) == 0
    assert read_rule(store, "luck") == first
    add(store, grid=str(grid))
    second = read_rule(store, "luck")
    assert first is not None
    assert second is not None
    assert (second.looks, second.rows) == (first.looks, 1)
    assert second.design != first.design
    assert stands(store)["0.7"].decision == "differs"
    assert "0.7 8 seeds, differs" in "\n".join(table(store).notes)
    write_axis(grid, 0.5, 0.501)
    add(store, grid=str(grid))
    assert (stands(store)["0.501"].looks, table(store).notes) == (looks, notes)


@pytest.mark.parametrize("seed", [1, 3, 9])
def test_a_look_is_not_taken_again_after_a_failure_was_mended(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid, store = write_axis(tmp_path / "grid.py", 0.5, 0.504), tmp_path / "store"
    failing = Here(broken=[f"guess 0.504 sim_small seed {seed}"])
    monkeypatch.setattr(seeds, "execute_request", failing)
    assert add(store, grid=str(grid)) == SOME_FAILED
    before = stands(store)["0.504"].looks
    assert any(look.pairs < look.seeds and seed not in look.used for look in before)
    kept = read_looks(store, "luck")
    mended = Here()
    monkeypatch.setattr(seeds, "execute_request", mended)
    add(store, grid=str(grid))
    assert failing.broken <= set(mended.ran)
    assert stands(store)["0.504"].looks == before
    assert {place: kept[place] for place in kept} == read_looks(store, "luck")


def test_a_look_that_was_open_uses_what_was_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has seen a look that lacks seeds; the failure before it is mended in time."""
    grid, store = write_axis(tmp_path / "grid.py", 0.5, 0.7), tmp_path / "store"
    first = Here(killed_after=9, broken=["guess 0.7 sim_small seed 1"])
    for execute in (first, Here()):
        monkeypatch.setattr(seeds, "execute_request", execute)
        if execute is first:
            with pytest.raises(KeyboardInterrupt):
                add(store, grid=str(grid))
            assert read_looks(store, "luck") == {}
        else:
            add(store, grid=str(grid))
    assert [(look.seeds, look.pairs) for look in stands(store)["0.7"].looks] == [(8, 8)]


def test_seeds_of_any_data_set_are_counted(tmp_path: Path, here: Here) -> None:
    grid, store = tmp_path / "grid.py", tmp_path / "store"
    text = GRID.read_text().replace("fails=(1, 5)", "fails=()")
    grid.write_text(text.replace('("sim_small",)', '("sim_small", "sim_large")'))
    plain_run(store, grid, "0-4", "sim_large")
    assert add(store, grid=str(grid)) == DONE
    rule = read_rule(store, "luck")
    assert rule is not None
    assert rule.given == 5
    assert "mixed" not in table(store).frame.columns


def test_two_seeds_without_a_value_do_not_end_a_row(tmp_path: Path, here: Here) -> None:
    grid = write_axis(tmp_path / "grid.py", 0.5, 0.7, given=2)
    text = grid.read_text()
    undefined = "None if seed < 2 and self.skill == 0.7 else value"
    grid.write_text(text.replace('{"mcc": value,', f'{{"mcc": value, "recall": {undefined},'))
    store = tmp_path / "store"
    assert add(store, grid=str(grid), metric="recall") == DONE
    found = stands(store)["0.7"]
    assert found.decision == "differs"
    assert [(look.seeds, look.pairs) for look in found.looks] == [(8, 6), (12, 10)]


def test_a_row_on_other_windows_is_ended_by_two_seeds(tmp_path: Path, here: Here) -> None:
    grid = write_axis(tmp_path / "grid.py", 0.5, 0.7, given=2)
    text = grid.read_text()
    grid.write_text(text.replace('"n_windows": 50.0', '"n_windows": 100.0 * self.skill'))
    store = tmp_path / "store"
    assert add(store, grid=str(grid)) == DONE
    assert stands(store)["0.7"].decision == NO_PAIR
    assert set(planned(store).values()) == {2}


def test_no_rule_is_declared_in_a_store_that_a_run_holds(tmp_path: Path, here: Here) -> None:
    with Lease(tmp_path, "other"), pytest.raises(StoreHeldError, match="held by run other"):
        add(tmp_path)
    assert (here.ran, read_rule(tmp_path, "luck")) == ([], None)
    assert add(tmp_path) == SOME_FAILED


def test_a_damaged_rule_and_too_many_seeds_are_named(tmp_path: Path, here: Here) -> None:
    grid = write_axis(tmp_path / "grid.py", 0.5, 0.7, given=25)
    with pytest.raises(RequestError, match=r"has 25 seeds already.*declare at most 20"):
        add(tmp_path / "many", grid=str(grid))
    path = tmp_path / "plans" / "luck" / "seeds.json"
    path.parent.mkdir(parents=True)
    for damaged in ("", "{}", "[]", '{"looks": [8], "seeds": [0], "wrong": 1}'):
        path.write_text(damaged)
        with pytest.raises(RequestError, match=r"seeds\.json holds no rule.*another --store"):
            add(tmp_path)
    assert here.ran == []
