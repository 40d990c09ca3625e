"""The estimate of what a batch may hold: from sizes alone, wherever it is asked for."""

from __future__ import annotations

import pytest
import torch

from graphids.core.budget import Budget, node_budget
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
