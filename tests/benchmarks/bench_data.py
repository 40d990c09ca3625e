"""Messages to graphs, plans of epochs and epochs of batches, against the usual ways."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

import pytest
import torch
from bus_traffic import GRAPH, WINDOW, assert_close, assert_equal, one_thread, traffic
from report import cold_and_warm, record
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.loader import DataLoader, DynamicBatchSampler
from window_loop import loop_graphs
from window_networkx import messages_frame, networkx_graphs

from graphids.core.batch import GraphBatch
from graphids.core.budget import Budget
from graphids.data.loader import BudgetLoader, cut
from graphids.data.packed import PackedGraphs, build_graphs
from graphids.data.windows import Capture

BUDGET = Budget(nodes=4096, edges=16384)
BATCH = ("x", "node_id", "arbitration_id", "edge_index", "edge_attr", "y", "attack_type")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def test_messages_to_packed_graphs() -> None:
    messages = traffic(1_000_000)
    for_loop, for_networkx = 200 * WINDOW, 50 * WINDOW
    capture = Capture.from_messages(messages[:for_loop])
    frame = messages_frame(Capture.from_messages(messages[:for_networkx]))

    def same(ours: PackedGraphs, *peers: list[Data]) -> None:
        for graphs in peers:
            for i, graph in enumerate(graphs):
                assert_close(ours[i], graph, GRAPH)

    ours, loop, networkx = cold_and_warm(
        lambda: build_graphs(messages),
        lambda: loop_graphs(capture, WINDOW),
        lambda: networkx_graphs(frame, WINDOW),
        same=same,
    )
    for peer, theirs, amount, reach in (
        ("loop over windows, numpy inside", loop, for_loop, 50),
        ("loop over windows, networkx and pandas inside", networkx, for_networkx, 300),
    ):
        record(
            case="messages to PackedGraphs, window 100",
            peer=peer,
            ours=len(messages) / ours.warm,
            theirs=amount / theirs.warm,
            unit="messages/s",
            reach=reach,
            cold=(len(messages) / ours.cold, amount / theirs.cold),
            why=f"one thread; ours {len(messages):,} messages a call, the peer {amount:,}",
        )


class Windows(InMemoryDataset):
    """Graphs as PyG keeps them in memory: the fields ``names`` of the same tensors, and slices."""

    def __init__(self, graphs: PackedGraphs, names: tuple[str, ...]) -> None:
        super().__init__(None)
        offsets = dict.fromkeys(names, torch.arange(len(graphs) + 1))
        nodes = dict.fromkeys(("x", "node_id", "arbitration_id"), graphs.node_offsets)
        edges = dict.fromkeys(("edge_index", "edge_attr"), graphs.edge_offsets)
        tensors = graphs.tensors()
        self.data = Data(**{name: tensors[name] for name in names})
        self.slices = {name: (offsets | nodes | edges)[name] for name in names}


@pytest.fixture(scope="module")
def many() -> PackedGraphs:
    """100,000 graphs."""
    return build_graphs(traffic(100_000 * WINDOW))


@pytest.fixture(scope="module")
def graphs(many: PackedGraphs) -> PackedGraphs:
    """20,000 graphs."""
    return many.select(torch.arange(20_000))


def test_epoch_of_batches(graphs: PackedGraphs) -> None:
    """Shuffled epochs; the peers are even given their batches ready planned."""
    order = torch.randperm(len(graphs), generator=torch.Generator().manual_seed(0))
    sizes = graphs.num_nodes[order].numpy(), graphs.num_edges[order].numpy()
    plan = [order[a:b].tolist() for a, b in pairwise(cut(*sizes, BUDGET))]
    in_memory = DataLoader(Windows(graphs, BATCH), batch_sampler=plan)
    listed = [Data(**{name: graph[name].clone() for name in BATCH}) for graph in graphs]
    over_list = DataLoader(listed, batch_sampler=plan)
    loader = loader_of(graphs)

    def same(*batches: int) -> None:
        assert set(batches) == {len(plan)}
        for batch, *others in zip(loader_of(graphs), in_memory, over_list, strict=True):
            for other in others:
                assert_equal(vars_of(batch), other, (*BATCH, "batch", "ptr"))

    ours, *peers = cold_and_warm(
        lambda: drain(loader), lambda: drain(in_memory), lambda: drain(over_list), same=same
    )
    for theirs, peer, reach in zip(peers, ("InMemoryDataset", "list[Data]"), (10, 6), strict=True):
        record(
            case=f"epoch of batches, {len(graphs):,} graphs",
            peer=f"PyG DataLoader over {peer}",
            ours=ours.warm,
            theirs=theirs.warm,
            unit="s",
            reach=reach,
            larger_is_better=False,
            cold=(ours.cold, theirs.cold),
            why=f"one thread; {len(plan)} batches of up to {BUDGET.nodes:,} nodes, equal to the "
            "bit; ours plans each epoch anew, the peer is given the plan",
        )


def loader_of(graphs: PackedGraphs) -> BudgetLoader:
    """A loader whose first epoch is always the same."""
    return BudgetLoader(graphs, BUDGET, generator=torch.Generator().manual_seed(0))


def vars_of(batch: GraphBatch) -> dict[str, Tensor]:
    """Fields of a batch by name."""
    return {name: getattr(batch, name) for name in (*BATCH, "batch", "ptr")}


def drain(loader: Iterable[object]) -> int:
    """Takes every batch, and counts them."""
    return sum(1 for _ in loader)


def test_planning_of_batches(many: PackedGraphs) -> None:
    """Under nodes alone both cut alike; under nodes and edges no batch is beyond either."""
    dataset = Windows(many, ("x", "edge_index"))
    generator = torch.Generator().manual_seed(0)
    mean_edges = many.num_edges.sum().item() / many.num_nodes.sum().item()
    both = Budget(nodes=BUDGET.nodes, edges=int(BUDGET.nodes * mean_edges))
    sampler = DynamicBatchSampler(dataset, BUDGET.nodes, mode="node", shuffle=True)

    def same(_: int, shuffled: list[list[int]]) -> None:
        nodes_alone = Budget(nodes=BUDGET.nodes, edges=10**9)
        ours = [batch.graph_index.tolist() for batch in BudgetLoader(many, nodes_alone)]
        assert ours == list(iter(DynamicBatchSampler(dataset, BUDGET.nodes, mode="node")))
        assert sorted(chain.from_iterable(shuffled)) == list(range(len(many)))

    ours, theirs = cold_and_warm(
        lambda: len(BudgetLoader(many, both, generator=generator)),
        lambda: list(iter(sampler)),
        same=same,
    )
    plan = [batch.graph_index for batch in BudgetLoader(many, both, generator=generator)]
    assert torch.equal(torch.cat(plan).sort().values, torch.arange(len(many)))
    sizes = torch.stack((many.num_nodes, many.num_edges))
    filled = torch.stack([sizes[:, index].sum(dim=1) for index in plan])
    share = filled / torch.tensor([both.nodes, both.edges])
    assert share.max() <= 1
    record(
        case=f"planning an epoch, {len(many):,} graphs",
        peer="PyG DynamicBatchSampler",
        ours=ours.warm,
        theirs=theirs.warm,
        unit="s",
        reach=20,
        larger_is_better=False,
        cold=(ours.cold, theirs.cold),
        why=f"one thread; ours under {both.nodes:,} nodes and {both.edges:,} edges, every graph "
        f"once, batches filled to {share.amax(dim=1).mean():.1%} of the nearer limit (to reach "
        "95 %); the peer knows nodes alone, and under nodes alone both cut alike",
    )
