"""``seeds``: which rows get more of them, what is declared, and that a killed one goes on."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import pytest
from command_line import call
from seeds_runs import GRID, Here, add, plain_run, planned, stands, table, write_axis

from analysis.sequential_rule import Rule, read_rule
from analysis.tables import read_study
from analysis.tables.seeds import NO_PAIR
from graphids.commands import seeds
from graphids.commands.errors import RequestError
from graphids.core.metrics import METRICS_VERSION
from graphids.runner.execute import DONE, SOME_FAILED, RunOptions
from graphids.runner.plan import Plan


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    found = Here()
    monkeypatch.setattr(seeds, "execute_request", found)
    return found


def test_open_rows_alone_get_more_seeds_and_the_baseline_with_them(
    tmp_path: Path, here: Here
) -> None:
    assert add(tmp_path) == SOME_FAILED
    # A clear row is decided at the first look; one that lacks two pairs of nine is at the second.
    assert planned(tmp_path) == {"0.5": 20, "0.7": 9, "0.501": 20, "unlucky": 13, "alone": 3}
    found = stands(tmp_path)
    assert [look.seeds for look in found["0.7"].looks] == [9]
    assert [(look.seeds, look.pairs) for look in found["unlucky"].looks] == [(9, 7), (13, 11)]
    assert [look.seeds for look in found["0.501"].looks] == [9, 13, 17, 20]
    assert [found[name].decision for name in ("0.7", "unlucky", "0.501")] == [
        "differs", "differs", None,
    ]  # fmt: skip
    assert len(here.ran) == len(set(here.ran)), "a trial ran twice, or was tried again"
    assert here.rounds == 5


def test_the_table_tells_the_rule_and_is_not_refused(tmp_path: Path, here: Here) -> None:
    add(tmp_path)
    shown = table(tmp_path, subset="test_01")
    assert "mixed" not in shown.frame.columns
    pairs = dict(shown.frame.select("variant", "n_pairs").iter_rows())
    assert (pairs["0.7"], pairs["0.501"], pairs["unlucky"]) == (9, 20, 11)
    notes = "\n".join(shown.notes)
    for text in (
        "declared before the first of them: mean of MCC over the test subsets (all of them)",
        "looks at 9, 13, 17, 20 seeds",
        "0.7 9 seeds, differs (look at 9: Δ +0.2",
        "unlucky 13 seeds, differs (look at 13, 11 pairs: Δ +0.1",
        "0.501 20 seeds, undecided after the last look",
        "rows have unequal numbers of them by that rule",
        "over the 4 looks by which seeds are added",
    ):
        assert text in notes, text
    # Nine pairs of one sign: p = 2^-8; four looks, two rows of the axis.
    (clear,) = shown.frame.filter(variant="0.7").to_dicts()
    assert (clear["p"], clear["p_holm"]) == (2**-8, pytest.approx(2**-8 * 4 * 2))
    assert clear["verdict"] == "higher (better)", "a row that is decided is told apart"


def test_seeds_that_the_rule_has_not_asked_for_are_refused(tmp_path: Path, here: Here) -> None:
    add(tmp_path)
    assert call("table", GRID, "--store", tmp_path).returncode == 0
    plain_run(tmp_path, GRID, "0-9")
    with pytest.raises(ValueError, match=r"0\.7 on sim_small was planned .*`graphids seeds GRID`"):
        table(tmp_path)
    assert "seeds" in table(tmp_path, allow_mixed=True).frame["mixed"].to_list()


def test_a_changed_rule_is_refused_with_the_way_out(tmp_path: Path, here: Here) -> None:
    add(tmp_path, most=12)
    before = (tmp_path / "plans" / "luck" / "seeds.json").read_text()
    ran = len(here.ran)
    for changed in ({"most": 16}, {"metric": "f1"}, {"margin": 0.1}, {"subset": "test_01"}):
        with pytest.raises(RequestError, match=f"{next(iter(changed))} was .*another --store"):
            add(tmp_path, **{"most": 12, **changed})
    assert (tmp_path / "plans" / "luck" / "seeds.json").read_text() == before
    assert len(here.ran) == ran
    assert add(tmp_path, most=12) == SOME_FAILED
    assert set(here.ran[ran:]) <= {f"guess unlucky sim_small seed {seed}" for seed in (1, 5)}


def test_the_rule_is_declared_before_the_first_seed_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    declared: list[Rule | None] = []

    def watch(plan: Plan, wanted: Iterable[str], options: RunOptions) -> int:
        declared.append(read_rule(options.store, "luck"))
        raise KeyboardInterrupt

    monkeypatch.setattr(seeds, "execute_request", watch)
    with pytest.raises(KeyboardInterrupt):
        add(tmp_path)
    assert declared[0] is not None
    assert (declared[0].looks, declared[0].given) == ((9, 13, 17, 20), 3)


@pytest.mark.parametrize("after", [2, 14, 37, 50])
def test_a_killed_one_goes_on_where_it_was(
    after: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    undisturbed, first, second = Here(), Here(killed_after=after), Here()
    for execute, store in ((undisturbed, whole), (first, killed), (second, killed)):
        monkeypatch.setattr(seeds, "execute_request", execute)
        if execute is first:
            with pytest.raises(KeyboardInterrupt):
                add(store)
        else:
            add(store)
    again = set(first.ran) & set(second.ran)
    assert again <= {f"guess unlucky sim_small seed {seed}" for seed in (1, 5)}
    assert set(first.ran) | set(second.ran) == set(undisturbed.ran)
    ours, theirs = table(killed), table(whole)
    assert ours.frame.equals(theirs.frame)
    assert ours.notes == theirs.notes


def test_a_margin_decides_for_no_difference(tmp_path: Path, here: Here) -> None:
    add(tmp_path, margin=0.05)
    found = stands(tmp_path)
    assert found["0.501"].decision == "no difference beyond the margin"
    assert planned(tmp_path)["0.501"] == 9


def test_a_row_that_cannot_be_compared_gets_no_seed(tmp_path: Path, here: Here) -> None:
    unseeded = GRID.read_text().replace('name="luck"', 'name="luck"', 1)
    unseeded = unseeded.replace("seeded: ClassVar[bool] = True", "seeded: ClassVar[bool] = False")
    grid = tmp_path / "grid.py"
    grid.write_text(unseeded.replace("fails=(1, 5)", "fails=()"))
    assert add(tmp_path / "store", grid=str(grid)) == DONE
    assert set(planned(tmp_path / "store").values()) == {3}
    assert {one.decision for one in stands(tmp_path / "store").values()} == {NO_PAIR}


def test_a_dry_run_declares_and_runs_nothing(
    tmp_path: Path, here: Here, capsys: pytest.CaptureFixture[str]
) -> None:
    assert add(tmp_path, dry_run=True) == 0
    assert (here.ran, read_rule(tmp_path, "luck")) == ([], None)
    told = capsys.readouterr().out
    assert "looks at 9, 13, 17, 20 seeds" in told
    assert "0.7 on sim_small (9)" in told
    assert "36 trials to run" in told
    add(tmp_path)
    add(tmp_path, dry_run=True)
    assert "No row is open." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"until": "bored"}, "--until takes 'decided'"),
        ({"most": 6}, "--max 7 or more"),
        ({"most": 2}, "at least the 3 seeds"),
        ({"most": 40}, "at most 20"),
        ({"metric": "wins"}, "--metric takes f1"),
        ({"margin": -1.0}, "above 0"),
        ({"subset": "test_99"}, "has no test subset 'test_99'"),
    ],
)
def test_a_rule_that_cannot_be_met_is_refused(
    asked: dict[str, object], message: str, tmp_path: Path, here: Here
) -> None:
    with pytest.raises(RequestError, match=message):
        add(tmp_path, **asked)
    assert (here.ran, read_rule(tmp_path, "luck")) == ([], None)


def test_seeds_run_on_ray_as_run_does(tmp_path: Path) -> None:
    """The grid's own seeds are there, and one look adds three to each of two rows."""
    grid, store = write_axis(tmp_path / "grid.py", 0.5, 0.7), tmp_path / "store"
    plain_run(store, grid)
    found = call("seeds", grid, "--store", store, "--max", 6, "--no-dashboard", "--verbose", 0)
    assert found.returncode == DONE, found.stdout + found.stderr
    assert planned(store) == {"0.5": 6, "0.7": 6}
    assert "sim_small: 0.7 6 seeds, differs (look at 6: " in found.stdout
    rule = json.loads((store / "plans" / "luck" / "seeds.json").read_text())
    assert (rule["looks"], rule["rows"], rule["given"]) == ([6], 1, 3)
    assert set(read_study(store, "luck").versions.values()) == {METRICS_VERSION}
