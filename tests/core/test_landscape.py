"""The loss around trained weights: nothing is left changed, and the middle is the plain loss."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from graphids.core.analysis.landscape import filter_normalised, loss_landscape

STEPS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def network(seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(5, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False))


def loss_of(net: nn.Module, noise: float = 0.0) -> Callable[[], float]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(40, 5, generator=generator)
    y = torch.randint(3, (40,), generator=generator)

    def loss() -> float:
        found = functional.cross_entropy(net(x), y) + noise * torch.rand(())
        return float(found.detach())

    return loss


def landscape(net: nn.Module, loss: Callable[[], float], seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return loss_landscape(list(net.parameters()), loss, STEPS, generator)


def test_weights_and_random_state_are_what_they_were() -> None:
    net = network()
    before = [p.clone() for p in net.parameters()]
    state = torch.get_rng_state()
    landscape(net, loss_of(net, noise=0.1))
    assert all(torch.equal(p, old) for p, old in zip(net.parameters(), before, strict=True))
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_come_back_where_the_loss_fails() -> None:
    net = network()
    before = [p.clone() for p in net.parameters()]
    calls = iter([lambda: 1.0, lambda: 1 / 0])
    with pytest.raises(ZeroDivisionError):
        landscape(net, lambda: next(calls)())
    assert all(torch.equal(p, old) for p, old in zip(net.parameters(), before, strict=True))


def test_the_middle_is_the_plain_loss_even_of_a_loss_that_draws() -> None:
    net = network()
    loss = loss_of(net, noise=0.5)
    found = landscape(net, loss)
    with torch.random.fork_rng():
        assert float(found[2, 2]) == loss()


def test_a_seed_gives_one_landscape() -> None:
    net = network()
    loss = loss_of(net)
    assert torch.equal(landscape(net, loss, 3), landscape(net, loss, 3))
    assert not torch.equal(landscape(net, loss, 3), landscape(net, loss, 4))


def test_a_direction_is_as_long_as_the_weight_in_every_filter() -> None:
    weight = torch.randn(6, 4, 9) * torch.rand(6, 4, 1) * 10
    weight[2, 1] = 0.0
    direction = filter_normalised(weight, torch.Generator().manual_seed(0))
    torch.testing.assert_close(direction.norm(dim=-1), weight.norm(dim=-1))
    assert not filter_normalised(torch.ones(7), torch.Generator()).any()


def test_a_rescaled_network_that_computes_the_same_has_the_same_landscape() -> None:
    """What filter normalisation is for: flatness is no matter of scale."""
    net, other = network(), network()
    with torch.no_grad():
        other[0].weight.mul_(16.0)
        other[2].weight.div_(16.0)
    torch.testing.assert_close(landscape(net, loss_of(net)), landscape(other, loss_of(other)))


def test_a_loss_that_is_not_finite_is_no_number() -> None:
    net = network()

    def loss() -> float:
        raise FloatingPointError("loss is not finite")

    assert all(math.isnan(value) for value in landscape(net, loss).flatten())
