"""Simple detectors: what they may look at, what they are by definition, and published figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from stage_runs import run, value

from graphids.data.datasets import open_dataset
from graphids.data.splits import Part
from graphids.grid.fingerprint import stage_digest
from graphids.grid.grid import FLOOR
from graphids.grid.trial import Trial
from graphids.stages import Learner, Prepare, Rule
from graphids.stages.baseline import reference_stages
from graphids.stages.dataset import Prepared
from graphids.stages.evaluation import VALIDATION
from graphids.stages.handoff import Handoff
from graphids.stages.protocol import Stage
from graphids.stages.representation import LEAD_IN
from graphids.stages.simple import LEARNERS, RULES

KNOWN = "test_01_known_vehicle_known_attack"
STAGES = dict(reference_stages(Prepare()))


def test_every_rule_and_learner_stands_in_every_table() -> None:
    assert set(STAGES) == {*RULES, *LEARNERS}
    assert [*STAGES][-1] == FLOOR
    assert {stage.name for stage in STAGES.values()} == {"baseline"}


def test_the_floor_flags_everything(prepared: Handoff) -> None:
    floor = run(STAGES["always_attack"], {"data": prepared}, None)
    for name, graphs in Prepared.of(prepared).tests.items():
        attacks, windows = int(graphs.y.sum()), len(graphs)
        expected = 2 * attacks / (windows + attacks)
        assert value(floor, name, "f1") == (pytest.approx(expected) if attacks else None)
        assert value(floor, name, "auroc") == (0.5 if 0 < attacks < windows else None)


@pytest.mark.parametrize("name", STAGES)
def test_every_detector_scores_every_window_and_repeats(name: str, prepared: Handoff) -> None:
    stage = STAGES[name]
    if isinstance(stage, Learner):
        stage = replace(stage, trees=10)
    seed = 0 if stage.seeded else None
    first, again = (run(stage, {"data": prepared}, seed) for _ in range(2))
    assert first.scores.equals(again.scores)
    counts = dict(first.scores.group_by("split").len().iter_rows())
    data = Prepared.of(prepared)
    assert counts == {
        VALIDATION: len(data.index(Part.CALIBRATION)),
        **{split: len(graphs) for split, graphs in data.tests.items()},
    }
    fixed = isinstance(stage, Rule) and name != "pca"
    assert (first.meta["threshold_rule"] == "fixed") == fixed


def turned(prepared: Handoff, chosen: torch.Tensor, name: str) -> Handoff:
    """The same dataset with one tensor of some training captures' windows in reverse."""
    file = prepared.files["train"]
    tensor = file.tensors[name].clone()
    tensor[chosen] = tensor[chosen].flip(0) if tensor.dim() > 1 else 1 - tensor[chosen]
    train = replace(file, tensors={**file.tensors, name: tensor})
    return replace(prepared, files={**prepared.files, "train": train})


@pytest.mark.parametrize("name", ["random_forest", "gradient_boosting", "pca"])
def test_a_learner_sees_training_windows_alone(name: str, prepared: Handoff) -> None:
    stage = STAGES[name]
    if isinstance(stage, Learner):
        stage = replace(stage, trees=10)
    part = Prepared.of(prepared).part
    outside = (part != Part.TRAIN).nonzero().flatten()
    inside = (part == Part.TRAIN).nonzero().flatten()

    def tests(data: Handoff) -> list[float]:
        scores = run(stage, {"data": data}, 0).scores
        return scores.filter(split=KNOWN)["score"].to_list()

    expected = tests(prepared)
    for tensor in ("pooled", "y"):
        assert tests(turned(prepared, outside, tensor)) == expected
        assert tests(turned(prepared, inside, tensor)) != expected


def test_lead_in_rules_are_the_limits_of_their_features() -> None:
    # Attacks of the simulated captures begin within seconds.
    short = run(Prepare(lead_in_s=0.5), {}, None)
    features = short.files[KNOWN].tensors[LEAD_IN].double()
    flagged = {
        "lead_in_id": features[:, 0] >= 1,
        "lead_in_span": features[:, 1] > 0.02,
        "lead_in_count": features[:, 2] >= 2,
    }
    flagged["lead_in"] = torch.stack(list(flagged.values())).any(dim=0)
    for name, expected in flagged.items():
        found = run(STAGES[name], {"data": short}, None)
        scores = found.scores.filter(split=KNOWN)["score"].to_torch()
        assert torch.equal(scores >= found.meta["threshold"], expected), name
        assert expected.any(), f"{name}: nothing is flagged, so the test would show nothing"


@pytest.mark.parametrize("benign_only", [False, True])
def test_a_look_up_flags_ids_outside_its_training_windows(
    benign_only: bool, prepared: Handoff
) -> None:
    data = Prepared.of(prepared)
    known = {
        arbitration_id
        for graph, part in zip(data.train, data.part, strict=True)
        if part == Part.TRAIN and not (benign_only and int(graph.y))
        for arbitration_id in graph.arbitration_id.tolist()
    }
    found = run(
        STAGES["unseen_id_benign" if benign_only else "unseen_id"], {"data": prepared}, None
    )
    for name, graphs in data.tests.items():
        expected = [len(set(graph.arbitration_id.tolist()) - known) for graph in graphs]
        scores = found.scores.filter(split=name)["score"].to_list()
        assert scores == expected
        flagged = [score >= found.meta["threshold"] for score in scores]
        assert flagged == [number > 0 for number in expected]


def test_a_detector_of_single_windows_refuses_sequences() -> None:
    with pytest.raises(ValueError, match="reads single windows"):
        Rule(data=Prepare(sequence_length=3), rule="lead_in")
    with pytest.raises(ValueError, match="rule must be one of"):
        Rule(rule="guess")
    with pytest.raises(ValueError, match="learner must be one of"):
        Learner(learner="svm")
    with pytest.raises(ValueError, match="trees must be at least 1"):
        Learner(learner="random_forest", trees=0)


PUBLISHED = {
    ("unseen_id_benign", "test_01"): (1.0, 0.001),
    ("unseen_id_benign", "test_02"): (0.0, 0.001),
    ("lead_in", "test_01"): (0.997, 0.002),
    ("lead_in", "test_02"): (0.996, 0.002),
    ("lead_in", "test_03"): (0.991, 0.002),
    ("lead_in", "test_04"): (0.997, 0.002),
    ("random_forest", "test_01"): (0.947, 0.1),
    ("random_forest_timing", "test_01"): (0.988, 0.02),
}
"""Correlation on hcrl_sa, and how far ours may lie from it: two of its standard deviations."""


def test_published_figures_of_simple_detectors(real_data: Path) -> None:
    digest = open_dataset("hcrl_sa", real_data).digest

    def go(stage: Stage, inputs: dict[str, Handoff]) -> Handoff:
        trial = Trial(
            fingerprint=stage_digest(stage),
            stage=stage,
            dataset="hcrl_sa",
            dataset_digest=digest,
            seed=0 if stage.seeded else None,
            label="",
            data_root=real_data,
        )
        return stage.run(trial, inputs, lambda metrics: None)

    prepared = go(Prepare(), {})
    found = {name: go(STAGES[name], {"data": prepared}) for name in {n for n, _ in PUBLISHED}}
    subsets = {name[:7]: name for name in Prepared.of(prepared).tests}
    for (name, subset), (expected, tolerance) in PUBLISHED.items():
        correlation = value(found[name], subsets[subset], "mcc")
        assert correlation == pytest.approx(expected, abs=tolerance), (name, subset)
