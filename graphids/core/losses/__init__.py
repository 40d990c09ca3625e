"""Training losses: plain ones by name, and those that wrap one with a teacher or a curriculum."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from graphids.core.losses.autoencoder import AutoencoderLoss, VGAEOutputs, VGAETaskLoss
from graphids.core.losses.classification import (
    CrossEntropy,
    FocalLoss,
    WeightedCrossEntropy,
    WindowLoss,
)
from graphids.core.losses.curriculum import CurriculumLoss, LinearRamp, difficulty_rank
from graphids.core.losses.distillation import FeatureDistillation, SoftLabelDistillation
from graphids.core.losses.running import RunningLoss
from graphids.core.losses.teachers import RecordedLogits, RecordedNodes, TeacherNodes

LOSSES: dict[str, Callable[..., nn.Module]] = {
    "ce": CrossEntropy,
    "weighted_ce": WeightedCrossEntropy,
    "focal": FocalLoss,
    "vgae_task": VGAETaskLoss,
}
"""Losses that plain settings describe; wrappers are built around one of them."""


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
    """``name`` and settings from which ``build_loss`` makes ``loss_fn`` again, without wrappers.

    A wrapped loss is described by its base with the wrapper's reduction: teachers, projections and
    ranks serve training alone. None where the class is not one of ``LOSSES``: a class of one's own
    has no plain description.
    """
    if isinstance(loss_fn, SoftLabelDistillation | CurriculumLoss):
        base = describe_loss(loss_fn.base)
        return None if base is None else {**base, "reduction": loss_fn.reduction}
    if isinstance(loss_fn, FeatureDistillation):
        return describe_loss(loss_fn.base)
    names = {kind: name for name, kind in LOSSES.items()}
    if type(loss_fn) not in names or not isinstance(loss_fn, WindowLoss | AutoencoderLoss):
        return None
    return {"name": names[type(loss_fn)], **loss_fn.settings()}


def loss_name(loss_fn: nn.Module) -> str:
    """Class of the loss and of what it wraps: ``CurriculumLoss(FocalLoss)``, for the results."""
    name = type(loss_fn).__name__
    if isinstance(loss_fn, SoftLabelDistillation | CurriculumLoss | FeatureDistillation):
        return f"{name}({loss_name(loss_fn.base)})"
    return name


__all__ = [
    "LOSSES",
    "AutoencoderLoss",
    "CrossEntropy",
    "CurriculumLoss",
    "FeatureDistillation",
    "FocalLoss",
    "LinearRamp",
    "RecordedLogits",
    "RecordedNodes",
    "RunningLoss",
    "SoftLabelDistillation",
    "TeacherNodes",
    "VGAEOutputs",
    "VGAETaskLoss",
    "WeightedCrossEntropy",
    "WindowLoss",
    "build_loss",
    "describe_loss",
    "difficulty_rank",
    "loss_name",
]
