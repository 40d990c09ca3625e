"""Fitting a model with Lightning: seeded, stopped early, the best weights kept in memory."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import lightning
import numpy as np
import polars as pl
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping
from torch import Tensor

from graphids.core.budget import Budget
from graphids.core.memory import trial_device
from graphids.core.models.splitting import splitting
from graphids.stages.epoch_means import EpochMeans
from graphids.stages.protocol import Report
from graphids.store.results import HISTORY_SCHEMA

MONITORS: Mapping[str, Literal["min", "max"]] = {
    "val_loss": "min",
    "val_auroc": "max",
    "val_margin": "max",
    "val_discrimination_ratio": "max",
    "val_recon_max_gap": "max",
}
"""Validation quantities that can choose an epoch, and which way each is better.

``val_loss`` of an autoencoder is that of benign windows; the last two read the labels of attacks.
"""
LAST = "last"
"""Chooses nothing: the last epoch's weights count, and no epoch ends the training early."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FitConfig:
    """How long a model trains, and which epoch's weights count."""

    max_epochs: int = 25
    """Most epochs."""
    patience: int = 6
    """Epochs without a better monitored value after which the training ends."""
    gradient_clip: float = 1.0
    """Largest norm of the gradient."""
    monitor: str = "val_loss"
    """What chooses the epoch: a key of ``MONITORS``, or ``last``."""

    def __post_init__(self) -> None:
        for name, value in (("max_epochs", self.max_epochs), ("patience", self.patience)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1 (got {value})")
        if self.gradient_clip <= 0:
            raise ValueError(f"gradient_clip must be positive (got {self.gradient_clip})")
        if self.monitor not in (*MONITORS, LAST):
            raise ValueError(
                f"monitor must be one of {', '.join((*MONITORS, LAST))} (got {self.monitor!r})"
            )


def seed_everything(seed: int) -> None:
    """Seeds what models draw from at construction and in dropout."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@dataclass
class History:
    """Metrics of each epoch, passed on to whoever watches and kept for the training curves."""

    report: Report
    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, epoch: int, metrics: dict[str, float]) -> None:
        """Takes the metrics of one epoch."""
        finite = {name: value for name, value in metrics.items() if np.isfinite(value)}
        self.rows += [
            {"epoch": epoch, "metric": name, "value": value} for name, value in finite.items()
        ]
        self.report({"epoch": float(epoch), **finite})

    def frame(self) -> pl.DataFrame:
        """All epochs in long form."""
        return pl.DataFrame(self.rows, schema=HISTORY_SCHEMA)


class EpochReport(Callback):
    """Hands the metrics of each epoch to a history, after validation."""

    def __init__(self, history: History) -> None:
        self.history = history

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Called after the epoch's validation."""
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.history.add(trainer.current_epoch, metrics)


class KeepBest(Callback):
    """Keeps the weights with the best monitored value in memory: nothing is pickled."""

    def __init__(self, monitor: str, first_epoch: int = 0) -> None:
        self.monitor, self.first_epoch = monitor, first_epoch
        self.sign = 1.0 if MONITORS[monitor] == "min" else -1.0
        self.best: float = self.sign * float("inf")
        self.epoch = -1
        self.state: dict[str, Tensor] | None = None

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Copies the weights where they are better than the best so far."""
        if self.monitor not in trainer.callback_metrics:
            raise ValueError(
                f"{self.monitor} was not measured: {type(pl_module).__name__} does not log it, or "
                "the first half of validation has no window that it is defined on (an autoencoder "
                "needs benign ones, a ranking both classes); see the notes of the plan, or set "
                "fit.monitor to another quantity"
            )
        if trainer.current_epoch < self.first_epoch:
            return
        value = float(trainer.callback_metrics[self.monitor])
        if self.sign * value < self.sign * self.best:
            self.best, self.epoch = value, trainer.current_epoch
            self.state = copy.deepcopy(pl_module.state_dict())

    def restore(self, model: lightning.LightningModule) -> None:
        """Puts the best weights back.

        Raises:
            FloatingPointError: if no epoch had a finite validation loss.
        """
        if self.state is None:
            raise FloatingPointError(
                f"{self.monitor} was finite in no epoch, so there are no best weights; "
                "lower the learning rate or clip the gradient"
            )
        model.load_state_dict(self.state)


class StopEarly(EarlyStopping):
    """Ends the training when the monitored value has not become better for some epochs."""

    def __init__(self, monitor: str, patience: int, first_epoch: int) -> None:
        super().__init__(
            monitor,
            mode=MONITORS[monitor],
            patience=patience,
            check_finite=False,
            check_on_train_epoch_end=False,
        )
        self.first_epoch = first_epoch

    def on_validation_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Counts from the first epoch that may be chosen."""
        if trainer.current_epoch >= self.first_epoch:
            super().on_validation_end(trainer, pl_module)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training leaves besides the weights."""

    history: pl.DataFrame
    """Metrics of each epoch in the columns of ``HISTORY_SCHEMA``."""
    facts: dict[str, Any]
    """Epochs trained, the epoch whose weights were kept, and its monitored value."""


def fit(
    model: lightning.LightningModule,
    data: lightning.LightningDataModule,
    config: FitConfig,
    report: Report,
    callbacks: Sequence[Callback] = (),
    first_epoch: int = 0,
    chunk: Budget | None = None,
) -> Trained:
    """Trains a model in place and leaves the chosen weights in it, in evaluation mode.

    Args:
        model: What is trained.
        data: Its loaders.
        config: How long, and which epoch's weights count.
        report: Takes the metrics of each epoch.
        callbacks: What else happens while it trains.
        first_epoch: First epoch that may be chosen, and from which patience counts.
        chunk: Most nodes and edges that go through the network at a time: a larger training batch
            is split, and its step stays the same to rounding. None never splits.

    Raises:
        TypeError: A chunk is given, and the model cannot split a batch.
        ValueError: The monitored quantity was not measured, or a batch that must be split cannot
            be: see ``graphids.core.models.splitting.in_chunks``.
        FloatingPointError: A loss is not finite, or the monitored quantity was finite in no epoch.
    """
    history, means = History(report), EpochMeans()
    best = None if config.monitor == LAST else KeepBest(config.monitor, first_epoch)
    choosing: list[Callback] = []
    if best is not None:
        # The first of them tells what is wrong where the quantity was not measured.
        choosing = [best, StopEarly(config.monitor, config.patience, first_epoch)]
    trainer = lightning.Trainer(
        accelerator="gpu" if trial_device().type == "cuda" else "cpu",
        devices=1,
        max_epochs=config.max_epochs,
        gradient_clip_val=config.gradient_clip,
        # The composition of batches changes every epoch, and with it their number.
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[means, *callbacks, *choosing, EpochReport(history)],
    )
    with splitting(model, chunk), means.collecting(model):
        trainer.fit(model, datamodule=data)
    facts: dict[str, Any] = {"epochs": trainer.current_epoch, "monitor": config.monitor}
    if best is not None:
        best.restore(model)
        facts |= {"best_epoch": best.epoch, config.monitor: best.best}
    model.to(trial_device()).eval()
    return Trained(history=history.frame(), facts=facts)


def move(batches: Iterable[Any], device: torch.device) -> Iterable[Any]:
    """Batches on a device, one at a time."""
    return (batch.to(device) for batch in batches)
