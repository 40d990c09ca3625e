"""Every convolution and sequence pooling trains and scores on the oddest windows there can be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from model_samples import part, random_graphs

from graphids.core.batch import GraphBatch
from graphids.core.models import GAT
from graphids.core.models.id_encoding import HashEncodingCfg
from graphids.core.models.layers import CONV_TYPES, SELF_LOOPS, ConvSpec
from graphids.core.models.supervised.pooling import SEQUENCE_POOLS

CONVS = [str(ConvSpec(kind, loops)) for kind in CONV_TYPES for loops in SELF_LOOPS]


def rebuilt(batch: GraphBatch, nodes: torch.Tensor, edges: torch.Tensor) -> GraphBatch:
    """The nodes and edges that are kept; every graph keeps a node."""
    counts = torch.bincount(batch.batch[nodes], minlength=batch.num_graphs)
    assert int(counts.min()) > 0
    return replace(
        batch,
        x=batch.x[nodes],
        node_id=batch.node_id[nodes],
        arbitration_id=batch.arbitration_id[nodes],
        batch=batch.batch[nodes],
        edge_index=(nodes.cumsum(0) - 1)[batch.edge_index[:, edges]],
        edge_attr=batch.edge_attr[edges],
        ptr=torch.cat((counts.new_zeros(1), counts.cumsum(0))),
    )


def of_graph(batch: GraphBatch, graph: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Which nodes and which edges are those of a graph."""
    nodes = batch.batch == graph
    return nodes, nodes[batch.edge_index[0]]


def one_node(batch: GraphBatch, graph: int = 0, *, loops: bool = False) -> GraphBatch:
    """A graph shrunk to its first node: one id that sent every message, or one message."""
    nodes, edges = of_graph(batch, graph)
    first = nodes & (torch.arange(batch.num_nodes) == batch.ptr[graph])
    kept = rebuilt(batch, ~nodes | first, ~edges)
    if not loops:
        return kept
    own = torch.full((2, 3), int(kept.ptr[graph]))
    return replace(
        kept,
        edge_index=torch.cat((kept.edge_index, own), dim=1),
        edge_attr=torch.cat((kept.edge_attr, torch.randn(3, 11))),
    )


def edgeless(batch: GraphBatch, graph: int = 0) -> GraphBatch:
    """A graph without its edges."""
    _, edges = of_graph(batch, graph)
    return rebuilt(batch, torch.ones(batch.num_nodes).bool(), ~edges)


def unknown(batch: GraphBatch, graph: int = 0) -> GraphBatch:
    """A graph of ids outside the vocabulary."""
    nodes, _ = of_graph(batch, graph)
    return replace(batch, node_id=batch.node_id.masked_fill(nodes, 0))


def single() -> GraphBatch:
    """A batch of one graph."""
    return random_graphs(1)


def mixture() -> GraphBatch:
    """All of them, and ordinary graphs between."""
    batch = one_node(random_graphs(7), 6)
    return unknown(edgeless(one_node(batch, 0, loops=True), 2), 4)


BATCHES: dict[str, Callable[[], GraphBatch]] = {
    "one graph": single,
    "one node": lambda: one_node(single()),
    "one node, own edges": lambda: one_node(single(), loops=True),
    "no edge": lambda: edgeless(single()),
    "unknown ids": lambda: unknown(single()),
    "mixture": mixture,
    "nothing but one-node graphs": lambda: one_node(one_node(random_graphs(2), 0), 1),
}


def with_steps(batch: GraphBatch) -> GraphBatch:
    """The nodes of each graph in steps 1 and 3: the first one and one between are missing."""
    rank = torch.arange(batch.num_nodes) - batch.ptr[batch.batch]
    return replace(batch, step=1 + 2 * (rank % 2))


def works(model: GAT, batch: GraphBatch) -> torch.Tensor:
    """Scores after a training step that moves the weights; all that is computed is finite."""
    optimizer = model.configure_optimizers()
    before = model.net.last_layer.weight.detach().clone()
    loss, logits = model.compute_loss(batch)
    loss.backward()
    assert logits.shape == (batch.num_graphs, 2)
    assert logits.isfinite().all()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    assert all(gradient.isfinite().all() for gradient in gradients.values()), gradients
    optimizer.step()
    assert not torch.equal(before, model.net.last_layer.weight)
    scores = model.predict_scores(batch)
    assert scores.shape == (batch.num_graphs,)
    assert ((scores >= 0) & (scores <= 1)).all()
    features = model.extract_features(batch, "cpu")
    assert all(tensor.isfinite().all() for tensor in features.values())
    for edges, weights in model.attention_weights(batch):
        assert edges.shape[1] == weights.shape[0]
        assert weights.isfinite().all()
    return scores


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("conv", CONVS)
def test_every_convolution_works(conv: str, name: str) -> None:
    torch.manual_seed(0)
    small = GAT(
        num_ids=20,
        in_channels=35,
        hidden=4,
        heads=2,
        conv_type=conv,
        pool_aggrs=["mean", "max", "std"],
    )
    batch = BATCHES[name]()
    assert works(small, batch).shape == (batch.num_graphs,)


@pytest.mark.parametrize("name", BATCHES)
@pytest.mark.parametrize("kind", SEQUENCE_POOLS)
@pytest.mark.parametrize("stepped", [False, True])
def test_every_sequence_pooling_works(kind: str, name: str, stepped: bool) -> None:
    torch.manual_seed(0)
    batch = BATCHES[name]()
    model = GAT(num_ids=20, in_channels=35, hidden=4, heads=2, sequence_pool=kind)
    scores = works(model, with_steps(batch) if stepped else batch)
    assert scores.shape == (batch.num_graphs,)


@pytest.mark.parametrize("name", BATCHES)
def test_a_hash_encoder_works(name: str) -> None:
    torch.manual_seed(0)
    cfg = HashEncodingCfg(embedding_dim=4, p_unk_drop=0.3)
    batch = BATCHES[name]()
    model = GAT(num_ids=20, in_channels=35, hidden=4, id_encoder_cfg=cfg)
    assert works(model, batch).shape == (batch.num_graphs,)


@pytest.mark.parametrize("conv", CONVS)
def test_an_odd_window_is_scored_the_same_alone_and_among_others(conv: str) -> None:
    batch = mixture()
    torch.manual_seed(0)
    model = GAT(num_ids=20, in_channels=35, hidden=4, heads=2, conv_type=conv)
    together = model.predict_scores(batch)
    for graph in range(batch.num_graphs):
        alone = part(batch, torch.arange(batch.num_graphs) == graph)
        assert torch.allclose(model.predict_scores(alone), together[graph], atol=1e-6)
