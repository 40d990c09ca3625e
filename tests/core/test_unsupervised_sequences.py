"""Sequences of windows through the detectors without labels: no step is lost or mixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from model_samples import part

from graphids.core.batch import GraphBatch
from graphids.core.models.autoencoder import DGI, VGAE
from graphids.core.models.autoencoder.corruption import corrupt

SIZES = {"num_ids": 20, "in_channels": 35}


@pytest.fixture
def batch(make_batch: Callable[..., GraphBatch]) -> GraphBatch:
    """Six sequences of two windows."""
    windows = make_batch(12)
    return replace(
        windows,
        batch=windows.batch // 2,
        ptr=windows.ptr[::2],
        y=windows.y[::2],
        attack_type=windows.attack_type[::2],
        graph_index=torch.arange(6),
        step=windows.batch % 2,
    )


def test_chosen_sequences_keep_their_steps(batch: GraphBatch) -> None:
    chosen = part(batch, torch.tensor([False, True, False, False, True, False]))
    assert chosen.step is not None
    assert batch.step is not None
    kept = (batch.batch == 1) | (batch.batch == 4)
    assert torch.equal(chosen.step, batch.step[kept])
    assert torch.equal(chosen.x, batch.x[kept])


@pytest.mark.parametrize("mixed", [False, True])
def test_nodes_change_places_within_their_own_window(batch: GraphBatch, mixed: bool) -> None:
    assert batch.step is not None
    if mixed:
        batch = replace(batch, step=batch.step.flip(0))
    found = corrupt(batch, "graph", torch.Generator().manual_seed(0))
    assert not torch.equal(found.x, batch.x)
    assert batch.step is not None
    for graph in range(6):
        for step in range(2):
            own = (batch.batch == graph) & (batch.step == step)
            assert torch.equal(found.x[own].sort(dim=0).values, batch.x[own].sort(dim=0).values)


@pytest.mark.parametrize("kind", [VGAE, DGI])
def test_sequences_train(kind: type[VGAE | DGI], batch: GraphBatch) -> None:
    torch.manual_seed(0)
    model = kind(**SIZES)
    found = model.compute_loss(batch)
    loss = found[0] if isinstance(found, tuple) else found
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
