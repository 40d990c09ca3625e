"""Scaling: what it is fitted on, and what it can never do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from traffic import random_graphs

from graphids.data.packed import PackedGraphs
from graphids.data.scaling import CLIP, Scaler, fit_scaler

GRAPHS = random_graphs(0, 60)
TRAINING = torch.arange(60) < 40


def rows_of(graphs: PackedGraphs, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    nodes = torch.cat([g.x for g, c in zip(graphs, chosen, strict=True) if c])
    edges = torch.cat([g.edge_attr for g, c in zip(graphs, chosen, strict=True) if c])
    return nodes, edges


def test_benign_training_windows_come_out_standardised() -> None:
    scaled = fit_scaler(GRAPHS, TRAINING).apply(GRAPHS)
    before = rows_of(GRAPHS, TRAINING & (GRAPHS.y == 0))
    after = rows_of(scaled, TRAINING & (GRAPHS.y == 0))
    for raw, z in zip(before, after, strict=True):
        raw = raw.double()
        want = (raw - raw.mean(0)) / raw.std(0, correction=0).clamp_min(1e-6)
        varies = raw.std(0) > 1e-2 * raw.mean(0).abs()
        torch.testing.assert_close(
            z.double()[:, varies], want.clamp(-CLIP, CLIP)[:, varies], rtol=1e-4, atol=1e-4
        )


def test_other_windows_do_not_bear_on_the_fit() -> None:
    """Attack windows and validation windows may hold anything."""
    ignored = (~TRAINING | (GRAPHS.y == 1)).repeat_interleave(GRAPHS.num_nodes)
    changed = replace(GRAPHS, x=torch.where(ignored[:, None], 1e6, GRAPHS.x))
    fitted, again = fit_scaler(GRAPHS, TRAINING), fit_scaler(changed, TRAINING)
    for name, tensor in fitted.tensors().items():
        assert torch.equal(tensor, again.tensors()[name])


def test_constant_features_cannot_explode_d18() -> None:
    """D-18: a feature that is constant in training has a floor under its denominator."""
    x = GRAPHS.x.clone()
    x[:, 0], x[:, 1] = 8.0, 0.0
    scaler = fit_scaler(replace(GRAPHS, x=x), TRAINING)
    x[0, :2] = torch.tensor([8.0 + 1e-6, 200.0])
    scaled = scaler.apply(replace(GRAPHS, x=x))
    assert abs(scaled.x[0, 0]) < 0.01
    assert scaled.x[0, 1] == CLIP
    assert bool((scaled.x[1:, :2] == 0).all())
    assert scaled.x.isfinite().all()
    assert scaled.x.abs().max() <= CLIP
    assert scaled.edge_attr.abs().max() <= CLIP


def test_small_spreads_beside_large_means_are_not_lost() -> None:
    x = GRAPHS.x.clone()
    x[:, 0] = 1000 + torch.arange(len(x)).remainder(2) * 4
    scaler = fit_scaler(replace(GRAPHS, x=x), TRAINING)
    assert scaler.x_scale[0] == pytest.approx(2, rel=1e-3)


def test_round_trip_and_refusals() -> None:
    scaler = fit_scaler(GRAPHS, TRAINING)
    assert torch.equal(
        Scaler.from_tensors(scaler.tensors()).apply(GRAPHS).x, scaler.apply(GRAPHS).x
    )
    with pytest.raises(ValueError, match="no benign window among"):
        fit_scaler(GRAPHS, GRAPHS.y == 1)
    with pytest.raises(ValueError, match="no scaler 'minmax'; there are z"):
        fit_scaler(GRAPHS, TRAINING, "minmax")
