"""Windows that are sequences of steps: pooled step by step, absent steps left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from graphids.core.batch import GraphBatch
from graphids.core.models import GAT
from graphids.core.models.selection import select_graphs
from graphids.core.models.supervised.pooling import POOLINGS, SEQUENCE_POOLS, WindowPool

STEPWISE = [name for name in SEQUENCE_POOLS if name != "flat"]
WIDTH = 6


def sequence(batch: GraphBatch, steps: int = 5, *, seed: int = 0) -> GraphBatch:
    """The batch, each node of it in a random step of its window; few windows have every step."""
    generator = torch.Generator().manual_seed(seed)
    return replace(batch, step=torch.randint(0, steps, (batch.num_nodes,), generator=generator))


def by_hand(pool: WindowPool, x: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
    """One window: its steps in order, one at a time."""
    steps = [x[step == s] for s in sorted(set(step.tolist()))]
    pooled = [pool.nodes(nodes, torch.zeros(len(nodes)).long())[0] for nodes in steps]
    if pool.gru is not None:
        state = torch.zeros(1, 1, pool.out_dim)
        for vector in pooled:
            _, state = pool.gru(vector[None, None], state)
        return state[0, 0]
    if pool.attention is not None:
        weights = torch.stack([pool.attention(vector) for vector in pooled]).softmax(dim=0)
        return sum(weight * vector for weight, vector in zip(weights, pooled, strict=True))
    return torch.stack(pooled).mean(dim=0)


@pytest.mark.parametrize("kind", STEPWISE)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_d12_steps_are_read_as_a_loop_reads_them(
    kind: str, pooling: str, make_batch: Callable[..., GraphBatch]
) -> None:
    batch = sequence(make_batch(8))
    # Sequences without their first, their last and all but one middle step.
    cuts = {
        0: batch.step.clamp(min=2),
        1: batch.step.clamp(max=2),
        2: torch.full_like(batch.step, 3),
    }
    step = batch.step
    for graph, cut in cuts.items():
        step = torch.where(batch.batch == graph, cut, step)
    pool = WindowPool(POOLINGS[pooling] or ["mean"], WIDTH, kind)
    x = torch.randn(batch.num_nodes, WIDTH)
    found = pool(x, batch.batch, step, 8)
    for graph in range(8):
        own = batch.batch == graph
        assert torch.allclose(found[graph], by_hand(pool, x[own], step[own]), atol=1e-5)


@pytest.mark.parametrize("kind", STEPWISE)
def test_d12_a_sequence_reads_the_same_beside_a_longer_one(
    kind: str, make_batch: Callable[..., GraphBatch]
) -> None:
    batch = sequence(make_batch(6))
    longer = replace(batch, step=batch.step + 40 * (batch.batch == 5))
    model = GAT(num_ids=20, in_channels=35, hidden=4, sequence_pool=kind)
    together = model.predict_scores(longer)
    for graph in range(5):
        alone, nodes, _ = select_graphs(batch, torch.arange(6) == graph)
        alone = replace(alone, step=batch.step[nodes])
        assert torch.allclose(model.predict_scores(alone), together[graph], atol=1e-6)


@pytest.mark.parametrize("kind", SEQUENCE_POOLS)
def test_windows_that_stand_alone_are_pooled_whole(
    kind: str, make_batch: Callable[..., GraphBatch]
) -> None:
    batch = make_batch(4)
    x = torch.randn(batch.num_nodes, WIDTH)
    pool = WindowPool(["mean", "max"], WIDTH, kind)
    whole = pool(x, batch.batch, None, 4)
    assert torch.allclose(
        whole, WindowPool(["mean", "max"], WIDTH, "flat")(x, batch.batch, None, 4)
    )
    stepped = pool(x, batch.batch, sequence(batch).step, 4)
    assert torch.allclose(stepped, whole) is (kind == "flat")


def test_auto_is_the_mean_and_has_no_layers(make_batch: Callable[..., GraphBatch]) -> None:
    batch = sequence(make_batch(4))
    x = torch.randn(batch.num_nodes, WIDTH)
    found = {
        k: WindowPool(["mean"], WIDTH, k)(x, batch.batch, batch.step, 4) for k in ("auto", "mean")
    }
    assert torch.equal(found["auto"], found["mean"])
    sizes = {k: len(list(WindowPool(["mean"], WIDTH, k).parameters())) for k in SEQUENCE_POOLS}
    assert sizes == {"auto": 0, "flat": 0, "mean": 0, "attention": 4, "gru": 4}


def test_the_order_of_steps_counts_for_a_gru_alone(make_batch: Callable[..., GraphBatch]) -> None:
    batch = sequence(make_batch(6))
    backward = replace(batch, step=4 - batch.step)
    for kind in STEPWISE:
        torch.manual_seed(0)
        model = GAT(num_ids=20, in_channels=35, hidden=4, sequence_pool=kind)
        same = torch.allclose(
            model.predict_scores(batch), model.predict_scores(backward), atol=1e-7
        )
        assert same is (kind != "gru")


@pytest.mark.parametrize("kind", ["attention", "gru"])
def test_layers_of_the_steps_are_trained(kind: str, make_batch: Callable[..., GraphBatch]) -> None:
    model = GAT(num_ids=20, in_channels=35, hidden=4, sequence_pool=kind)
    model.compute_loss(sequence(make_batch()))[0].backward()
    for name, parameter in model.net.pool.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all()
    assert sum(float(p.grad.abs().sum()) for p in model.net.pool.parameters()) > 0
