"""Features against the oracle, and the defects of the reference that they must not have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import graph, windows
from traffic import as_oracle, random_messages

from graphids.data.features import EDGE_FEATURES, NODE_FEATURES
from graphids.data.logs import read_log
from graphids.data.messages import message_table
from graphids.data.packed import PackedGraphs, build_graphs


def assert_agrees(
    graphs: PackedGraphs, messages: pl.DataFrame, window: int, stride: int, every: int = 1
) -> None:
    """Every ``every``-th graph equals the oracle's to 1e-5, relative above 1."""
    expected = windows(as_oracle(messages), window, stride)
    assert len(graphs) == len(expected)
    for k in range(0, len(graphs), every):
        first, rows = expected[k]
        want, got = graph(rows), graphs[k]
        assert int(got.first_message) == first
        assert got.arbitration_id.tolist() == want.arbitration_id
        assert got.edge_index.t().tolist() == [list(edge) for edge in want.edge_index]
        assert (int(got.y), int(got.attack_type)) == (want.y, want.attack_type)
        for found, wanted in ((got.x, want.x), (got.edge_attr, want.edge_attr)):
            torch.testing.assert_close(
                found.double(), torch.tensor(wanted).double(), rtol=1e-5, atol=1e-5
            )


def of_one_window(
    ids: list[int], payload: np.ndarray | None = None, times: list[int] | None = None
) -> PackedGraphs:
    """The graph of one window with the given ids; by default zero payloads, a microsecond apart."""
    n = len(ids)
    messages = message_table(
        time_ns=np.asarray(times if times else np.arange(n) * 1000),
        arbitration_id=np.asarray(ids),
        dlc=np.full(n, 8),
        payload=np.zeros((n, 8)) if payload is None else payload,
        attack=np.zeros(n, dtype=bool),
        code=0,
    )
    return build_graphs(messages, window=n, stride=n)


def column(graphs: PackedGraphs, name: str) -> list[float]:
    return graphs.x[:, NODE_FEATURES.index(name)].tolist()


def test_names_are_distinct_and_as_many_as_columns() -> None:
    graphs = of_one_window([1, 2])
    assert len(set(NODE_FEATURES)) == graphs.num_features == 35
    assert len(set(EDGE_FEATURES)) == graphs.num_edge_features == 11


@pytest.mark.parametrize(
    ("window", "stride", "options"),
    [
        (100, 100, {}),
        (100, 100, {"ids": 60}),
        (100, 37, {"ids": 3}),
        (10, 7, {"ids": 1}),
        (7, 1, {"ids": 5, "largest_gap_ns": 2}),
        (2, 2, {"ids": 2}),
        (333, 100, {"ids": 200}),
        (64, 64, {"ids": 10, "largest_byte": 1}),
        (1100, 1100, {"ids": 40}),
    ],
)
def test_agrees_with_the_oracle(window: int, stride: int, options: dict[str, int]) -> None:
    rng = np.random.default_rng([window, stride])
    messages = random_messages(rng, min(4 * window + 3, 1200), **options)
    assert_agrees(build_graphs(messages, window, stride), messages, window, stride)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_agrees_on_small_windows(data: st.DataObject) -> None:
    """Few ids, repeated and equal times, extended ids, extreme bytes."""
    n = data.draw(st.integers(2, 24))
    window = data.draw(st.integers(2, n))
    stride = data.draw(st.integers(1, window))
    draw = lambda values: data.draw(st.lists(values, min_size=n, max_size=n))  # noqa: E731
    attack = np.array(draw(st.booleans()))
    messages = message_table(
        time_ns=np.array(draw(st.integers(0, 5))) * 1000,
        arbitration_id=np.array(draw(st.sampled_from([0, 1, 0x7FF, 0x1FFFFFFF]))),
        dlc=np.full(n, 8),
        payload=np.array(draw(st.lists(st.sampled_from([0, 1, 128, 255]), min_size=8, max_size=8))),
        attack=attack,
        code=4,
    )
    assert_agrees(build_graphs(messages, window, stride), messages, window, stride)


@pytest.mark.parametrize(
    "capture",
    [
        "hcrl_sa/test_01_known_vehicle_known_attack/fuzzing-kia",
        "hcrl_sa/test_04_unknown_vehicle_unknown_attack/malfunction-spark",
        "set_01/test_04_unknown_vehicle_unknown_attack/systematic-4",
        "set_03/train_01_attack_free",
    ],
)
def test_agrees_on_real_captures(real_data: Path, capture: str) -> None:
    paths = sorted((real_data / capture).glob("*.csv.gz")) or [real_data / f"{capture}.csv.gz"]
    messages = read_log(paths[0]).sort("time_ns", maintain_order=True)
    middle = messages.slice(len(messages) // 2, 40_000)
    assert_agrees(build_graphs(middle), middle, 100, 100, every=23)
    assert_agrees(build_graphs(middle[:2000], 100, 33), middle[:2000], 100, 33, every=9)


def test_graphs_do_not_depend_on_how_the_capture_is_chunked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    messages = random_messages(np.random.default_rng(5), 3000)
    whole = build_graphs(messages, 50, 20).tensors()
    monkeypatch.setattr("graphids.data.graph_tensors._CHUNK_MESSAGES", 170)
    for name, tensor in build_graphs(messages, 50, 20).tensors().items():
        torch.testing.assert_close(tensor, whole[name], rtol=1e-6, atol=1e-9)


def test_d41_self_loops_are_no_neighbours() -> None:
    """D-41: repeated ids must not close triangles nor count as neighbours."""
    path = of_one_window([1, 1, 2, 2, 3, 3])
    assert column(path, "clustering_coeff") == [0, 0, 0]
    triangle = of_one_window([1, 1, 2, 3, 1])
    assert column(triangle, "clustering_coeff") == [1, 1, 1]
    assert column(triangle, "in_degree") == [2, 1, 1]
    assert column(triangle, "out_degree") == [2, 1, 1]


def test_d20_first_half_is_a_position_in_the_window() -> None:
    """D-20: with overlapping windows the row number says nothing about the half."""
    messages = random_messages(np.random.default_rng(0), 130, ids=1)
    graphs = build_graphs(messages, window=100, stride=30)
    assert column(graphs, "split_half_ratio") == [0.5, 0.5]


def test_deviation_survives_nearly_equal_gaps() -> None:
    """Gaps of 100 ms that differ by a nanosecond: raw second moments would cancel to noise."""
    times = [0, 100_000_000, 200_000_001, 300_000_001]
    graphs = of_one_window([5] * 4, times=times)
    assert column(graphs, "node_iat_std") == pytest.approx([1e-9 / 3**0.5], rel=1e-4)


def test_edges_follow_the_bus_and_difference_the_same_two_messages() -> None:
    payload = np.zeros((3, 8))
    payload[:, 0] = [10, 250, 3]
    graphs = of_one_window([9, 4, 9], payload, times=[0, 2_000_000, 7_000_000])
    assert graphs.edge_index.tolist() == [[1, 0], [0, 1]]
    torch.testing.assert_close(
        graphs.edge_attr[:, :2], torch.tensor([[0.002, 240.0], [0.005, 247.0]])
    )
    assert graphs.edge_attr[:, 9:].tolist() == [[1, 1], [1, 1]]
