"""The rows that every table has beside the ones it compares: floors, rules, tabular learners."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import torch

from graphids.data.splits import Part
from graphids.grid.trial import Trial
from graphids.stages.dataset import Prepared
from graphids.stages.evaluation import Scored, evaluate
from graphids.stages.handoff import Handoff
from graphids.stages.latency import time_windows
from graphids.stages.prepare import TRAIN_FILE, Prepare
from graphids.stages.protocol import Demand, Report, Sizes, Stage
from graphids.stages.representation import LEAD_IN, POOLED
from graphids.stages.simple import LEARNERS, RULES, Fitted, Table, fit_learner


def require_single_windows(data: Prepare) -> None:
    """Raises unless ``data`` has windows of one length that stand alone.

    Raises:
        ValueError: Sequences, or several scales.
    """
    if data != data.single_windows():
        raise ValueError(
            "a simple detector reads single windows; give it data.single_windows() "
            f"(got sequence_length {data.sequence_length}, scales {data.scales})"
        )


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A detector without chance: the floor, look-ups, departures from the lead-in, components."""

    name: ClassVar[str] = "baseline"
    version: ClassVar[int] = 2
    seeded: ClassVar[bool] = False

    data: Prepare = field(default_factory=Prepare)
    """The prepared dataset."""
    rule: str
    """A key of ``RULES``."""

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"rule must be one of {', '.join(RULES)} (got {self.rule!r})")
        require_single_windows(self.data)

    def upstream(self) -> Mapping[str, Stage]:
        """The prepared dataset."""
        return {"data": self.data}

    def demand(self, inputs: Sizes) -> Demand:
        """A moment on one core."""
        return Demand(cost=0.2)

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        """Scores the second half of validation and every test subset."""
        prepared = Prepared.of(inputs["data"])
        train = _table(prepared, inputs["data"], TRAIN_FILE)
        fitted = RULES[self.rule](train, prepared.part)
        return _handoff(trial, self.rule, fitted, prepared, inputs["data"], report)


@dataclass(frozen=True, kw_only=True)
class Learner:
    """A tabular learner on features of each window as a whole."""

    name: ClassVar[str] = "baseline"
    version: ClassVar[int] = 2
    seeded: ClassVar[bool] = True

    data: Prepare = field(default_factory=Prepare)
    """The prepared dataset."""
    learner: str
    """One of ``LEARNERS``."""
    trees: int = 200
    """Trees of a random forest."""

    def __post_init__(self) -> None:
        if self.learner not in LEARNERS:
            raise ValueError(f"learner must be one of {', '.join(LEARNERS)} (got {self.learner!r})")
        if self.trees < 1:
            raise ValueError(f"trees must be at least 1 (got {self.trees})")
        require_single_windows(self.data)

    def upstream(self) -> Mapping[str, Stage]:
        """The prepared dataset."""
        return {"data": self.data}

    def demand(self, inputs: Sizes) -> Demand:
        """One core for some seconds."""
        return Demand(cost=1.0)

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        """Fits on training windows, then scores validation and every test subset."""
        prepared = Prepared.of(inputs["data"])
        train = _table(prepared, inputs["data"], TRAIN_FILE)
        fitted = fit_learner(
            self.learner,
            train,
            prepared.part,
            trial.seed or 0,
            trees=self.trees,
        )
        return _handoff(trial, self.learner, fitted, prepared, inputs["data"], report)


def reference_stages(data: Prepare) -> tuple[tuple[str, Stage], ...]:
    """Row name and stage of every simple detector on ``data``, the floor last.

    Raises:
        ValueError: ``data`` has no single windows.
    """
    rules: list[tuple[str, Stage]] = [(name, Rule(data=data, rule=name)) for name in RULES]
    learners = ((name, Learner(data=data, learner=name)) for name in LEARNERS)
    return (*rules[1:], *learners, rules[0])


def _table(prepared: Prepared, handoff: Handoff, split: str) -> Table:
    """One split as a simple detector sees it."""
    tensors = handoff.files[split].tensors
    graphs = prepared.train if split == TRAIN_FILE else prepared.tests[split]
    return Table(graphs=graphs, pooled=tensors[POOLED], lead_in=tensors[LEAD_IN])


def _handoff(
    trial: Trial,
    row: str,
    fitted: Fitted,
    prepared: Prepared,
    data: Handoff,
    report: Report,
) -> Handoff:
    """Scores of a fitted detector, tabulated."""
    train = _table(prepared, data, TRAIN_FILE)
    with torch.no_grad():
        held_out = train.select(prepared.index(Part.CALIBRATION))
        validation = Scored(
            windows=prepared.part_windows(Part.CALIBRATION), scores=fitted.score(held_out)
        )
        tests = {
            name: Scored(
                windows=prepared.windows(name), scores=fitted.score(_table(prepared, data, name))
            )
            for name in prepared.tests
        }
    names = prepared.attack_names
    result = evaluate(trial.fingerprint, validation, tests, names, fitted.threshold)
    report({"windows": float(sum(len(test.scores) for test in tests.values()))})
    return Handoff(
        meta={
            "detector": row,
            "parameters": fitted.size,
            **result.facts(),
            **time_windows(
                lambda i: train.select(torch.tensor([i])), fitted.score, len(train.graphs)
            ),
        },
        metrics=result.metrics,
        scores=result.scores,
    )
