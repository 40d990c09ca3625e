"""A log to a data set on disk, and that data set opened again, against the usual way."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from bus_traffic import CODE, GRAPH, WINDOW, assert_close, assert_equal, one_thread, traffic
from report import cold_and_warm, record
from torch_geometric.data import Data
from window_loop import loop_graphs

from graphids.data.logs import read_log, write_log
from graphids.data.packed import PackedGraphs, build_graphs
from graphids.data.windows import Capture

ROOT = Path(__file__).resolve().parents[2]
CHILD = Path(__file__).with_name("open_child.py")
CHILDREN = 5
PEERS = {
    "list": "torch.load of a list of Data",
    "tensors": "torch.load of the same few long tensors",
}
FIELDS = (*GRAPH, "node_id")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def pandas_capture(path: Path) -> Capture:
    """A log by pandas, its hexadecimal fields decoded one by one."""
    frame = pd.read_csv(path, dtype={"arbitration_id": str, "data_field": str})
    payload = frame["data_field"].apply(lambda text: list(bytes.fromhex(text).ljust(8, b"\0")))
    attack = frame["attack"].to_numpy() == 1
    return Capture(
        time_ns=np.rint(frame["timestamp"].to_numpy() * 1e9).astype(np.int64),
        arbitration_id=frame["arbitration_id"].apply(int, base=16).to_numpy(dtype=np.uint32),
        payload=np.array(payload.tolist(), dtype=np.uint8),
        attack=attack,
        attack_type=np.where(attack, CODE, 0).astype(np.uint8),
    )


def test_log_to_data_set_on_disk(tmp_path: Path) -> None:
    messages = traffic(200_000)
    log = tmp_path / "fuzzing.csv.gz"
    write_log(messages, log)
    packed, listed = tmp_path / "graphs.safetensors", tmp_path / "graphs.pt"

    def same(*_: None) -> None:
        theirs = torch.load(listed, weights_only=False)
        ours = PackedGraphs.load(packed)
        assert len(ours) == len(theirs) == len(messages) // WINDOW
        for i, graph in enumerate(theirs):
            assert_close(ours[i], graph, GRAPH)

    ours, theirs = cold_and_warm(
        lambda: build_graphs(read_log(log)).save(packed),
        lambda: torch.save(loop_graphs(pandas_capture(log), WINDOW), listed),
        same=same,
    )
    size = packed.stat().st_size / listed.stat().st_size
    record(
        case="CSV (gzip) to PackedGraphs on disk",
        peer="pandas, loop over windows with numpy inside, torch.save",
        ours=len(messages) / ours.warm,
        theirs=len(messages) / theirs.warm,
        unit="messages/s",
        reach=8,
        cold=(len(messages) / ours.cold, len(messages) / theirs.cold),
        why=f"one thread; {len(messages):,} messages; our file has {size:.2f} times the bytes",
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """20,000 graphs as a prepared data set, and as ``torch.save`` writes them, in two ways."""
    folder = tmp_path_factory.mktemp("prepared")
    paths = {kind: folder / kind for kind in ("packed", *PEERS)}
    graphs = build_graphs(traffic(20_000 * WINDOW))
    graphs.save(paths["packed"])
    torch.save(graphs.tensors(), paths["tensors"])
    listed = [Data(**{name: graph[name].clone() for name in FIELDS}) for graph in graphs]
    torch.save(listed, paths["list"])
    return paths


def in_child(kind: str, path: Path) -> dict[str, float]:
    """What a new process took and held to open a data set."""
    done = subprocess.run(
        [sys.executable, CHILD, kind, path], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_opening_a_data_set(files: dict[str, Path]) -> None:
    """In new processes, ours and the peers' in turns; whether the content is equal, here."""
    packed = PackedGraphs.load(files["packed"])
    tensors = torch.load(files["tensors"])
    assert_equal(packed.tensors(), tensors, {*packed.tensors(), *tensors})
    listed = torch.load(files["list"], weights_only=False)
    assert len(packed) == len(listed)
    for i, graph in enumerate(listed):
        assert_equal(packed[i], graph, FIELDS)
    del tensors, listed
    runs = [{kind: in_child(kind, path) for kind, path in files.items()} for _ in range(CHILDREN)]
    for kind, peer in PEERS.items():
        record_opening(f"{len(packed):,} graphs", peer, runs, kind)


def record_opening(
    graphs: str, peer: str, runs: list[dict[str, dict[str, float]]], kind: str
) -> None:
    """Records time and memory of opening against one peer; reaches are for lists of ``Data``."""

    def medians(figure: str) -> tuple[float, float]:
        ours, theirs = ([run[form][figure] for run in runs] for form in ("packed", kind))
        return statistics.median(ours), statistics.median(theirs)

    for case, figure, unit, reach, why in (
        (
            "open a prepared data set",
            "warm_s",
            "s",
            30,
            "one thread, file in the page cache; ours maps it and reads a page when it is touched",
        ),
        (
            "open a prepared data set and read it whole",
            "read_s",
            "s",
            None,
            "one thread, first opening of a process; the sum of every tensor, as float64",
        ),
        (
            "resident memory of a data set just opened",
            "resident",
            "B",
            5,
            "what opening adds to the process",
        ),
        (
            "own memory of a data set read whole",
            "own_after_reading",
            "B",
            5,
            "what opening and reading add to the process and no file backs; the pages of a mapped "
            "file are shared by all processes; buffers of the reading count on both sides",
        ),
    ):
        ours, theirs = medians(figure)
        record(
            case=f"{case}, {graphs}",
            peer=peer,
            ours=ours,
            theirs=theirs,
            unit=unit,
            reach=reach if kind == "list" else None,
            larger_is_better=False,
            cold=medians("cold_s") if figure == "warm_s" else None,
            why=f"{why}; medians of {CHILDREN} new processes of each kind",
        )
