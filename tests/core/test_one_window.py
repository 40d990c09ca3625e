"""A window on its own against the same window among others, where it takes a way of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from model_samples import part
from torch import Tensor
from torch_geometric.utils import add_self_loops, remove_self_loops

from graphids.core.batch import GraphBatch
from graphids.core.models import GAT, edge_attention
from graphids.core.models.edge_attention import attend
from graphids.core.models.layers import parse_conv, prepare_edges
from graphids.core.models.supervised.evidence import attack_probability
from graphids.core.models.supervised.pooling import POOLINGS

MakeBatch = Callable[..., GraphBatch]


def scores(model: GAT, batch: GraphBatch) -> Tensor:
    with torch.inference_mode():
        return attack_probability(model.net(batch).logits)


def one_by_one(model: GAT, batch: GraphBatch) -> Tensor:
    alone = torch.arange(batch.num_graphs).unsqueeze(-1) == torch.arange(batch.num_graphs)
    return torch.cat([scores(model, part(batch, keep)) for keep in alone])


def tiny(nodes: int, edges: list[tuple[int, int]], num_ids: int = 20) -> GraphBatch:
    """A window of known edges, whose first node has an unknown id."""
    generator = torch.Generator().manual_seed(nodes)
    ids = torch.randint(0, num_ids, (nodes,), generator=generator).index_fill_(
        0, torch.tensor([0]), 0
    )
    zero = torch.zeros(1, dtype=torch.int64)
    return GraphBatch(
        x=torch.randn(nodes, 35, generator=generator),
        node_id=ids,
        arbitration_id=ids + 100,
        edge_index=torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).t(),
        edge_attr=torch.randn(len(edges), 11, generator=generator),
        batch=torch.zeros_like(ids),
        ptr=torch.tensor([0, nodes]),
        y=zero,
        attack_type=zero,
        graph_index=zero,
    )


@pytest.mark.parametrize("conv", ["gat", "gatv2", "gatv2+keep", "transformer", "gps"])
@pytest.mark.parametrize("pooling", ["mean", "multi"])
def test_scores_alone_are_those_among_others(
    conv: str, pooling: str, make_batch: MakeBatch
) -> None:
    batch = make_batch(7)
    model = GAT(num_ids=20, in_channels=35, conv_type=conv, pool_aggrs=POOLINGS[pooling]).eval()
    assert torch.allclose(one_by_one(model, batch), scores(model, batch), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "window",
    [
        tiny(1, [(0, 0)]),
        tiny(1, [(0, 0)] * 5),
        tiny(2, [(0, 1)]),
        tiny(4, [(0, 1), (1, 1), (1, 3), (3, 2), (2, 0), (0, 1)]),
    ],
    ids=["two messages of an id", "one id", "two messages", "parallel edges and a loop"],
)
@pytest.mark.parametrize("conv", ["gatv2", "gatv2+keep"])
def test_a_corner_window_has_the_score_of_the_training_pass(window: GraphBatch, conv: str) -> None:
    model = GAT(num_ids=20, in_channels=35, conv_type=conv).eval()
    found = scores(model, window)
    wanted = attack_probability(model.net(window).logits.detach())
    assert torch.allclose(found, wanted, rtol=0, atol=1e-6)
    unknown = replace(window, node_id=torch.zeros_like(window.node_id))
    assert scores(model, unknown).isfinite().all()


@pytest.mark.parametrize("num_edges", [0, 1, 60])
def test_attention_at_once_is_that_in_pieces(
    num_edges: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(2, 9, 12, generator=generator) * 20
    ends = torch.randint(0, 7, (2, num_edges), generator=generator)
    edge_attr, weight = torch.randn(num_edges, 5), torch.randn(12, 5)
    given = (left, right, ends, edge_attr, weight, torch.randn(4, 3), 0.2)
    with torch.no_grad():
        at_once = attend(*given)
        monkeypatch.setattr(edge_attention, "FEW_EDGES", -1)
        monkeypatch.setattr(edge_attention, "PIECE", 100)
        assert torch.allclose(attend(*given), at_once, atol=1e-5)
    assert at_once[7:].abs().max() == 0


@pytest.mark.parametrize(
    "edges", [[], [(0, 0), (2, 2)], [(0, 1), (2, 1)], [(0, 1), (1, 1), (0, 1), (2, 0), (1, 1)]]
)
@pytest.mark.parametrize("aware", [False, True])
def test_edges_with_one_loop_each_are_those_of_pyg(
    edges: list[tuple[int, int]], aware: bool
) -> None:
    window = tiny(3, edges)
    conv = parse_conv("gatv2" if aware else "gat")
    found = prepare_edges(conv, window.edge_index, window.edge_attr, window.x, 11)
    kept = remove_self_loops(window.edge_index, window.edge_attr if aware else None)
    wanted = add_self_loops(*kept, fill_value="mean", num_nodes=3)
    assert torch.equal(found.ends, wanted[0])
    if aware:
        torch.testing.assert_close(found.features, wanted[1])
    else:
        assert found.features is None
