"""The fusion: one score from what both detectors say of a window."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import ClassVar, ParamSpec, TypeVar

import torch
from tensordict import TensorDict

from graphids.core.models.checkpoint import checkpoint_tensors
from graphids.core.models.fusion import DQNFusionModule, FusionConfig
from graphids.core.models.fusion.base import FusionModuleBase, flatten_features
from graphids.core.models.fusion.learner import Training
from graphids.core.models.fusion.mlp import MLPFusionConfig
from graphids.core.models.fusion.together import train_together
from graphids.grid.trial import Trial
from graphids.stages.evaluation import Scored, Windows, evaluate
from graphids.stages.extract import FUSION_TRAIN, FUSION_VALIDATION, Extract, read_states
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.latency import P50, added, one_thread, time_windows
from graphids.stages.protocol import Demand, Report, Sizes, Stage
from graphids.stages.training import History, seed_everything

P = ParamSpec("P")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Fuse:
    """A fusion head, trained on the half of validation that neither detector was fitted on.

    (Or, as an axis, on their training windows.) That half stopped the detectors' training early, so
    it does not stop the fusion as well: the head trains for a fixed number of epochs and its last
    weights count.
    """

    name: ClassVar[str] = "fuse"
    version: ClassVar[int] = 3
    seeded: ClassVar[bool] = True
    together: ClassVar[bool] = True
    """Trials that differ only in their seeds can run as one: ``run_together``."""

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
        """Trains the head, chooses its threshold on the other half, then scores the tests.

        Raises:
            ValueError: There is no state to train on.
            FloatingPointError: The head diverged.
        """
        (outcome,) = self.run_together([trial], [inputs], report)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def run_together(
        self, trials: Sequence[Trial], inputs: Sequence[Mapping[str, Handoff]], report: Report
    ) -> list[Handoff | Exception]:
        """``run`` for several trials of this stage on one dataset, trained side by side.

        What a trial hands on is, to the last bit, what it would hand on alone.

        Args:
            trials: Trials that differ in their seeds.
            inputs: The inputs of each.
            report: Takes the means of each epoch's metrics over the trials that go on.

        Returns:
            For each trial what it hands on, or the exception that ended it: one that fails leaves
            the others alone.
        """
        # As ``demand`` says; kernels split among threads would round by the number of trials.
        with one_thread():
            begun = [_attempt(self._begin, *given) for given in zip(trials, inputs, strict=True)]
            going = [task for task in begun if isinstance(task, _Task)]

            def on_epoch(epoch: int, metrics: Mapping[int, Mapping[str, float]]) -> None:
                for index, values in metrics.items():
                    going[index].history.add(epoch, dict(values))
                report({"epoch": float(epoch), **_means(metrics.values())})

            failures = train_together(
                [task.training for task in going],
                epochs=self.epochs,
                batch_size=self.batch_size,
                on_epoch=on_epoch,
            )
            ended = (
                _attempt(self._hand_on, task) if failure is None else failure
                for task, failure in zip(going, failures, strict=True)
            )
            return [task if isinstance(task, Exception) else next(ended) for task in begun]

    def _begin(self, trial: Trial, inputs: Mapping[str, Handoff]) -> _Task:
        """The trial's head with its first weights, and what it trains on."""
        seed, states = trial.seed or 0, inputs["states"]
        train, windows = _features(states, FUSION_TRAIN)
        if len(train) == 0:
            raise ValueError(
                "there is no state to train the fusion on: the part of the dataset that its "
                "states were extracted from has no window; see the notes of the plan"
            )
        train["labels"] = windows.label
        seed_everything(seed)
        head = self.head.build(state_dim=flatten_features(train).shape[1])
        head.fit_features(train)
        if isinstance(head, DQNFusionModule):
            head.plan_decisions(self.epochs * len(train))
        return _Task(trial=trial, states=states, training=Training.of(head, train, seed))

    def _hand_on(self, task: _Task) -> Handoff:
        """What a trial leaves once its head is trained."""
        head, states = task.training.head.eval(), task.states
        validation = _scored(head, states, FUSION_VALIDATION)
        tests = {name: _scored(head, states, name) for name in states.meta["tests"]}
        names = {int(code): name for code, name in states.meta["attack_names"].items()}
        result = evaluate(task.trial.fingerprint, validation, tests, names)
        tensors, header = checkpoint_tensors(head, test_threshold=result.threshold.value)
        return Handoff(
            files={"model": TensorFile(tensors, header)},
            meta={
                "epochs": self.epochs,
                "decisions": self.epochs * len(task.training.states),
                **result.facts(),
                "diagnostics": _diagnostics(head, states),
                "parameters": sum(p.numel() for p in head.parameters()),
                **_latency(head, states),
            },
            metrics=result.metrics,
            scores=result.scores,
            history=task.history.frame(),
        )


@dataclass(frozen=True, kw_only=True)
class _Task:
    """A trial on its way."""

    trial: Trial
    """Which."""
    states: Handoff
    """The extracted features."""
    training: Training
    """Its head and what that learns from."""
    history: History = field(default_factory=lambda: History(_unheard))
    """Metrics of its epochs."""


def _unheard(metrics: Mapping[str, float], /) -> None:
    """Takes a trial's own metrics: what is reported are the means over all trials."""


def _attempt(step: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | Exception:
    """The result of one trial's step, or the exception that ends this trial alone."""
    try:
        return step(*args, **kwargs)
    except Exception as error:  # a trial's failure is its outcome, whatever it is
        return error


def _means(metrics: Collection[Mapping[str, float]]) -> dict[str, float]:
    """Mean of each metric over the trials that have it."""
    names = {name: None for values in metrics for name in values}
    return {name: fmean([v[name] for v in metrics if name in v]) for name in names}


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


def _latency(model: FusionModuleBase, handoff: Handoff) -> dict[str, float]:
    """Latency of a window: both detectors, then the head; nothing where theirs is not known."""
    if P50 not in handoff.meta:
        return {}
    features, _ = _features(handoff, FUSION_VALIDATION)
    own = time_windows(lambda i: features[i : i + 1], model.predict_scores, len(features))
    return added(own, handoff.meta)


@torch.no_grad()
def _scored(model: FusionModuleBase, handoff: Handoff, name: str) -> Scored:
    """Fused scores of one split."""
    features, windows = _features(handoff, name)
    return Scored(windows=windows, scores=model.predict_scores(features))
