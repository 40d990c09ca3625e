"""What a trial costs beside its own work: 200 empty trials, against Ray Tune's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import peers_empty
from report import record

from graphids.store.ledger import Ledger
from graphids.store.outputs import OutputStore

FOLDER = Path(__file__).parent
MAIN = FOLDER.parents[1] / "grids" / "main.py"
TRIALS = len(peers_empty.GRID.seeds)
LIBRARIES = ("graphids.stages",)


def test_empty_trials(tmp_path: Path) -> None:
    """Seconds from one trial's end to the next, the first one's start-up left out."""
    ours = _ours(tmp_path / "store")
    reused = _tune(tmp_path / "reused.json", 100, "--reuse-actors")
    fresh = _tune(tmp_path / "fresh.json", 16)
    with_libraries = _tune(
        tmp_path / "libraries.json", 8, *(f"--library={name}" for name in LIBRARIES)
    )
    durable = "ours commits each trial's output and manifest to the disk, the peer none; two cores"
    record(
        case="one empty trial after the first",
        peer="the limit of 0.05 s",
        ours=ours,
        theirs=0.05,
        unit="s",
        reach=1,
        larger_is_better=False,
        why=f"{TRIALS} trials; each is committed to the disk",
    )
    for peer, theirs, trials, reach in (
        ("Ray Tune, default", fresh, 16, 20),
        ("Ray Tune, reuse_actors", reused, 100, 2),
        ("Ray Tune, default, trials import graphids.stages", with_libraries, 8, None),
    ):
        record(
            case="one empty trial after the first",
            peer=peer,
            ours=ours,
            theirs=theirs,
            unit="s",
            reach=reach,
            larger_is_better=False,
            why=f"ours over {TRIALS} trials, the peer over {trials}; {durable}",
        )


def _ours(store: Path) -> float:
    """Seconds a trial through the command line of the runner."""
    arguments = ["run", FOLDER / "peers_empty.py", "--store", store, "--no-dashboard"]
    _call(MAIN, *arguments, "--verbose", 0)
    assert len(OutputStore(store).committed()) == TRIALS
    ends = sorted(event["time"] for event in Ledger(store).events() if event["event"] == "done")
    assert len(ends) == TRIALS
    return _per_trial(ends)


def _tune(out: Path, trials: int, *more: str) -> float:
    """Seconds a trial with Ray Tune."""
    _call(FOLDER / "peers_empty_tune.py", out, "--trials", trials, *more)
    found = json.loads(out.read_text())
    assert found["seeds"] == list(range(trials))
    return _per_trial(sorted(found["ends"]))


def _per_trial(ends: list[float]) -> float:
    """Mean seconds between the ends of trials."""
    return (ends[-1] - ends[0]) / (len(ends) - 1)


def _call(script: Path, *arguments: object) -> None:
    """A script in a process of its own; it must end well."""
    away = ("RAY_ADDRESS", "GRAPHIDS_STORE")
    environment = {name: value for name, value in os.environ.items() if name not in away}
    # Ray's workers run at nice 15 by default: beside anything else that wants a core they get a
    # thirtieth of what a plain loop gets, and that would be measured.
    environment["RAY_worker_niceness"] = "0"
    done = subprocess.run(
        [sys.executable, str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
