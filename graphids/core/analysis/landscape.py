"""The loss around trained weights, in a plane through them: whether a minimum is flat or sharp."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def filter_normalised(weight: Tensor, generator: torch.Generator) -> Tensor:
    """A random direction as long as the weight in each filter (Li et al. 2018, section 4).

    A filter is a vector along the last dimension: the inputs of a unit, the vector of an id, the
    direction of a head. Biases and other vectors get 0, so that what only shifts or scales a layer
    does not bend the plane.

    Args:
        weight: Weight ``[..., P]``.
        generator: Draws the direction, on the CPU.
    """
    if weight.ndim < 2:
        return torch.zeros_like(weight)
    drawn = torch.randn(weight.shape, generator=generator).to(weight)
    length = drawn.norm(dim=-1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
    return drawn / length * weight.detach().norm(dim=-1, keepdim=True)


@torch.no_grad()
def loss_landscape(
    weights: Sequence[Tensor],
    loss: Callable[[], float],
    steps: Sequence[float],
    generator: torch.Generator,
) -> Tensor:
    """Loss at ``weights + a * first + b * second`` for all steps a (rows) and b ``[S, S]``.

    Both directions are filter-normalised, so that a step of 1 is as long as the weights. Weights
    and random state are in the end what they were; every evaluation starts from that random state,
    so that the loss at the steps (0, 0) is the one without this function.

    Args:
        weights: Trained weights, changed in place while this runs.
        loss: The loss at the present weights. NaN stands where it raises ``FloatingPointError``.
        steps: Lengths of steps along either direction.
        generator: Draws the directions, on the CPU.
    """
    before = [weight.detach().clone() for weight in weights]
    first, second = ([filter_normalised(w, generator) for w in weights] for _ in range(2))
    devices = sorted({w.device.index or 0 for w in weights if w.device.type == "cuda"})
    found = torch.full((len(steps), len(steps)), torch.nan, dtype=torch.float64)
    try:
        for i, a in enumerate(steps):
            for j, b in enumerate(steps):
                for weight, start, u, v in zip(weights, before, first, second, strict=True):
                    weight.copy_(start + a * u + b * v)
                with torch.random.fork_rng(devices=devices):
                    found[i, j] = _value(loss)
    finally:
        for weight, start in zip(weights, before, strict=True):
            weight.copy_(start)
    return found


def _value(loss: Callable[[], float]) -> float:
    """A loss, or NaN where it is refused as not finite."""
    try:
        return float(loss())
    except FloatingPointError:
        return torch.nan
