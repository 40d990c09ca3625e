"""Sequences of windows: what they hold, what they never bridge, and that parts share nothing."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch
from traffic import random_messages

from graphids.core.batch import as_graph_batch
from graphids.data.loader import gather_batch
from graphids.data.packed import PackedGraphs, build_graphs, concatenate
from graphids.data.sequences import (
    join_windows,
    sequence_graphs,
    sequence_part,
    sequence_reach,
    sequence_windows,
)
from graphids.data.splits import Part, audit, source_boundaries, split


def base(*sizes: int, window: int = 20, stride: int = 20, rate: float = 0.01) -> PackedGraphs:
    rng = np.random.default_rng([window, stride, *sizes])
    messages = [random_messages(rng, n, attack_rate=rate) for n in sizes]
    return concatenate([build_graphs(table, window, stride) for table in messages])


def test_a_sequence_is_its_windows_side_by_side_and_its_label_the_last_ones() -> None:
    graphs = base(400, 330, window=20, stride=15)
    windows = sequence_windows(graphs, 3, 2, window_stride=15)
    joined = join_windows(graphs, windows)
    assert len(joined) == len(windows) > 10
    for sequence, row in zip(joined, windows.tolist(), strict=True):
        parts = [graphs[i] for i in row]
        whole = Batch.from_data_list(parts)
        assert sequence.validate()
        for name in ("x", "node_id", "arbitration_id", "edge_index", "edge_attr"):
            assert torch.equal(sequence[name], whole[name])
        assert torch.equal(sequence.node_sequence_step, whole.batch)
        for name in ("y", "attack_type", "capture", "first_message", "start_ns", "span_ns"):
            assert torch.equal(sequence[name], parts[-1][name])
        assert torch.equal(sequence.covered_from, parts[0].first_message)


def obvious_sequences(
    rows: list[tuple[int, int]], length: int, stride: int, window_stride: int
) -> list[list[int]]:
    """Sequences by looking each window up."""
    where = {pair: i for i, pair in enumerate(rows)}
    found = []
    for capture, first in rows:
        wanted = [(capture, first + k * window_stride) for k in range(length)]
        if first % (stride * window_stride) == 0 and all(pair in where for pair in wanted):
            found.append([where[pair] for pair in wanted])
    return found


MANY = base(700, 90, 500, window=20, stride=10)


@given(st.lists(st.integers(0, len(MANY) - 1), unique=True), st.integers(2, 5), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_d13_no_sequence_bridges_a_dropped_window_or_two_captures(
    dropped: list[int], length: int, stride: int
) -> None:
    """D-13: sequences over surviving windows alone are consecutive in their capture."""
    kept = torch.ones(len(MANY), dtype=torch.bool)
    kept[dropped] = False
    graphs = MANY.select(kept.nonzero().flatten())
    rows = list(zip(graphs.capture.tolist(), graphs.first_message.tolist(), strict=True))
    windows = sequence_windows(graphs, length, stride, window_stride=10)
    assert windows.tolist() == obvious_sequences(rows, length, stride, 10)
    assert source_boundaries(join_windows(graphs, windows), 10) == 0


def test_d16_sequences_across_captures_are_refused_and_counted() -> None:
    """D-16: a boundary between captures is no sample, and one that slipped in is counted."""
    graphs = base(100, 100)
    with pytest.raises(ValueError, match="several captures"):
        join_windows(graphs, torch.tensor([[3, 4], [4, 5]]))
    merged = graphs.select(torch.arange(len(graphs)))
    merged.capture.zero_()
    windows = torch.arange(9)[:, None] + torch.arange(2)
    assert source_boundaries(join_windows(merged, windows), 20) == 1
    assert source_boundaries(graphs, 20) == 0


SHAPES = [(2, 1, 20, 20), (4, 1, 20, 20), (3, 2, 20, 10), (3, 1, 20, 7), (2, 3, 20, 19)]


@pytest.mark.parametrize(("length", "stride", "window", "window_stride"), SHAPES)
def test_parts_share_no_message(length: int, stride: int, window: int, window_stride: int) -> None:
    graphs = base(4000, 3000, 5000, 30, window=window, stride=window_stride, rate=0.004)
    part = split(graphs, sequence_reach(length, stride, window, window_stride))
    joined, parts = sequence_graphs(graphs, part, length, stride, window_stride=window_stride)
    assert set(parts.tolist()) == set(Part)
    assert audit(joined, parts) == {
        f"{a.name}-{b.name}".lower(): {"windows": 0, "messages": 0}
        for a, b in combinations((Part.TRAIN, Part.STOP, Part.CALIBRATION), 2)
    }
    windows = sequence_windows(graphs, length, stride, window_stride=window_stride)
    held = [messages_of(graphs, windows[parts == p].unique(), window) for p in list(Part)[:3]]
    assert all(held)
    assert not any(a & b for a, b in combinations(held, 2))
    for row, joint in zip(part[windows].tolist(), parts.tolist(), strict=True):
        assert joint == (row[0] if len(set(row)) == 1 else Part.EMBARGO)


def messages_of(graphs: PackedGraphs, windows: Tensor, length: int) -> set[tuple[int, int]]:
    """Capture and row of every message of the windows."""
    pairs = zip(
        graphs.capture[windows].tolist(), graphs.first_message[windows].tolist(), strict=True
    )
    return {(capture, row) for capture, first in pairs for row in range(first, first + length)}


def test_the_audit_finds_the_context_that_a_random_split_shares() -> None:
    """Targets may differ where earlier windows of the sequences do not."""
    graphs = base(300)
    windows = sequence_windows(graphs, 4, 1, window_stride=20)
    joined = join_windows(graphs, windows)
    parts = torch.arange(len(joined)) % 2
    held = [messages_of(graphs, windows[parts == p].unique(), 20) for p in (0, 1)]
    shared = audit(joined, parts)["train-stop"]
    assert shared == {"windows": 0, "messages": len(held[0] & held[1])}
    assert shared["messages"] > 200
    assert sequence_part(parts, windows[:3]).tolist() == [Part.EMBARGO] * 3


def test_steps_are_carried_through_selection_joining_and_files(tmp_path: Path) -> None:
    graphs = base(300, 200)
    joined = join_windows(graphs, sequence_windows(graphs, 3, 1, window_stride=20))
    order = torch.randperm(len(joined), generator=torch.Generator().manual_seed(0))
    chosen = joined.select(order)
    for graph, i in zip(chosen, order.tolist(), strict=True):
        assert torch.equal(graph.node_sequence_step, joined[i].node_sequence_step)
        assert torch.equal(graph.covered_from, joined[i].covered_from)
    joined.save(tmp_path / "g.safetensors")
    for again in (PackedGraphs.load(tmp_path / "g.safetensors"), concatenate([joined])):
        assert again.tensors().keys() == joined.tensors().keys()
        assert all(torch.equal(t, joined.tensors()[n]) for n, t in again.tensors().items())
    with pytest.raises(ValueError, match="sequences and single windows"):
        concatenate([joined, graphs])
    assert graphs.step is None
    assert "node_sequence_step" not in graphs[0]


def test_batches_carry_the_steps() -> None:
    graphs = base(300)
    joined = join_windows(graphs, sequence_windows(graphs, 3, 1, window_stride=20))
    ours = gather_batch(joined, torch.tensor([5, 0, 7]))
    theirs = as_graph_batch(Batch.from_data_list([joined[i] for i in (5, 0, 7)]))
    assert ours.step is not None
    assert torch.equal(ours.step, theirs.step)
    assert ours.to("meta").step.is_meta
    assert gather_batch(graphs, torch.tensor([0])).step is None
    assert gather_batch(graphs, torch.tensor([0])).to("meta").step is None
    broken = joined[0]
    broken.node_sequence_step = broken.node_sequence_step[1:]
    with pytest.raises(ValueError, match="node_sequence_step has shape"):
        as_graph_batch(broken)


def test_captures_too_short_for_a_sequence_give_none() -> None:
    graphs = base(50, 10)
    joined, part = sequence_graphs(graphs, torch.zeros(2).long(), 3, 1, window_stride=20)
    assert (len(joined), part.numel(), joined.x.shape) == (0, 0, (0, 35))


@pytest.mark.parametrize(
    ("length", "stride", "window_stride", "word"),
    [
        (1, 1, 20, "sequence_length"),
        (3, 0, 20, "sequence_stride"),
        (3, 1, 0, "window_stride"),
        (3, 1, 30, "multiple of window_stride"),
    ],
)
def test_sequences_that_cannot_be_cut_are_refused(
    length: int, stride: int, window_stride: int, word: str
) -> None:
    graphs = base(100)
    with pytest.raises(ValueError, match=word):
        sequence_windows(graphs, length, stride, window_stride=window_stride)
    joined = join_windows(graphs, sequence_windows(graphs, 2, 1, window_stride=20))
    with pytest.raises(ValueError, match="sequences already"):
        sequence_windows(joined, 2, 1, window_stride=20)
