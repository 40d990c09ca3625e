"""What every detector does with its scores while validating, testing and predicting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import torch
from lightning import LightningModule
from torch import Tensor, nn

from graphids.core.metrics import (
    auroc,
    binary_metrics,
    macro_average,
    per_attack_auroc,
    separation,
)
from graphids.core.models.registry import class_path

EpochSink = Callable[[Mapping[str, Tensor | float], int], None]
"""Takes means over some windows and how many they are."""


@dataclass(kw_only=True)
class ScoreLog:
    """Scores, labels and attack codes of the windows of one loader, in the order they came."""

    scores: list[Tensor] = field(default_factory=list)
    """Scores ``[G]`` of each batch."""
    labels: list[Tensor] = field(default_factory=list)
    """Labels ``[G]`` of each batch."""
    attack_types: list[Tensor] = field(default_factory=list)
    """Attack codes ``[G]`` of each batch."""

    def add(self, scores: Tensor, labels: Tensor, attack_types: Tensor | None = None) -> None:
        """Keeps a batch on the CPU."""
        self.scores.append(scores.detach().cpu())
        self.labels.append(labels.detach().cpu())
        if attack_types is not None:
            self.attack_types.append(attack_types.detach().cpu())

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Scores, labels and, where they were given, attack codes ``[N]``."""
        codes = torch.cat(self.attack_types).numpy() if self.attack_types else None
        return torch.cat(self.scores).numpy(), torch.cat(self.labels).numpy(), codes


def adam(
    parameters: Iterable[nn.Parameter], lr: float, weight_decay: float = 0.0
) -> torch.optim.Adam:
    """Adam over the trained parameters, in one fused kernel where device and types allow."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    fused = all(p.is_floating_point() and p.device.type in {"cpu", "cuda"} for p in trained)
    return torch.optim.Adam(trained, lr=lr, weight_decay=weight_decay, fused=fused)


class ScoringModule(LightningModule):
    """A detector: scores windows, higher is more anomalous.

    A subclass gives ``predict_scores`` and ``targets``; testing through a Trainer then logs
    ``test/<set>/<metric>`` for each test set and ``test/all/<metric>`` for all of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.test_threshold: float | None = None
        self.test_names: tuple[str, ...] = ()
        self.attack_names: dict[int, str] = {}
        self.epoch_sink: EpochSink | None = None
        self._validated = ScoreLog()
        self._tested: dict[int, ScoreLog] = {}

    def move_to(self, device: torch.device | str) -> None:
        """Moves the model to ``device``, at no cost where it is there already."""
        wanted = torch.device(device)
        if any(t.device != wanted for t in chain(self.parameters(), self.buffers())):
            self.to(wanted)

    @property
    def decision_threshold(self) -> float | None:
        """Threshold of a decision, from validation; none where the scores have no natural one."""
        return self.test_threshold

    def loss_description(self) -> dict[str, object] | None:
        """Plain description of a loss that loading must restore; none where there is none."""
        return None

    def predict_scores(self, batch: Any) -> Tensor:
        """Scores ``[G]``, float64, of the windows of a batch; deterministic in evaluation mode."""
        raise NotImplementedError

    def targets(self, batch: Any) -> tuple[Tensor, Tensor | None]:
        """Labels ``[G]`` and attack codes ``[G]``, where the batch has codes."""
        raise NotImplementedError

    def log_epoch(self, values: Mapping[str, Tensor | float], num_graphs: int) -> None:
        """Logs means over the epoch's windows, or leaves them to who takes them."""
        if self.epoch_sink is not None:
            self.epoch_sink(values, num_graphs)
            return
        self.log_dict(dict(values), on_step=False, on_epoch=True, batch_size=num_graphs)

    def collect_validation(self, scores: Tensor, labels: Tensor) -> None:
        """Keeps a validation batch's scores and labels ``[G]`` for the epoch's AUROC."""
        self._validated.add(scores, labels)

    def on_validation_epoch_end(self) -> None:
        """Logs ``val_auroc`` and ``val_margin`` over the epoch's windows, where they are defined.

        The margin is the separation of the classes (``graphids.core.metrics.separation``).
        """
        collected, self._validated = self._validated, ScoreLog()
        if collected.scores:
            scores, labels, _ = collected.arrays()
            values = {
                "val_auroc": auroc(scores, labels),
                "val_margin": separation(scores, labels),
            }
            self.log_dict({name: value for name, value in values.items() if value is not None})

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Keeps the batch's scores."""
        labels, codes = self.targets(batch)
        log = self._tested.setdefault(dataloader_idx, ScoreLog())
        log.add(self.predict_scores(batch), labels, codes)

    def on_test_epoch_end(self) -> None:
        """Logs the metrics of each test set and of all; undefined ones are left out."""
        tested, self._tested = self._tested, {}
        named = {}
        pooled = ScoreLog()
        for index, log in sorted(tested.items()):
            name = self.test_names[index] if index < len(self.test_names) else f"set_{index}"
            named[name] = log
            pooled.scores += log.scores
            pooled.labels += log.labels
            pooled.attack_types += log.attack_types
        for name, log in {**named, "all": pooled}.items():
            if log.scores:
                self._log_test(name, log)

    def _log_test(self, name: str, log: ScoreLog) -> None:
        """Logs one test set's defined metrics."""
        scores, labels, codes = log.arrays()
        values = binary_metrics(scores, labels, self.decision_threshold)
        if codes is not None:
            attacks = per_attack_auroc(scores, labels, codes, self.attack_names)
            values |= {f"auroc_per_attack/{attack}": value for attack, value in attacks.items()}
            values["auroc_per_attack_macro"] = macro_average(attacks)
        self.log_dict(
            {f"test/{name}/{key}": value for key, value in values.items() if value is not None}
        )

    def predict_step(
        self, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> dict[str, Tensor]:
        """Scores and labels ``[G]``, and decisions ``[G]`` where there is a threshold."""
        scores = self.predict_scores(batch)
        result = {"scores": scores, "labels": self.targets(batch)[0]}
        if self.decision_threshold is not None:
            result["preds"] = (scores >= self.decision_threshold).long()
        return result

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what loading without running code needs: class path, loss and threshold."""
        checkpoint["class_path"] = class_path(type(self))
        loss = self.loss_description()
        if loss is not None:
            checkpoint["loss"] = loss
        if self.test_threshold is not None:
            checkpoint["test_threshold"] = self.test_threshold
