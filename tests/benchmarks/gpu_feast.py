"""Trials that take memory of a GPU, one of them more than its share allows.

Without a GPU nothing caps a process: there the greedy one raises what torch would, once.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from graphids.core.memory import release_cached, trial_device
from graphids.grid import Axis, Grid, Trial, Variant, one_at_a_time
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.protocol import Demand, Report, Sizes, Stage

GREEDY = "greedy"
"""Row of the trial that takes more."""
BLOCK = 64 * 2**20
"""Bytes that are taken at a time."""
STEPS = 50
"""Steps of the small training behind each output."""


@dataclass(frozen=True, kw_only=True)
class Feast:
    """Trains a small network, and holds memory beside it for a while."""

    name: ClassVar[str] = "feast"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = True

    guest: int = 0
    """Tells trials apart."""
    predicted: int
    """Bytes that it says it needs."""
    taken: int
    """Bytes that it takes."""
    hold_seconds: float
    """How long it takes them, gives them back and takes them again."""
    marks: str = ""
    """Folder in which a greedy trial without a GPU notes that it has failed."""

    def upstream(self) -> Mapping[str, Stage]:
        """Nothing."""
        return {}

    def demand(self, inputs: Sizes) -> Demand:
        """A GPU; the greedy one comes last, so that it meets the others."""
        cost = 1.0 if self.taken > self.predicted else 2.0
        return Demand(accelerated=True, cost=cost, tensor_bytes=self.predicted)

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        """Takes memory, trains, and keeps taking memory until its time is over."""
        device, began = trial_device(), time.monotonic()
        held = self._take(trial, device)
        weights = self._train(device)
        report({"guest": float(self.guest)})
        while time.monotonic() - began < self.hold_seconds:
            held.clear()
            release_cached()
            held = self._take(trial, device)
            time.sleep(0.2)
        return Handoff(files={"weights": TensorFile({"w": weights})})

    def _take(self, trial: Trial, device: torch.device) -> list[Tensor]:
        """Memory of the device, block by block."""
        if device.type == "cuda":
            blocks = range(self.taken // BLOCK)
            return [torch.zeros(BLOCK, dtype=torch.uint8, device=device) for _ in blocks]
        mark = Path(self.marks) / trial.short
        if self.taken > self.predicted and not mark.exists():
            mark.touch()
            raise torch.OutOfMemoryError("a trial that took more than its share")
        return []

    def _train(self, device: torch.device) -> Tensor:
        """Weights ``[1, 64]`` of a network after some steps on numbers drawn from the guest."""
        generator = torch.Generator().manual_seed(self.guest)
        x = torch.randn(256, 64, generator=generator).to(device)
        layer = nn.Linear(64, 1, bias=False).to(device)
        with torch.no_grad():
            layer.weight.zero_()
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.01)
        for _ in range(STEPS):
            optimizer.zero_grad()
            (layer(x) - x[:, :1].square()).square().mean().backward()
            optimizer.step()
        return layer.weight.detach().cpu()


def feast_grid(
    *, guests: int, predicted: int, greedy: int, hold_seconds: float, marks: Path | None
) -> Grid:
    """Guests that keep to what they said, and a greedy one where there are marks.

    Args:
        guests: How many.
        predicted: Bytes that each says it needs.
        greedy: Bytes that the greedy one takes.
        hold_seconds: How long guests hold theirs.
        marks: Folder for the greedy one; none leaves it out.
    """
    polite = Feast(predicted=predicted, taken=predicted, hold_seconds=hold_seconds)
    variants = list(one_at_a_time(polite, Axis.of("guest", *range(guests))))
    if marks is not None:
        stage = replace(polite, guest=guests, taken=greedy, hold_seconds=0.0, marks=str(marks))
        variants.append(Variant(name=GREEDY, stage=stage))
    return Grid(name="feast", variants=tuple(variants), datasets=("sim_small",), seeds=(0,))
