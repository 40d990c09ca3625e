"""A whole grid, wall clock with start-up, against the ways in which such grids are usually run.

Every run is a process of its own; ours starts from an empty store. Ours runs before each peer, so
that a drifting machine treats both alike.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import peers_training as peer
import polars as pl
import pytest
from peers_grid import GRID
from report import record

from graphids.commands.loading import plan_grid
from graphids.runner.plan import Plan
from graphids.store.ledger import ENDED, Ledger
from graphids.store.outputs import OutputStore
from graphids.store.results import METRICS_FILE

FOLDER = Path(__file__).parent
MAIN = FOLDER.parents[1] / "grids" / "main.py"
CASE = "grid of 26 trials, start-up included"
STAT = Path("/proc/stat")
TRAINED = ("ce", "focal", "vgae")
AUROC_TOLERANCE = 0.05
"""Largest difference of a row's mean AUROC over subsets and seeds: batches are drawn differently,
and eight epochs are few."""

WORKER = """
import time, torch
torch.set_num_threads(1)
lstm, x = torch.nn.LSTM(96, 96, bidirectional=True), torch.randn(2, 2048, 96)
for begins in (time.time() + 1.0, time.time() + 5.0):
    steps = 0
    while time.time() < begins:
        lstm(x)[0].sum().backward()
        steps += 1
print(steps)
"""
"""Steps of training in the last four of five seconds, as most of a trial's time goes."""

Row = dict[str, Any]
pytestmark = pytest.mark.timeout(1200)


@dataclass
class Ours:
    """The grid on our runner, from an empty store each time."""

    root: Path
    seconds: list[float] = field(default_factory=list)
    began: float = 0.0
    """Clock of the wall as the last run began."""

    def run(self) -> float:
        """One whole run."""
        self.began = time.time()
        self.seconds.append(self.command(self.root / f"store{len(self.seconds)}"))
        return self.seconds[-1]

    def command(self, store: Path) -> float:
        """Seconds of ``run`` on a store."""
        return call(MAIN, "run", FOLDER / "peers_grid.py", "--store", store, "--no-dashboard")

    def spent(self) -> str:
        """Where the time of the last run went."""
        events = list(Ledger(self.root / f"store{len(self.seconds) - 1}").events())
        begun = next(e["time"] for e in events if e["event"] in ("started", "probing"))
        ended = [e["time"] for e in events if e["event"] in ENDED][-1]
        before = begun - self.began
        between = ended - begun
        return (
            f"of our {self.seconds[-1]:.0f} s {before:.0f} are imports and Ray's start, "
            f"{between:.0f} probes and trials, {self.seconds[-1] - before - between:.0f} the end"
        )

    @cached_property
    def plan(self) -> Plan:
        """The plan behind the runs."""
        return plan_grid(GRID, None, self.root)

    def metrics(self, key: str) -> pl.DataFrame:
        """Metrics of a trial of the first run."""
        folder = OutputStore(self.root / "store0").find(key)
        assert folder is not None, f"{key} is not committed"
        return pl.read_parquet(folder / METRICS_FILE)

    def rows(self) -> dict[str, dict[str, Row]]:
        """Figures of every row by seed, as the peers write them."""
        found: dict[str, dict[str, Row]] = {}
        for row in self.plan.rows:
            frame = self.metrics(row.fingerprint)
            frame = frame.filter((pl.col("metric") == "auroc") & (pl.col("attack") == "all"))
            auroc = dict(zip(frame["split"], frame["value"], strict=True))
            found.setdefault(row.variant.name, {})[str(row.seed)] = {"auroc": auroc}
        return found


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Ours:
    return Ours(tmp_path_factory.mktemp("ours"))


@pytest.mark.parametrize("shared", [False, True], ids=["own_chains", "shared"])
def test_sequential_loop(ours: Ours, tmp_path: Path, shared: bool) -> None:
    mine = ours.run()
    # Threads of torch wait for one another where something else has a core.
    idle = busy_cores() < 0.25
    threads = [] if idle else ["--threads", 1]
    theirs = call(FOLDER / "peers_loop.py", tmp_path / "out", *threads, *["--shared"] * int(shared))
    assert_alike(json.loads((tmp_path / "out").read_text()), ours)
    say(
        ours,
        "sequential loop, PyG and Lightning, "
        + ("shared by hand" if shared else "each row its own chain"),
        mine,
        theirs,
        None if shared else 2.5,
        "torch's default threads" if idle else "one thread: the machine is busy",
    )


def test_ray_tune_default(ours: Ours, tmp_path: Path) -> None:
    mine = ours.run()
    theirs = call(FOLDER / "peers_tune.py", tmp_path / "out")
    assert_alike(json.loads((tmp_path / "out").read_text()), ours)
    say(ours, "Ray Tune, default", mine, theirs, 8, "each of 20 trials trains its own chain")


def test_ray_tune_with_reused_actors(ours: Ours, tmp_path: Path) -> None:
    """The stages are ours, so that the metrics are equal to the last bit."""
    mine = ours.run()
    theirs = call(FOLDER / "peers_tune_reuse.py", tmp_path / "out")
    compared = 0
    for key, trial in ours.plan.trials.items():
        if trial.stage.name in ("autoencode", "classify", "fuse"):
            assert ours.metrics(key).equals(pl.read_parquet(tmp_path / "out" / key / METRICS_FILE))
            compared += 1
    assert compared == 20
    how = "three searches in turn"
    say(ours, "Ray Tune, reuse_actors, shared by hand", mine, theirs, 1.5, how)


def test_cold_warm_and_resumed(ours: Ours) -> None:
    """What later runs on the same machine take, and one that has nothing left to do."""
    while len(ours.seconds) < 2:
        ours.run()
    resumed = ours.command(ours.root / "store0")
    cold, warm = ours.seconds[0], statistics.median(ours.seconds[1:])
    assert resumed < warm
    for peer_name, theirs in (("ours, first run", cold), ("ours, resumed when done", resumed)):
        record(
            case=CASE,
            peer=peer_name,
            ours=warm,
            theirs=theirs,
            unit="s",
            reach=None,
            larger_is_better=False,
            why="ours: median of the later runs, each from an empty store",
        )


def busy_cores(seconds: float = 2.0) -> float:
    """Cores that something works on now; the load average still tells of what was before."""

    def idle() -> float:
        first = STAT.read_text().splitlines()[0].split()[1:]
        return sum(map(int, first[3:5])) / os.sysconf("SC_CLK_TCK")

    before = idle()
    time.sleep(seconds)
    return (os.cpu_count() or 1) - (idle() - before) / seconds


@cache
def second_core() -> float:
    """What two processes train together, as a multiple of what one trains alone."""

    def trained(processes: int) -> int:
        command = [sys.executable, "-c", WORKER]
        running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(processes)
        ]
        return sum(int(one.communicate()[0]) for one in running)

    return trained(2) / trained(1)


def say(ours: Ours, name: str, mine: float, theirs: float, reach: float | None, how: str) -> None:
    """Records one comparison."""
    record(
        case=CASE,
        peer=name,
        ours=mine,
        theirs=theirs,
        unit="s",
        reach=reach,
        larger_is_better=False,
        why=f"{how}; {ours.spent()}; two processes at once train {second_core():.1f} times what "
        f"one does; load average {os.getloadavg()[0]:.1f}",
    )


def assert_alike(theirs: Mapping[str, Mapping[str, Row]], ours: Ours) -> None:
    """The same training: equally many epochs and steps, and detectors that tell as much."""
    found, prepared = ours.rows(), peer.prepare()
    assert set(theirs) == {variant.name for variant in GRID.variants}
    for variant, seeds in theirs.items():
        assert set(seeds) == {str(seed) for seed in GRID.seeds}
        for seed, row in seeds.items():
            if variant in TRAINED:
                benign = variant == "vgae"
                steps = peer.steps_of_ours(
                    prepared, int(seed), peer.FIT.max_epochs, benign_only=benign
                )
                assert (row["epochs"], row["steps"]) == (peer.FIT.max_epochs, steps)
        names = seeds["0"]["auroc"]
        means = [mean_auroc(rows, names) for rows in (seeds, found[variant])]
        print(f"{variant}: mean AUROC {means[1]:.3f}, peer {means[0]:.3f}")
        assert abs(means[0] - means[1]) <= AUROC_TOLERANCE, f"{variant}: {means}"


def mean_auroc(rows: Mapping[str, Row], names: Mapping[str, float]) -> float:
    """Mean over seeds and over the subsets that have both classes."""
    values = [row["auroc"][name] for row in rows.values() for name in names]
    return statistics.fmean(v for v in values if v is not None and not math.isnan(v))


def call(script: Path, *arguments: object) -> float:
    """Seconds of a script in a process of its own; it must end well."""
    away = ("RAY_ADDRESS", "GRAPHIDS_STORE")
    environment = {name: value for name, value in os.environ.items() if name not in away}
    # Ray's workers run at nice 15 by default: beside anything else that wants a core they get a
    # thirtieth of what a plain loop gets, and that would be measured.
    environment["RAY_worker_niceness"] = "0"
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return time.perf_counter() - start
