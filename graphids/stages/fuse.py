"""The fusion: one score from what both detectors say of a window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import lightning
import torch
from tensordict import TensorDict
from torch import Tensor

from graphids.core.models.checkpoint import checkpoint_tensors
from graphids.core.models.fusion import DQNFusionModule, FusionConfig
from graphids.core.models.fusion.base import FusionModuleBase, RLFusionBase, flatten_features
from graphids.core.models.fusion.mlp import MLPFusionConfig
from graphids.grid.trial import Trial
from graphids.stages.evaluation import Scored, Windows, evaluate
from graphids.stages.extract import FUSION_TRAIN, FUSION_VALIDATION, Extract, read_states
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.protocol import Demand, Report, Sizes, Stage
from graphids.stages.training import EpochReport, History, seed_everything


@dataclass(frozen=True, kw_only=True)
class Fuse:
    """A fusion head, trained on the half of validation that neither detector was fitted on.

    (Or, as an axis, on their training windows.) That half stopped the detectors' training early, so
    it does not stop the fusion as well: the head trains for a fixed number of epochs and its last
    weights count.
    """

    name: ClassVar[str] = "fuse"
    version: ClassVar[int] = 2
    seeded: ClassVar[bool] = True

    states: Extract
    """Where the features come from."""
    head: FusionConfig = field(default_factory=MLPFusionConfig)
    """The fusion head."""
    epochs: int = 200
    """Passes over the training states."""
    batch_size: int = 128
    """Windows of one optimiser step."""

    def __post_init__(self) -> None:
        for name, value in (("epochs", self.epochs), ("batch_size", self.batch_size)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1 (got {value})")

    def upstream(self) -> Mapping[str, Stage]:
        """The extracted features."""
        return {"states": self.states}

    def demand(self, inputs: Sizes) -> Demand:
        """One core: the head has a few thousand parameters."""
        return Demand(cost=3.0)

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        """Trains the head, chooses its threshold on the other half, then scores the tests."""
        seed = trial.seed or 0
        states = inputs["states"]
        train, windows = _features(states, FUSION_TRAIN)
        seed_everything(seed)
        model = self.head.build(state_dim=flatten_features(train).shape[1])
        model.fit_features(train)
        history = History(report)
        if isinstance(model, RLFusionBase):
            model.seed_actions(seed)
        if isinstance(model, DQNFusionModule):
            model.plan_decisions(self.epochs * len(windows.label))
        loader = StateLoader(train, windows.label, self.batch_size, seed)
        _trainer(self.epochs, history).fit(model, loader)
        model.eval()
        validation = _scored(model, states, FUSION_VALIDATION)
        tests = {name: _scored(model, states, name) for name in states.meta["tests"]}
        names = {int(code): name for code, name in states.meta["attack_names"].items()}
        result = evaluate(trial.fingerprint, validation, tests, names)
        tensors, header = checkpoint_tensors(model, test_threshold=result.threshold.value)
        return Handoff(
            files={"model": TensorFile(tensors, header)},
            meta={
                "epochs": self.epochs,
                "decisions": self.epochs * len(windows.label),
                **result.facts(),
                "diagnostics": _diagnostics(model, states),
                "parameters": sum(p.numel() for p in model.parameters()),
            },
            metrics=result.metrics,
            scores=result.scores,
            history=history.frame(),
        )


class StateLoader:
    """Shuffled mini-batches of states with their labels; every window once an epoch."""

    def __init__(self, states: TensorDict, labels: Tensor, batch_size: int, seed: int) -> None:
        self.states = states.clone(recurse=False)
        self.states["labels"] = labels
        self.batch_size = batch_size
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return -(-len(self.states) // self.batch_size)

    def __iter__(self) -> Iterator[TensorDict]:
        order = torch.randperm(len(self.states), generator=self.generator)
        for index in order.split(self.batch_size):
            yield self.states[index]


def _trainer(epochs: int, history: History) -> lightning.Trainer:
    """A trainer without validation: nothing is left that could stop the head honestly."""
    return lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=epochs,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[EpochReport(history)],
    )


def _features(handoff: Handoff, name: str) -> tuple[TensorDict, Windows]:
    """States of one split as the fusion reads them: keys are (model, feature) pairs."""
    states, windows = read_states(handoff, name)
    keyed = TensorDict({}, batch_size=[len(windows.label)])
    for key, tensor in states.items():
        model, _, feature = key.partition(".")
        keyed[model, feature] = tensor
    return keyed, windows


@torch.no_grad()
def _diagnostics(model: FusionModuleBase, handoff: Handoff) -> dict[str, float]:
    """What the head does with the states on which its threshold is chosen."""
    features, windows = _features(handoff, FUSION_VALIDATION)
    features["labels"] = windows.label
    return model.diagnostics(features)


@torch.no_grad()
def _scored(model: FusionModuleBase, handoff: Handoff, name: str) -> Scored:
    """Fused scores of one split."""
    features, windows = _features(handoff, name)
    return Scored(windows=windows, scores=model.predict_scores(features))
