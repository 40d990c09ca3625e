"""Networks side by side: against the modules they stand for, and against torchrl's loss."""

from __future__ import annotations

import copy

import pytest
import torch
from tensordict import TensorDict
from torch import nn
from torch.nn import functional
from torchrl.data import Categorical
from torchrl.modules import MLP, QValueActor
from torchrl.objectives import DQNLoss, SoftUpdate, ValueEstimators

from graphids.core.models.fusion.head import DROPOUT, build_mlp
from graphids.core.models.fusion.q_learner import td_losses
from graphids.core.models.fusion.stacked import (
    LANE,
    Dropout,
    StackedTensors,
    padded,
    perceptron,
)


def networks(count: int) -> list[nn.Sequential]:
    torch.manual_seed(0)
    return [build_mlp(18, (7, 5), 3).eval() for _ in range(count)]


def stack(nets: list[nn.Sequential]) -> StackedTensors:
    return StackedTensors([list(net.parameters()) for net in nets])


def test_outputs_and_gradients_are_those_of_each_module() -> None:
    nets = networks(3)
    x = torch.randn(3, 30, 18)
    side_by_side = stack(nets)
    out = perceptron(x, side_by_side.layers)
    side_by_side.backward(out.square().mean(dim=(1, 2)))
    for k, net in enumerate(nets):
        expected = net(x[k])
        torch.testing.assert_close(out[k], expected)
        expected.square().mean().backward()
        for gradient, parameter in zip(side_by_side.gradients, net.parameters(), strict=True):
            torch.testing.assert_close(gradient[k], parameter.grad, rtol=1e-5, atol=1e-7)


def test_gradients_agree_with_finite_differences_through_masks() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, 3, generator=generator)
    masks = Dropout([3], [torch.Generator().manual_seed(k) for k in range(2)]).masks(64)
    tensors = [torch.randn(s, generator=generator) for s in ((2, 3, 3), (2, 3), (2, 2, 3), (2, 2))]
    layers = [tensor.double().requires_grad_() for tensor in tensors]
    kept = [mask[:, :4].double() for mask in masks]
    inputs = x.double().requires_grad_()
    assert torch.autograd.gradcheck(lambda *a: perceptron(a[0], a[1:], kept), (inputs, *layers))


def test_a_gradient_is_replaced_not_added_to() -> None:
    side_by_side, x = stack(networks(2)), torch.randn(2, 8, 18)
    found = []
    for _ in range(2):
        side_by_side.backward(perceptron(x, side_by_side.layers).mean(dim=(1, 2)))
        assert side_by_side.rows.grad is not None
        found.append(side_by_side.rows.grad.clone())
    assert found[0].abs().sum() > 0
    assert torch.equal(*found)


def test_each_seed_is_clipped_by_its_own_norm() -> None:
    nets, x = networks(3), torch.randn(3, 8, 18)
    side_by_side = stack(nets)
    scales = torch.tensor([1e-3, 1.0, 1e3])
    side_by_side.backward(scales * perceptron(x, side_by_side.layers).square().sum(dim=(1, 2)))
    side_by_side.clip(1.0)
    for k, net in enumerate(nets):
        (scales[k] * net(x[k]).square().sum()).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for gradient, parameter in zip(side_by_side.gradients, net.parameters(), strict=True):
            torch.testing.assert_close(gradient[k], parameter.grad)


def test_a_step_of_adam_is_that_of_each_module_and_is_stored() -> None:
    nets, x = networks(2), torch.randn(2, 8, 18)
    theirs = copy.deepcopy(nets)
    side_by_side = stack(nets)
    ours = torch.optim.AdamW([side_by_side.rows], lr=0.1, weight_decay=0.3, fused=True)
    others = [torch.optim.AdamW(net.parameters(), lr=0.1, weight_decay=0.3) for net in theirs]
    for _ in range(3):
        side_by_side.backward(perceptron(x, side_by_side.layers).square().mean(dim=(1, 2)))
        ours.step()
        for k, (net, optimiser) in enumerate(zip(theirs, others, strict=True)):
            optimiser.zero_grad()
            net(x[k]).square().mean().backward()
            optimiser.step()
    side_by_side.store(0)
    for mine, their, first in zip(
        *(net.parameters() for net in (nets[0], theirs[0], networks(2)[0])), strict=True
    ):
        torch.testing.assert_close(mine, their, rtol=1e-4, atol=1e-5)
        assert not torch.equal(mine, first)
    assert all(
        torch.equal(a, b)
        for a, b in zip(nets[1].parameters(), networks(2)[1].parameters(), strict=True)
    )


def test_every_seed_starts_on_a_lane() -> None:
    side_by_side = stack(networks(2))
    assert side_by_side.rows.shape[1] % LANE == 0
    assert all(view.storage_offset() % LANE == 0 for view in side_by_side.layers)
    assert [padded(n) for n in (0, 1, 64, 65)] == [0, 64, 64, 128]


def test_dropout_keeps_the_mean_and_its_share_from_each_seeds_own_numbers() -> None:
    masks = Dropout([96, 40], [torch.Generator().manual_seed(k) for k in range(3)]).masks(640)
    assert [mask.shape for mask in masks] == [(3, 640, 96), (3, 640, 40)]
    for mask in masks:
        assert set(mask.unique().tolist()) == {0.0, torch.tensor(1 / (1 - DROPOUT)).item()}
        assert (mask == 0).float().mean() == pytest.approx(DROPOUT, abs=0.005)
        assert mask.mean() == pytest.approx(1.0, abs=0.01)
        assert not torch.equal(mask[0], mask[1])
    columns = (masks[0][0] == 0).float()
    assert torch.corrcoef(columns.T).fill_diagonal_(0).abs().max() < 0.25
    alone = Dropout([96, 40], [torch.Generator().manual_seed(1)]).masks(640)
    assert all(torch.equal(mask[1], own[0]) for mask, own in zip(masks, alone, strict=True))


@pytest.mark.parametrize("double_dqn", [True, False])
def test_the_loss_of_a_q_network_is_torchrls(double_dqn: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    obs, following = torch.randn(2, 2, 64, 18, generator=generator)
    actions = torch.randint(21, (2, 64), generator=generator)
    rewards = 4 * torch.randn(2, 64, generator=generator)
    torch.manual_seed(0)
    nets = [MLP(18, 21, num_cells=[32, 32], activation_class=nn.ReLU) for _ in range(2)]
    side_by_side = stack(nets)
    losses = td_losses(perceptron(obs, side_by_side.layers), actions, rewards).mean(dim=-1)
    side_by_side.backward(losses)
    for k, net in enumerate(nets):
        spec = Categorical(21)
        theirs = DQNLoss(
            QValueActor(net, in_keys=["obs"], spec=spec),
            loss_function="smooth_l1",
            double_dqn=double_dqn,
            delay_value=True,
            action_space=spec,
        )
        theirs.make_value_estimator(ValueEstimators.TD0, gamma=0.0)
        SoftUpdate(theirs, eps=0.9)
        ended = torch.ones(64, 1, dtype=torch.bool)
        loss = theirs(
            TensorDict(
                {
                    "obs": obs[k],
                    "action": actions[k],
                    "next": {
                        "obs": following[k],
                        "reward": rewards[k].unsqueeze(-1),
                        "done": ended,
                        "terminated": ended,
                    },
                },
                [64],
            )
        )["loss"]
        loss.backward()
        torch.testing.assert_close(losses[k], loss, rtol=0, atol=1e-6)
        expected = [p.grad for p in theirs.value_network_params.parameters()]
        for gradient, their in zip(side_by_side.gradients, expected, strict=True):
            torch.testing.assert_close(gradient[k], their, rtol=0, atol=1e-6)


def test_a_small_error_counts_squared_and_a_large_one_plainly() -> None:
    values = torch.zeros(1, 2, 3)
    found = td_losses(values, torch.tensor([[0, 2]]), torch.tensor([[0.5, -4.0]]))
    assert found.tolist() == [[0.125, 3.5]]
    assert functional.smooth_l1_loss(torch.zeros(()), torch.tensor(4.0)) == 3.5
