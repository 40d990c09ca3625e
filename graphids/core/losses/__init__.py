"""Training losses by name: ``ce``, ``weighted_ce``, ``focal`` and ``vgae_task``."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from graphids.core.losses.autoencoder import VGAEOutputs, VGAETaskLoss
from graphids.core.losses.classification import CrossEntropy, FocalLoss, WeightedCrossEntropy

LOSSES: dict[str, Callable[..., nn.Module]] = {
    "ce": CrossEntropy,
    "weighted_ce": WeightedCrossEntropy,
    "focal": FocalLoss,
    "vgae_task": VGAETaskLoss,
}


def build_loss(name: str, **params: object) -> nn.Module:
    """The loss called ``name`` with its own settings.

    Args:
        name: A key of ``LOSSES``.
        **params: Settings of that loss, such as ``gamma`` or ``class_weights``.

    Raises:
        ValueError: No loss has that name.
        TypeError: That loss has no such setting.
    """
    if name not in LOSSES:
        raise ValueError(f"no loss is called {name!r}; there are {', '.join(LOSSES)}")
    return LOSSES[name](**params)


__all__ = [
    "LOSSES",
    "CrossEntropy",
    "FocalLoss",
    "VGAEOutputs",
    "VGAETaskLoss",
    "WeightedCrossEntropy",
    "build_loss",
]
