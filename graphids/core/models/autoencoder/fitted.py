"""Statistics of benign windows that a detector scores against, as an artefact of their own.

They are taken after the training, from other windows than the weights, so they can be handed on
without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from graphids.core.models.base import ScoreBasedDetectorMixin


class Moments:
    """Running mean and population deviation of rows, in float64."""

    def __init__(self, width: int, device: torch.device | str) -> None:
        self.count = 0
        self.total = torch.zeros(width, dtype=torch.float64, device=device)
        self.squares = torch.zeros(width, dtype=torch.float64, device=device)

    def add(self, rows: Tensor) -> None:
        """Adds rows ``[N, width]``."""
        rows = rows.double()
        self.count += rows.shape[0]
        self.total += rows.sum(dim=0)
        self.squares += rows.square().sum(dim=0)

    def mean_and_std(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation ``[width]``."""
        mean = self.total / self.count
        return mean, (self.squares / self.count - mean.square()).clamp(min=0.0).sqrt()


class FittedDetector(ScoreBasedDetectorMixin):
    """A detector with fitted statistics in buffers.

    A subclass names the buffers, registers them when it builds, and says when they are fitted.
    """

    statistics: ClassVar[tuple[str, ...]]
    """Names of the buffers."""

    @property
    def calibrated(self) -> bool:
        """True once the statistics are fitted; the layers exist."""
        raise NotImplementedError

    def forget_calibration(self) -> None:
        """Marks the statistics as not fitted."""
        raise NotImplementedError

    def require_calibrated(self) -> None:
        """Raises unless the detector is built and calibrated.

        Raises:
            RuntimeError: Says what to call.
        """
        self.require_built()
        if not self.calibrated:
            raise RuntimeError(
                f"{type(self).__name__} is not calibrated; call "
                "on_test_setup(datamodule, device) or load_calibration(tensors) first"
            )

    def calibration(self) -> dict[str, Tensor]:
        """Copies of the fitted statistics by name, on the CPU.

        Raises:
            RuntimeError: ``on_test_setup`` has not run.
        """
        self.require_calibrated()
        return {name: self.get_buffer(name).detach().cpu().clone() for name in self.statistics}

    @torch.no_grad()
    def load_calibration(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes statistics that ``calibration`` gave, in place of a fit.

        Args:
            tensors: Every statistic by name.

        Raises:
            KeyError: A statistic is missing.
            ValueError: One is unknown, of another shape or not finite.
        """
        self.require_built()
        kind, known = type(self).__name__, ", ".join(self.statistics)
        missing = [name for name in self.statistics if name not in tensors]
        if missing:
            raise KeyError(
                f"the calibration of a {kind} is {known}; {', '.join(missing)} is missing"
            )
        unknown = sorted(tensors.keys() - set(self.statistics))
        if unknown:
            raise ValueError(
                f"the calibration of a {kind} is {known}; {', '.join(unknown)} belongs elsewhere"
            )
        for name in self.statistics:
            given, own = tensors[name], self.get_buffer(name)
            if given.shape != own.shape:
                raise ValueError(
                    f"{name} has shape {tuple(given.shape)}, this {kind} needs "
                    f"{tuple(own.shape)}; take the calibration of a model of the same sizes"
                )
            if not bool(given.isfinite().all()):
                raise ValueError(f"{name} is not finite; calibrate the {kind} again")
        for name in self.statistics:
            self.get_buffer(name).copy_(tensors[name])

    def on_fit_start(self) -> None:
        """Forgets the statistics: those of other weights are none."""
        self.forget_calibration()
