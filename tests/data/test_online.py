"""Messages one by one against the graphs of the whole capture."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from traffic import random_messages

from graphids.core.batch import GraphBatch
from graphids.data.loader import gather_batch
from graphids.data.online import OnlineWindows
from graphids.data.packed import build_graphs
from graphids.data.scaling import Scaler, fit_scaler
from graphids.data.vocabulary import Vocabulary

FIELDS = ("x", "node_id", "arbitration_id", "edge_index", "edge_attr", "batch", "ptr")


def replay(online: OnlineWindows, messages: pl.DataFrame) -> list[GraphBatch]:
    """The graphs that come out as the messages go in, payloads as long as they were sent."""
    rows = messages.select("time_ns", "arbitration_id", "payload", "dlc").iter_rows()
    found = (
        online.add(time_ns, arbitration_id, bytes(payload)[:dlc])
        for time_ns, arbitration_id, payload, dlc in rows
    )
    return [graph for graph in found if graph is not None]


def fitted(messages: pl.DataFrame, window: int, stride: int) -> tuple[Scaler, Vocabulary]:
    """Scaler and vocabulary of a capture, to whom other captures hold unknown ids."""
    graphs = build_graphs(messages, window, stride)
    training = torch.ones(len(graphs), dtype=torch.bool)
    return fit_scaler(graphs, training), Vocabulary.from_ids(graphs.arbitration_id)


@pytest.mark.parametrize(("window", "stride"), [(20, 20), (20, 7), (33, 1), (2, 2)])
def test_graphs_are_those_of_the_capture(window: int, stride: int) -> None:
    scaler, vocabulary = fitted(
        random_messages(np.random.default_rng(0), 400, attack_rate=0.0), window, stride
    )
    messages = random_messages(np.random.default_rng(1), 251, ids=9)
    online = OnlineWindows(scaler, vocabulary, window=window, stride=stride)
    found = replay(online, messages)
    expected = scaler.apply(build_graphs(messages, window, stride, vocabulary))
    assert len(found) == len(expected)
    assert (expected.node_id == 0).any()
    for i, graph in enumerate(found):
        of_capture = gather_batch(expected, torch.tensor([i]))
        for name in FIELDS:
            assert torch.equal(vars_of(graph)[name], vars_of(of_capture)[name]), name
        assert graph.graph_index.tolist() == [i]


def vars_of(graph: GraphBatch) -> dict[str, torch.Tensor]:
    return {name: getattr(graph, name) for name in FIELDS}


def test_a_message_that_cannot_be_is_refused_and_leaves_the_window_as_it_was() -> None:
    messages = random_messages(np.random.default_rng(0), 40, attack_rate=0.0)
    online = OnlineWindows(*fitted(messages, 10, 10), window=10, stride=10)
    assert online.add(50, 0x1F, b"") is None
    with pytest.raises(ValueError, match="49 ns comes after one of 50 ns"):
        online.add(49, 0x1F, b"")
    with pytest.raises(ValueError, match="0x1f has 9 bytes"):
        online.add(51, 0x1F, bytes(9))
    graphs = [online.add(50 + i, 0x1F, bytes([i])) for i in range(9)]
    assert [graph is None for graph in graphs] == [True] * 8 + [False]


def test_a_window_that_cannot_be_cut_is_refused() -> None:
    scaler, vocabulary = fitted(
        random_messages(np.random.default_rng(0), 40, attack_rate=0.0), 10, 10
    )
    with pytest.raises(ValueError, match=r"stride \(11\) exceeds window \(10\)"):
        OnlineWindows(scaler, vocabulary, window=10, stride=11)
