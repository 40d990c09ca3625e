"""What a batch may hold: estimated from sizes alone, or measured, wherever it is asked for."""

from __future__ import annotations

import pytest
import torch
from probe_samples import flat_probe, one_thread, shape, windows
from torch_geometric.data import Data

from graphids.core.budget import Budget, BudgetConfig, budget_from, node_budget
from graphids.core.memory_model import BatchShape
from graphids.core.models import DGI, GAT, VGAE

SIZES = {"num_ids": 20, "in_channels": 35}


class Graphs:
    """Offsets of graphs of given sizes."""

    def __init__(self, nodes: list[int], edges: list[int]) -> None:
        self.node_offsets = torch.tensor([0, *nodes]).cumsum(0)
        self.edge_offsets = torch.tensor([0, *edges]).cumsum(0)


GRAPHS = Graphs([30] * 1000, [99] * 1000)


@pytest.mark.parametrize("model", [GAT(**SIZES), VGAE(**SIZES), DGI(**SIZES)])
def test_d06_a_budget_is_the_same_inside_inference_mode(model: GAT | VGAE | DGI) -> None:
    """It takes no backward pass, so no evaluation context can make it fail or fall back."""
    expected = node_budget("sim", model=model, train_dataset=GRAPHS)
    with torch.inference_mode():
        assert node_budget("sim", model=model, train_dataset=GRAPHS) == expected
        assert model.compute_budget(GRAPHS, "sim") == expected
    assert expected["binding"] == "heuristic"
    assert set(expected) == {
        "budget", "edge_budget", "binding", "backward_multiplier", "t_fwd", "target_bytes",
    }  # fmt: skip


def test_attention_of_all_to_all_has_a_budget_of_its_own() -> None:
    one, eight = (
        node_budget("sim", model=GAT(**SIZES, conv_type="gps", heads=heads), train_dataset=GRAPHS)
        for heads in (1, 8)
    )
    large = GAT(**SIZES, conv_type="gps", scale="large")
    assert large.quadratic_heads == 8
    plain = node_budget("sim", model=GAT(**SIZES), train_dataset=GRAPHS)
    assert eight["budget"] < one["budget"] < plain["budget"]


def test_more_edges_a_node_leave_room_for_fewer_nodes() -> None:
    dense = Graphs([30] * 1000, [900] * 1000)
    model = GAT(**SIZES)
    assert (
        node_budget("dense", model=model, train_dataset=dense)["budget"]
        < node_budget("sim", model=model, train_dataset=GRAPHS)["budget"]
    )


def test_the_largest_graph_always_fits_and_an_epoch_keeps_its_steps() -> None:
    graphs = Graphs([10] * 99 + [700], [99] * 99 + [5000])
    found = node_budget("sim", model=GAT(**SIZES), train_dataset=graphs, min_steps=1000)
    assert (found["budget"], found["edge_budget"] >= 5000) == (700, True)
    found = node_budget("sim", model=GAT(**SIZES), train_dataset=GRAPHS, min_steps=40)
    assert found["budget"] == 30 * 1000 // 40


def test_what_cannot_be_budgeted_is_named() -> None:
    with pytest.raises(ValueError, match="dataset 'none' has none"):
        node_budget("none", model=GAT(**SIZES), train_dataset=Graphs([], []))
    with pytest.raises(ValueError, match="min_steps must be at least 1"):
        node_budget("sim", model=GAT(**SIZES), train_dataset=GRAPHS, min_steps=0)
    with pytest.raises(ValueError, match="nodes must be at least 1"):
        Budget(nodes=0)


WHOLE = BatchShape(graphs=1000, nodes=30_000, edges=90_000, squares=1000 * 50**2)
LARGEST = BatchShape(graphs=1, nodes=50, edges=200, squares=50**2)


def config(**settings: float) -> BudgetConfig:
    """Without a share for libraries, so that bounds are plain numbers."""
    return BudgetConfig(reserved_share=0.0, **settings)  # type: ignore[arg-type]


def test_memory_binds_where_it_is_the_smallest_bound_and_is_used_up() -> None:
    probe = flat_probe(constant=1000.0, per_node=10.0, per_link=2.0)
    found = budget_from(
        probe, whole=WHOLE, largest=LARGEST, config=config(target_bytes=101_000, edge_headroom=1.0)
    )
    # 1000 + 10 n + 2 * 3 n = 101000
    assert (found.binding, found.nodes, found.edges) == ("memory", 6250, 18_750)
    assert found.predicted_peak_bytes == 101_000


def test_edges_beyond_the_average_fit_as_well() -> None:
    probe = flat_probe(per_node=10.0, per_link=2.0)
    found = budget_from(
        probe, whole=WHOLE, largest=LARGEST, config=config(target_bytes=100_000, edge_headroom=1.1)
    )
    full = shape(found.nodes // 30, found.nodes, found.edges)
    assert 0.999 * 100_000 < probe.memory.predict(full) <= 100_000


def test_steps_bind_before_memory_and_the_knee_before_both() -> None:
    timed = {"throughput": ((100, 50.0), (900, 99.0), (2000, 100.0)), "knee_nodes": 900}
    plenty = config(target_bytes=10**9, min_steps=10)
    steps = budget_from(flat_probe(), whole=WHOLE, largest=LARGEST, config=plenty)
    assert (steps.binding, steps.nodes) == ("steps", 3000)
    knee = budget_from(flat_probe(**timed), whole=WHOLE, largest=LARGEST, config=plenty)
    assert (knee.binding, knee.nodes) == ("throughput", 900)


def test_a_throughput_that_still_rises_binds_nothing() -> None:
    rising = flat_probe(throughput=((100, 50.0), (900, 99.0)), knee_nodes=900)
    plenty = config(target_bytes=10**9, min_steps=10)
    found = budget_from(rising, whole=WHOLE, largest=LARGEST, config=plenty)
    assert (found.binding, found.nodes) == ("steps", 3000)


def test_a_measured_budget_holds_the_largest_graph_or_says_that_nothing_can() -> None:
    many = config(target_bytes=10**9, min_steps=30_000)
    found = budget_from(flat_probe(), whole=WHOLE, largest=LARGEST, config=many)
    assert (found.nodes, found.edges) == (50, 200)
    with pytest.raises(ValueError, match="largest graph, of 50 nodes and 200 edges"):
        budget_from(flat_probe(), whole=WHOLE, largest=LARGEST, config=config(target_bytes=10))


class GivingGraphs(Graphs):
    """Sizes and the graphs themselves, some of whose features are no numbers that train."""

    def __init__(self, count: int) -> None:
        batch = windows(count)
        edge_ptr = torch.arange(count + 1) * 99
        super().__init__(batch.ptr.diff().tolist(), edge_ptr.diff().tolist())
        self.graphs = []
        for i in range(count):
            nodes, edges = slice(*batch.ptr[i : i + 2]), slice(*edge_ptr[i : i + 2])
            x = batch.x[nodes] * 1e30
            x[0] = float("nan")
            graph = Data(
                x=x,
                node_id=batch.node_id[nodes],
                edge_index=batch.edge_index[:, edges] - batch.ptr[i],
                edge_attr=batch.edge_attr[edges],
                y=batch.y[i : i + 1],
            )
            self.graphs.append(graph)

    def __len__(self) -> int:
        return len(self.graphs)

    def __getitem__(self, i: int) -> Data:
        return self.graphs[i]


def test_a_built_model_is_measured_on_graphs_that_a_dataset_gives() -> None:
    graphs, model = GivingGraphs(12), GAT(**SIZES)
    weights = [p.clone() for p in model.parameters()]
    before = graphs[0].x.clone()
    with torch.inference_mode(), one_thread():
        found = model.compute_budget(graphs, "sim", min_steps=3)
    nodes = int(graphs.node_offsets[-1])
    assert found["binding"] in {"steps", "throughput"}
    assert int(graphs.node_offsets.diff().max()) <= found["budget"] <= nodes // 3
    assert found["t_fwd"] > 0
    assert found["backward_multiplier"] > 0
    assert model.compute_budget(graphs, "sim", min_steps=3) is found
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), weights, strict=True))
    torch.testing.assert_close(graphs[0].x, before, equal_nan=True)
    assert node_budget("sim", model=GAT(), train_dataset=graphs)["binding"] == "heuristic"
