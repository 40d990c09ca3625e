"""How captures are cut: borders, order, labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from traffic import random_messages

from graphids.data.logs import read_log
from graphids.data.packed import build_graphs, concatenate
from graphids.data.windows import Capture, num_windows, overlap_reach, window_rows


def messages(num_messages: int) -> pl.DataFrame:
    return random_messages(np.random.default_rng(num_messages), num_messages, ids=4)


@pytest.mark.parametrize(
    ("rows", "count"), [(0, 0), (99, 0), (100, 1), (149, 1), (150, 2), (260, 4)]
)
def test_an_incomplete_tail_makes_no_window(rows: int, count: int) -> None:
    graphs = build_graphs(messages(rows), window=100, stride=50)
    assert len(graphs) == num_windows(rows, 100, 50) == count
    assert graphs.node_offsets[0] == 0
    assert graphs.num_edges.tolist() == [99] * count


@pytest.mark.parametrize(
    ("window", "stride", "word"), [(1, 1, "window"), (100, 0, "stride"), (100, 101, "skipped")]
)
def test_windows_that_cannot_be_cut_are_refused(window: int, stride: int, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        build_graphs(messages(300), window, stride)


def test_rows_of_a_window_are_consecutive() -> None:
    rows = window_rows(np.arange(23), 6, 4)
    assert rows.tolist() == [list(range(s, s + 6)) for s in range(0, 17, 4)]


@pytest.mark.parametrize(
    ("window", "stride"), [(100, 100), (100, 99), (100, 50), (100, 33), (9, 1)]
)
def test_reach_is_the_last_window_that_shares_a_message(window: int, stride: int) -> None:
    reach = overlap_reach(window, stride)
    assert reach * stride < window <= (reach + 1) * stride


def test_sorting_by_time_keeps_the_order_of_equal_times() -> None:
    table = messages(500).with_columns(
        time_ns=pl.Series(np.random.default_rng(1).integers(0, 40, 500)),
        arbitration_id=pl.Series(np.arange(500), dtype=pl.UInt32),
    )
    capture = Capture.from_messages(table)
    expected = table.sort("time_ns", maintain_order=True)
    assert capture.arbitration_id.tolist() == expected["arbitration_id"].to_list()
    assert capture.payload.tolist() == expected["payload"].to_list()


def test_d19_labels_come_from_attack_messages_alone() -> None:
    """D-19: a code on benign rows of an attack file must not reach benign windows."""
    attack = np.zeros(40, dtype=bool)
    attack[[11, 12, 13, 25]] = True
    code = np.full(40, 9)
    code[[11, 12, 13]] = [4, 4, 1]
    table = messages(40).with_columns(
        attack=pl.Series(attack), attack_type=pl.Series(code, dtype=pl.UInt8)
    )
    graphs = build_graphs(table, window=10, stride=10)
    assert graphs.y.tolist() == [0, 1, 1, 0]
    assert graphs.attack_type.tolist() == [0, 4, 9, 0]


def test_a_message_without_label_counts_as_benign() -> None:
    table = messages(20).with_columns(attack=pl.lit(None, dtype=pl.Boolean))
    assert build_graphs(table, window=10, stride=10).y.tolist() == [0, 0]


def test_d32_windows_stay_in_the_order_of_time_and_none_is_dropped() -> None:
    """D-32: graphs sorted by size lose the largest ones where a number of them is taken."""
    graphs = build_graphs(random_messages(np.random.default_rng(3), 2000, ids=40), 50, 30)
    assert graphs.first_message.tolist() == list(range(0, 2000 - 50 + 1, 30))
    assert bool((graphs.num_nodes.diff() < 0).any())


def test_d14_windows_never_hold_two_captures() -> None:
    """D-14: captures whose times interleave are windowed apart, tails are not joined."""
    a, b = messages(150), messages(170)
    graphs = concatenate([build_graphs(a), build_graphs(b), build_graphs(a[:60]), build_graphs(b)])
    assert graphs.capture.tolist() == [0, 1, 3]
    assert graphs.first_message.tolist() == [0, 0, 0]
    assert graphs[0].arbitration_id.tolist() == sorted(a[:100]["arbitration_id"].unique())
    assert graphs[1].arbitration_id.tolist() == sorted(b[:100]["arbitration_id"].unique())


@pytest.mark.parametrize(
    ("subset", "windows", "attacks"),
    [
        ("test_01_known_vehicle_known_attack", 3994, 1928),
        ("test_02_unknown_vehicle_known_attack", 1861, 752),
        ("test_03_known_vehicle_unknown_attack", 3060, 1159),
        ("test_04_unknown_vehicle_unknown_attack", 797, 311),
    ],
)
def test_counts_of_hcrl_sa(real_data: Path, subset: str, windows: int, attacks: int) -> None:
    captures = sorted((real_data / "hcrl_sa" / subset).rglob("*.csv*"))
    graphs = concatenate([build_graphs(read_log(path)) for path in captures])
    assert (len(graphs), int(graphs.y.sum())) == (windows, attacks)
    assert bool(((graphs.attack_type > 0) == (graphs.y == 1)).all())
