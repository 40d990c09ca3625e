"""Each quick way of building one window's graph against the way that serves whole captures."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from traffic import random_messages

from graphids.data import runs, topology
from graphids.data.features import window_graphs
from graphids.data.windows import Capture, window_rows

CORNERS = {
    "one id": [7] * 6,
    "two messages": [3, 9],
    "two messages of one id": [3, 3],
    "all apart": [5, 1, 4, 2, 3],
    "there and back": [1, 2, 1, 2, 2, 3],
    "a triangle beside loops": [1, 1, 2, 3, 1, 3],
    "a long id": [0x1FFFFFFF, 0, 0x1FFFFFFF, *range(20)],
}


def windows(ids: list[list[int]]) -> tuple[NDArray, NDArray, NDArray]:
    """Times, ids and random payloads of windows that are equally long."""
    rng = np.random.default_rng(len(ids[0]))
    shape = (len(ids), len(ids[0]))
    time_ns = rng.integers(0, 3, shape).cumsum(axis=1) * 500
    payload = rng.choice(np.array([0, 0, 1, 255], dtype=np.uint8), (*shape, 8))
    return time_ns, np.array(ids, dtype=np.uint32), payload


def graphs(given: tuple[NDArray, NDArray, NDArray]) -> list[NDArray]:
    found = window_graphs(*given)
    return [getattr(found, name) for name in type(found).__slots__]


def assert_same(found: list[NDArray], wanted: list[NDArray]) -> None:
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()


@pytest.fixture
def as_in_a_capture(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The ways of long captures alone, until undone."""
    monkeypatch.setattr(runs, "FEW_ROWS", 0)
    monkeypatch.setattr(topology, "TABLE_CELLS", 0)
    return monkeypatch


@pytest.mark.parametrize("ids", CORNERS.values(), ids=CORNERS)
def test_a_corner_window_is_built_alike_either_way(
    ids: list[int], as_in_a_capture: pytest.MonkeyPatch
) -> None:
    given = windows([ids])
    wanted = graphs(given)
    as_in_a_capture.undo()
    assert_same(graphs(given), wanted)


@pytest.mark.parametrize(("window", "ids"), [(100, 20), (100, 48), (100, 90), (17, 3), (2, 2)])
def test_windows_alone_and_together_are_equal_to_the_byte(window: int, ids: int) -> None:
    messages = random_messages(np.random.default_rng(window), 12 * window, ids=ids)
    capture = Capture.from_messages(messages)
    columns = capture.time_ns, capture.arbitration_id, capture.payload
    time_ns, arbitration_id, payload = (window_rows(c, window, window) for c in columns)
    together = window_graphs(time_ns, arbitration_id, payload)
    alone = [
        window_graphs(time_ns[i : i + 1], arbitration_id[i : i + 1], payload[i : i + 1])
        for i in range(len(time_ns))
    ]
    for name in ("x", "arbitration_id", "num_nodes", "edge_attr", "edge_index"):
        parts = [getattr(graph, name) for graph in alone]
        joined = np.concatenate(parts, axis=int(name == "edge_index"))
        assert joined.tobytes() == getattr(together, name).tobytes(), name


@pytest.mark.parametrize("most_nodes", [1, 2, 30, 70])
def test_the_table_of_pairs_says_what_sorting_says(
    most_nodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(most_nodes)
    ids = rng.integers(0, most_nodes, (9, 40))
    local = np.stack([np.unique(row, return_inverse=True)[1] for row in ids])
    num_nodes = local.max(axis=1) + 1
    found = []
    for cells in (0, 1_000_000):
        monkeypatch.setattr(topology, "TABLE_CELLS", cells)
        found.append([part.astype(np.float32) for part in topology.topology(local, num_nodes)])
    assert_same(found[1], found[0])


@pytest.mark.parametrize("longest", [1, 2, 9, 300])
def test_sums_and_ranges_are_alike_either_way(
    longest: int, as_in_a_capture: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(longest)
    start = np.concatenate(([0], rng.integers(1, longest + 1, 20).cumsum()))
    values = rng.integers(0, 256, (start[-1], 8), dtype=np.uint8)
    powers = values.astype(np.float64) ** np.array([1, 4])[:, None, None]

    def both() -> list[NDArray]:
        sums = [runs.exact_sums(powers, start), runs.exact_sums(powers[0], start)]
        return [*sums, runs.ranges(values, start)]

    wanted = both()
    as_in_a_capture.undo()
    assert_same(both(), wanted)
