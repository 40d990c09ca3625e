"""Which training windows a classifier sees, and when: a curriculum, or fewer benign ones."""

from __future__ import annotations

from dataclasses import dataclass

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from graphids.core.losses import CurriculumLoss, LinearRamp, WindowLoss, difficulty_rank
from graphids.data.sampling import undersample
from graphids.data.splits import Part
from graphids.stages.dataset import Prepared

BENIGN = 0


@dataclass(frozen=True, kw_only=True)
class Curriculum:
    """Benign windows by difficulty: the share that counts grows or shrinks over the epochs.

    The share of epoch e is a ratio, linear from start to end, over the larger of the two. Attack
    windows always count.
    """

    start_ratio: float = 1.0
    """Ratio in the first epoch."""
    end_ratio: float = 10.0
    """Ratio at the end; below ``start_ratio`` the curriculum shrinks to the easiest."""
    ramp: float = 0.5
    """Share of the epochs after which the end is reached; no earlier epoch's weights are kept."""

    def __post_init__(self) -> None:
        if min(self.start_ratio, self.end_ratio) <= 0:
            raise ValueError(
                "start_ratio and end_ratio must be positive "
                f"(got {self.start_ratio} and {self.end_ratio})"
            )

        if not 0.0 < self.ramp <= 1.0:
            raise ValueError(f"ramp must lie in (0, 1] (got {self.ramp})")

    def ramp_epochs(self, max_epochs: int) -> int:
        """Epochs of the ramp; the last of them is the first at the end's ratio."""
        return max(1, round(self.ramp * max_epochs))

    def loss(
        self, base: WindowLoss, difficulty: Tensor, prepared: Prepared, max_epochs: int
    ) -> CurriculumLoss:
        """The loss that leaves out what is too hard as yet.

        Args:
            base: Loss of each window by itself (reduction none).
            difficulty: Difficulty of every window of the training captures ``[G]``.
            prepared: The dataset.
            max_epochs: Most epochs of the training.
        """
        in_scope = (prepared.part == Part.TRAIN) & (prepared.train.y == BENIGN)
        ramp = LinearRamp(
            start_ratio=self.start_ratio,
            end_ratio=self.end_ratio,
            max_epochs=self.ramp_epochs(max_epochs),
        )
        return CurriculumLoss(base, difficulty_rank(difficulty, in_scope), in_scope, ramp)


@dataclass(frozen=True, kw_only=True)
class Undersample:
    """The hardest benign windows alone, a fixed number for each attack window."""

    benign_per_attack: float = 4.0
    """Benign windows for each attack window."""

    def __post_init__(self) -> None:
        if self.benign_per_attack <= 0:
            raise ValueError(f"benign_per_attack must be positive (got {self.benign_per_attack})")

    def share(self, benign: int, attacks: int) -> float:
        """Share of so many benign and attack windows that is used."""
        used = attacks + min(benign, self.benign_per_attack * attacks)
        return used / max(1, benign + attacks)

    def index(self, difficulty: Tensor, prepared: Prepared) -> Tensor:
        """The training windows that are used ``[n]``, ascending."""
        training = prepared.index(Part.TRAIN)
        return undersample(difficulty, prepared.train.y, training, ratio=self.benign_per_attack)


def random_difficulty(num_windows: int, seed: int) -> Tensor:
    """A difficulty without meaning ``[G]``: the control of every scorer."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(num_windows, generator=generator, dtype=torch.float64)


class LossClock(Callback):
    """Tells a loss which epoch it is: a curriculum depends on it."""

    def __init__(self, loss: WindowLoss) -> None:
        self.loss = loss

    def on_train_epoch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Called before the epoch's first batch."""
        self.loss.set_epoch(trainer.current_epoch)
