"""A split batch trains as the whole one: same loss, gradients and noise, in less memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from model_samples import part, random_graphs
from split_samples import LOSSES, NETWORKS, Held, built, doubled, step
from torch import Tensor, nn

from graphids.core.batch import GraphBatch
from graphids.core.budget import Budget
from graphids.core.models import GAT, VGAE
from graphids.core.models.splitting import SplitStep, in_chunks, split_batch, splitting

CHUNK = Budget(nodes=50, edges=10_000)
"""Cuts twelve windows of 8 to 14 nodes into three or four chunks."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Batches are too small for two."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sample(graphs: int = 12, seed: int = 0) -> GraphBatch:
    """A batch in float64 whose windows are sequences of three steps."""
    batch = doubled(random_graphs(graphs, seed=seed))
    return replace(batch, step=torch.arange(batch.num_nodes) % 3)


def assert_same_step(model: nn.Module, batch: GraphBatch, chunk: Budget = CHUNK) -> None:
    """The step of the split batch is that of the whole one, random state and all."""
    loss, gradients, state = step(model, batch, None)
    assert len(split_batch(batch, chunk)) >= 3
    split_loss, split_gradients, split_state = step(model, batch, chunk)
    torch.testing.assert_close(split_loss, loss, rtol=1e-10, atol=0)
    for name, gradient in gradients.items():
        torch.testing.assert_close(split_gradients[name], gradient, rtol=1e-8, atol=1e-13, msg=name)
    assert torch.equal(split_state, state)


@pytest.mark.parametrize(
    "budget",
    [Budget(nodes=14, edges=30), Budget(nodes=40, edges=95), Budget(nodes=60, edges=60)],
    ids=str,
)
def test_parts_are_the_consecutive_graphs_that_a_selection_gives(budget: Budget) -> None:
    batch = sample(40)
    parts = split_batch(batch, budget)
    first = 0
    for found in parts:
        keep = torch.zeros(40, dtype=torch.bool)
        keep[first : first + found.num_graphs] = True
        expected = part(batch, keep)
        for name in GraphBatch.__dataclass_fields__:
            assert torch.equal(getattr(found, name), getattr(expected, name)), name
        assert found.num_nodes <= budget.nodes
        assert found.edge_index.shape[1] <= budget.edges
        first += found.num_graphs
    assert first == 40
    for before, after in pairwise(parts):
        nodes = before.num_nodes + int(after.ptr[1])
        edges = before.edge_index.shape[1] + 30
        assert nodes > budget.nodes or edges > budget.edges


def test_a_graph_over_the_budget_is_named() -> None:
    batch = replace(sample(), graph_index=torch.arange(12) + 500)
    largest = int(batch.ptr.diff().argmax())
    with pytest.raises(ValueError, match=f"graph {largest + 500} has 14 nodes and 30 edges"):
        split_batch(batch, Budget(nodes=13, edges=30))


def test_edges_of_graphs_that_mix_are_refused() -> None:
    batch = sample()
    mixed = replace(batch, edge_index=batch.edge_index.flip(1))
    with pytest.raises(ValueError, match="graph by graph"):
        split_batch(mixed, CHUNK)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_split_step_is_the_whole_step(name: str) -> None:
    model, batch = built(name), sample()
    before = step(model, batch, None)[2]
    assert_same_step(model, batch)
    assert torch.equal(step(model, batch, CHUNK)[2], before)


@pytest.mark.parametrize("name", LOSSES)
def test_no_loss_needs_to_know_of_the_split(name: str) -> None:
    network, loss = LOSSES[name]
    batch = sample()
    model = built(network, loss(batch).double())
    assert_same_step(model, batch)
    assert any(bool(gradient.any()) for gradient in step(model, batch, CHUNK)[1].values())


@pytest.mark.parametrize(
    "model",
    [
        lambda: GAT(num_ids=20, in_channels=35, dropout=0.2),
        lambda: VGAE(num_ids=20, in_channels=35, batch_norm=False),
    ],
    ids=["gat", "vgae"],
)
def test_in_single_precision_too(model: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    trained, batch = model().train(), random_graphs(90)
    chunk = Budget(nodes=batch.num_nodes // 3 + 14, edges=10_000)
    assert len(split_batch(batch, chunk)) == 3
    loss, gradients, state = step(trained, batch, None)
    split_loss, split_gradients, split_state = step(trained, batch, chunk)
    torch.testing.assert_close(split_loss, loss, rtol=1e-6, atol=0)
    for name, gradient in gradients.items():
        # Some gradients, such as that of a bias before a softmax, are nothing but rounding.
        torch.testing.assert_close(split_gradients[name], gradient, rtol=1e-5, atol=1e-7, msg=name)
    assert torch.equal(split_state, state)


def test_chunks_with_as_many_edges_as_nodes_are_told_by_others() -> None:
    """A ring of messages has an edge per node, so what a draw is for shows in later chunks."""
    batch = sample(9)
    graphs, nodes = batch.batch, torch.arange(batch.num_nodes)
    last_of_graph = batch.ptr[1:].index_select(0, graphs) - 1
    first_of_graph = batch.ptr[:-1].index_select(0, graphs)
    ring = torch.stack((nodes, torch.where(nodes == last_of_graph, first_of_graph, nodes + 1)))
    kept = ring[:, graphs < 6]
    more = batch.edge_index[:, batch.batch[batch.edge_index[0]] >= 6]
    edges = torch.cat((kept, more), dim=1)
    rings = replace(batch, edge_index=edges, edge_attr=torch.randn(edges.shape[1], 11).double())
    chunk = Budget(nodes=40, edges=10_000)
    first, *_, last = split_batch(rings, chunk)
    assert first.num_nodes == first.edge_index.shape[1]
    assert last.num_nodes != last.edge_index.shape[1]
    assert_same_step(built("vgae"), rings, chunk)


@pytest.mark.parametrize("bare_graphs", [6, 9])
def test_chunks_without_an_edge_draw_as_well(bare_graphs: int) -> None:
    batch = sample(9)
    kept = batch.batch[batch.edge_index[0]] >= bare_graphs
    bare = replace(batch, edge_index=batch.edge_index[:, kept], edge_attr=batch.edge_attr[kept])
    chunk = Budget(nodes=30, edges=10_000)
    assert split_batch(bare, chunk)[0].edge_index.shape[1] == 0
    assert_same_step(built("vgae"), bare, chunk)


@pytest.mark.parametrize("name", ["gat gatv2", "gat checkpointed", "vgae", "dgi graph"])
def test_a_split_step_keeps_little_more_than_a_chunk_does(name: str) -> None:
    batch = sample(60)
    chunk = Budget(nodes=batch.num_nodes // 6 + 14, edges=10_000)
    model = built(name)

    def kept(given: GraphBatch, limit: Budget | None) -> int:
        held = Held()
        with torch.autograd.graph.saved_tensors_hooks(held.pack, held.unpack):
            step(model, given, limit)
        return held.peak

    largest = max(kept(each, None) for each in split_batch(batch, chunk))
    whole, split = kept(batch, None), kept(batch, chunk)
    # The loss holds the joined outputs while the chunks run.
    assert split < 2.0 * largest
    assert split < whole / 2.5


def test_evaluation_is_not_split() -> None:
    batch, model = sample(), built("gat gatv2")
    whole = step(model, batch, None)
    model.eval()
    sizes = []
    model.net.register_forward_hook(lambda net, args, out: sizes.append(args[0].num_graphs))
    with torch.no_grad():
        model.chunk = CHUNK
        model.compute_loss(batch)
    assert sizes == [12]
    assert whole[0].isfinite()


class Plain(nn.Module):
    """A linear layer after whatever else each test needs."""

    def __init__(self, *before: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*before, nn.Linear(35, 2))

    def forward(self, batch: GraphBatch) -> Tensor:
        return self.layers(batch.x)


class Draws(nn.Module):
    """Adds noise as a function draws it."""

    def __init__(self, draw: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.draw = draw

    def forward(self, x: Tensor) -> Tensor:
        return x + self.draw(x)


def through(net: Plain, chunk: Budget | None = CHUNK) -> Tensor:
    torch.manual_seed(0)
    (found,) = in_chunks(net, lambda part: (net(part),), random_graphs(), chunk=chunk)
    return found


def test_a_norm_over_the_batch_is_refused_in_training_alone() -> None:
    net = Plain(nn.Identity(), nn.Sequential(nn.BatchNorm1d(35)))
    with pytest.raises(ValueError, match=r"layers\.1\.0 \(BatchNorm1d\).*batch_norm=False"):
        through(net)
    net.eval()
    assert torch.allclose(through(net), through(net, None), atol=1e-6)


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: torch.randn_like(x),
        lambda x: torch.rand_like(x),
        lambda x: torch.randn(x.shape[0], 1),
        lambda x: torch.rand(x.shape),
        lambda x: torch.rand((x.shape[0], 35), device=x.device),
        lambda x: nn.functional.dropout(x, 0.3),
        lambda x: nn.functional.dropout(x + 0, 0.3, inplace=True),
        lambda x: nn.functional.dropout(x.t().contiguous().t(), 0.3),
        lambda x: nn.functional.dropout(x, 1.0),
    ],
)
def test_each_way_to_draw_gives_the_rows_of_the_whole(draw: Callable[[Tensor], Tensor]) -> None:
    net = Plain(Draws(draw), nn.Dropout(0.5))
    assert torch.allclose(through(net), through(net, None), atol=1e-6)


@pytest.mark.parametrize(
    ("draw", "error", "named"),
    [
        (lambda x: torch.empty_like(x).normal_(), NotImplementedError, "normal_"),
        (lambda x: torch.rand(35, generator=torch.Generator()), NotImplementedError, "rand"),
        (lambda x: torch.rand(35), ValueError, r"noise of shape \[35\]"),
        (lambda x: torch.ops.aten.rand.default([len(x), 1]), RuntimeError, "does not see"),
    ],
)
def test_noise_that_is_not_the_whole_batchs_is_refused(
    draw: Callable[[Tensor], Tensor], error: type[Exception], named: str
) -> None:
    with pytest.raises(error, match=named):
        through(Plain(Draws(draw)))


def test_a_chunk_counts_within_the_block_alone() -> None:
    model = built("gat gatv2")
    assert isinstance(model, SplitStep)
    with splitting(model, CHUNK):
        assert model.chunk == CHUNK
    assert model.chunk is None
    with pytest.raises(TypeError, match="Linear cannot split"), splitting(nn.Linear(1, 1), CHUNK):
        pass
