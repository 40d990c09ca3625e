"""Scaling: what it is fitted on, and what it can never do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from sklearn.preprocessing import RobustScaler
from traffic import random_graphs

from graphids.data.packed import PackedGraphs
from graphids.data.scaling import CLIP, ESTIMATORS, Scaler, fit_scaler

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


@pytest.mark.parametrize("method", ESTIMATORS)
def test_d18_constant_features_cannot_explode(method: str) -> None:
    """D-18: a feature that is constant in training has a floor under its denominator."""
    x = GRAPHS.x.clone()
    x[:, 0], x[:, 1] = 8.0, 0.0
    scaler = fit_scaler(replace(GRAPHS, x=x), TRAINING, method)
    x[0, :2] = torch.tensor([8.0 + 1e-6, 200.0])
    scaled = scaler.apply(replace(GRAPHS, x=x))
    assert abs(scaled.x[0, 0]) < 0.01
    assert scaled.x[0, 1] == CLIP
    assert bool((scaled.x[1:, :2] == 0).all())
    assert scaled.x.isfinite().all()
    assert scaled.x.abs().max() <= CLIP
    assert scaled.edge_attr.abs().max() <= CLIP


def test_robust_scaling_is_that_of_scikit_learn() -> None:
    scaler = fit_scaler(GRAPHS, TRAINING, "robust")
    scaled = scaler.apply(GRAPHS)
    chosen = TRAINING & (GRAPHS.y == 0)
    pairs = zip(rows_of(GRAPHS, chosen), rows_of(scaled, chosen), strict=True)
    for raw, ours in pairs:
        theirs = RobustScaler().fit(raw.double().numpy())
        spread = torch.from_numpy(theirs.scale_)
        iqr = raw.double().quantile(0.75, dim=0) - raw.double().quantile(0.25, dim=0)
        varies = (iqr > 0) & (spread > 1e-3 * torch.from_numpy(theirs.center_).abs())
        want = torch.from_numpy(theirs.transform(raw.double().numpy())).clamp(-CLIP, CLIP)
        assert varies.sum() > 5
        torch.testing.assert_close(ours.double()[:, varies], want[:, varies], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("outlier", [1e3, 1e6])
def test_robust_scaling_hardly_minds_an_outlier(outlier: float) -> None:
    x = GRAPHS.x.clone()
    x[:, 0] = torch.arange(len(x)).remainder(9)
    before = fit_scaler(replace(GRAPHS, x=x), TRAINING, "robust")
    x[0, 0] = outlier
    after = fit_scaler(replace(GRAPHS, x=x), TRAINING, "robust")
    assert after.x_scale[0] == pytest.approx(float(before.x_scale[0]), rel=0.3)
    assert fit_scaler(replace(GRAPHS, x=x), TRAINING).x_scale[0] > 5 * after.x_scale[0]


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
    with pytest.raises(ValueError, match="no scaler 'minmax'; there are robust, z"):
        fit_scaler(GRAPHS, TRAINING, "minmax")
