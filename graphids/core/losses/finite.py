"""Stops training at the first loss that is not a number, and says which part of it broke."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def require_finite(total: Tensor, components: Mapping[str, Tensor], where: str) -> None:
    """Raises unless ``total`` is finite.

    Args:
        total: The loss ``[]``.
        components: Parts of the loss by name, ``[]`` each.
        where: The loss or step that produced it, for the message.

    Raises:
        FloatingPointError: ``total`` is infinite or not a number; the message gives each
            component's value.
    """
    if bool(torch.isfinite(total)):
        return
    values = ", ".join(f"{name}={value.item():.6g}" for name, value in components.items())
    parts = f" ({values})" if values else ""
    raise FloatingPointError(
        f"{where} is {total.item()}{parts}; lower the learning rate, or check that the features "
        "are scaled and clipped"
    )
