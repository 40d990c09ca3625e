"""Tau-normalisation between its two ends: nothing changes, and every row has length 1."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graphids.core.models.tau_norm import apply_tau_norm, tau_normalise


@pytest.fixture
def weight() -> torch.Tensor:
    rows = torch.randn(4, 7, generator=torch.Generator().manual_seed(0))
    return rows * torch.tensor([[0.1], [1.0], [5.0], [40.0]])


def test_tau_0_changes_nothing_and_tau_1_leaves_unit_rows(weight: torch.Tensor) -> None:
    assert torch.equal(tau_normalise(weight, 0.0), weight)
    assert torch.allclose(tau_normalise(weight, 1.0).norm(dim=-1), torch.ones(4))


def test_directions_stay_and_lengths_come_closer(weight: torch.Tensor) -> None:
    spread = []
    for tau in (0.0, 0.25, 0.5, 0.75, 1.0):
        rows = tau_normalise(weight, tau)
        assert torch.allclose(nn.functional.cosine_similarity(rows, weight), torch.ones(4))
        lengths = rows.norm(dim=-1)
        spread.append(float(lengths.max() / lengths.min()))
    assert spread == sorted(spread, reverse=True)
    assert spread[-1] == pytest.approx(1.0)


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_a_row_of_zeros_stays(weight: torch.Tensor, tau: float) -> None:
    weight[1] = 0.0
    rows = tau_normalise(weight, tau)
    assert rows.isfinite().all()
    assert (rows[1] == 0).all()


def test_a_layer_is_changed_in_place_and_keeps_its_bias() -> None:
    linear = nn.Linear(7, 2)
    weight, bias = linear.weight, linear.bias.clone()
    expected = tau_normalise(weight.detach().clone(), 0.5)
    apply_tau_norm(linear, 0.5)
    assert linear.weight is weight
    assert weight.requires_grad
    assert torch.equal(weight, expected)
    assert torch.equal(linear.bias, bias)


@pytest.mark.parametrize("tau", [-0.1, 1.1, float("nan")])
def test_a_power_out_of_range_is_refused(weight: torch.Tensor, tau: float) -> None:
    with pytest.raises(ValueError, match="tau must lie in"):
        tau_normalise(weight, tau)
