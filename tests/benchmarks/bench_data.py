"""Messages to graphs, and epochs of batches, against the usual way; equal outputs come first."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
import torch
from report import interleaved, record
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.loader import DataLoader, DynamicBatchSampler
from window_loop import loop_graphs

from graphids.core.budget import Budget
from graphids.data.loader import BudgetLoader, cut, gather_batch
from graphids.data.messages import message_table
from graphids.data.packed import PackedGraphs, build_graphs
from graphids.data.windows import Capture

WINDOW = 100
BUDGET = Budget(nodes=4096, edges=16384)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def traffic(num_messages: int, *, ids: int = 45) -> pl.DataFrame:
    """Messages of ids of unequal rate, with random, slow and constant bytes; 30 nodes a window."""
    rng = np.random.default_rng(0)
    rate = 1 / np.arange(1, ids + 1)
    known = np.sort(rng.choice(2048, ids, replace=False))
    payload = rng.integers(0, 256, (num_messages, 8))
    payload[:, 4:6] = rng.integers(0, 3, (num_messages, 2))
    payload[:, 6:] = 17
    return message_table(
        time_ns=np.cumsum(rng.integers(100_000, 900_000, num_messages)),
        arbitration_id=known[rng.choice(ids, num_messages, p=rate / rate.sum())],
        dlc=np.full(num_messages, 8),
        payload=payload,
        attack=rng.random(num_messages) < 0.002,
        code=2,
    )


def assert_same(ours: object, theirs: object, names: tuple[str, ...]) -> None:
    for name in names:
        a, b = getattr(ours, name), getattr(theirs, name)
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_messages_to_packed_graphs() -> None:
    messages = traffic(1_000_000)
    subset = messages[: 200 * WINDOW]
    capture = Capture.from_messages(subset)
    names = ("x", "arbitration_id", "edge_index", "edge_attr", "y", "attack_type")
    for ours, theirs in zip(build_graphs(subset), loop_graphs(capture, WINDOW), strict=True):
        assert_same(ours, theirs, names)
    seconds, loop_seconds = interleaved(
        lambda: build_graphs(messages), lambda: loop_graphs(capture, WINDOW)
    )
    record(
        case="messages to PackedGraphs, window 100",
        peer="Python loop over windows with numpy inside",
        ours=len(messages) / seconds,
        theirs=len(subset) / loop_seconds,
        unit="messages/s",
        reach=50,
        why=f"one thread; {len(messages):,} messages, the peer {len(subset):,}",
    )


class Windows(InMemoryDataset):
    """The same graphs as PyG keeps them in memory."""

    def __init__(self, graphs: list[Data]) -> None:
        super().__init__(None)
        self.data, self.slices = self.collate(graphs)


@pytest.fixture(scope="module")
def graphs() -> PackedGraphs:
    """20,000 graphs."""
    return build_graphs(traffic(20_000 * WINDOW))


@pytest.fixture(scope="module")
def graph_list(graphs: PackedGraphs) -> list[Data]:
    keys = ("x", "node_id", "arbitration_id", "edge_index", "edge_attr", "y", "attack_type")
    return [Data(**{key: graph[key].clone() for key in keys}) for graph in graphs]


def time_epoch(
    graphs: PackedGraphs, dataset: InMemoryDataset | list[Data], peer: str, reach: float
) -> None:
    """One shuffled epoch; the peer is even given its batches ready planned."""
    loader = BudgetLoader(graphs, BUDGET, generator=torch.Generator().manual_seed(0))
    plan = [batch.graph_index for batch in loader]
    lists = [index.tolist() for index in plan]
    theirs = DataLoader(dataset, batch_sampler=lists)
    names = (
        "x",
        "node_id",
        "arbitration_id",
        "edge_index",
        "edge_attr",
        "y",
        "attack_type",
        "batch",
        "ptr",
    )
    for index, batch in zip(plan, theirs, strict=True):
        assert_same(gather_batch(graphs, index), batch, names)
    seconds, peer_seconds = interleaved(lambda: drain(loader), lambda: drain(theirs))
    record(
        case="epoch of batches, 20,000 graphs",
        peer=peer,
        ours=seconds,
        theirs=peer_seconds,
        unit="s",
        reach=reach,
        larger_is_better=False,
        why=f"one thread, {len(lists)} batches of {BUDGET.nodes} nodes; ours plans each epoch anew",
    )


def drain(loader: BudgetLoader | DataLoader) -> None:
    for _ in loader:
        pass


def test_epoch_of_batches_over_in_memory_dataset(
    graphs: PackedGraphs, graph_list: list[Data]
) -> None:
    time_epoch(graphs, Windows(graph_list), "PyG DataLoader over InMemoryDataset", 6)


def test_epoch_of_batches_over_list(graphs: PackedGraphs, graph_list: list[Data]) -> None:
    time_epoch(graphs, graph_list, "PyG DataLoader over list[Data]", 6)


def test_planning_of_batches(graphs: PackedGraphs, graph_list: list[Data]) -> None:
    """Both fill a node budget in random order; each must hold every graph once."""
    budget = Budget(nodes=BUDGET.nodes, edges=10**9)
    sampler = DynamicBatchSampler(Windows(graph_list), BUDGET.nodes, mode="node", shuffle=True)
    nodes, edges = graphs.num_nodes.numpy(), graphs.num_edges.numpy()
    generator = torch.Generator().manual_seed(0)

    def ours() -> list[list[int]]:
        order = torch.randperm(len(graphs), generator=generator)
        borders = cut(nodes[order.numpy()], edges[order.numpy()], budget)
        return [order[a:b] for a, b in pairwise(borders)]

    for batches in (ours(), list(iter(sampler))):
        assert sorted(int(i) for batch in batches for i in batch) == list(range(len(graphs)))
        assert all(nodes[np.asarray(batch)].sum() <= BUDGET.nodes for batch in batches)
    fill = graphs.num_nodes.sum() / (len(ours()) * BUDGET.nodes)
    seconds, peer_seconds = interleaved(ours, lambda: list(iter(sampler)), repeats=3)
    record(
        case="planning an epoch, 20,000 graphs",
        peer="PyG DynamicBatchSampler",
        ours=seconds,
        theirs=peer_seconds,
        unit="s",
        reach=20,
        larger_is_better=False,
        why=f"batches filled to {fill:.1%} of the node budget",
    )
