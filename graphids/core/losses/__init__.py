"""Training losses by name: ``ce``, ``weighted_ce``, ``focal`` and ``vgae_task``."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from graphids.core.losses.autoencoder import VGAEOutputs, VGAETaskLoss
from graphids.core.losses.classification import (
    CrossEntropy,
    FocalLoss,
    WeightedCrossEntropy,
    WindowLoss,
)
from graphids.core.losses.running import RunningLoss

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


def describe_loss(loss_fn: nn.Module) -> dict[str, object] | None:
    """``name`` and settings from which ``build_loss`` makes ``loss_fn`` again.

    None where its class is not one of ``LOSSES``: a class of one's own has no plain description.
    """
    names = {kind: name for name, kind in LOSSES.items()}
    if type(loss_fn) not in names or not isinstance(loss_fn, WindowLoss | VGAETaskLoss):
        return None
    return {"name": names[type(loss_fn)], **loss_fn.settings()}


__all__ = [
    "LOSSES",
    "CrossEntropy",
    "FocalLoss",
    "RunningLoss",
    "VGAEOutputs",
    "VGAETaskLoss",
    "WeightedCrossEntropy",
    "WindowLoss",
    "build_loss",
    "describe_loss",
]
