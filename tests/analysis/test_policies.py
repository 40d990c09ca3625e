"""Policies on stored scores: what the stages would say, what no label may change, what shifts."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from analysis.policies import (
    POLICIES,
    AboveLeadIn,
    Centred,
    Fixed,
    FromValidation,
    LeadIn,
    LeadInQuantile,
    Policy,
)
from analysis.thresholds import (
    METRICS,
    POLICY_SCHEMA,
    apply_policy,
    decide,
    is_saturated,
    metrics_at,
    policy_table,
)
from graphids.core.metrics import binary_metrics
from graphids.stages.evaluation import Scored, Windows, evaluate
from graphids.store.results import SCORES_SCHEMA

STEP_NS = 100_000_000  # between the starts of two windows: a lead-in of five seconds has 50
BY_NAME = {policy.name: policy for policy in POLICIES}
LABEL_FREE = (AboveLeadIn(), LeadInQuantile(), LeadInQuantile(quantile=1.0), Centred())


def capture(split: str, name: str, logits: np.ndarray, labels: np.ndarray) -> pl.DataFrame:
    """Windows of one capture, with probabilities for scores."""
    place = np.arange(labels.size)
    return pl.DataFrame(
        {
            "split": [split] * labels.size,
            "capture": [name] * labels.size,
            "first_message": place * 100,
            "start_ns": place * STEP_NS,
            "label": labels,
            "attack_type": labels,
            "score": 1.0 / (1.0 + np.exp(-logits)),
        },
        schema=SCORES_SCHEMA,
    )


def trial(shift: float = 0.0, seed: int = 0, gap: float = 6.0) -> pl.DataFrame:
    """A trial whose second test subset scores ``shift`` logits higher; its lead-in is benign."""
    rng = np.random.default_rng(seed)
    parts = []
    for split, names, moved in (
        ("validation", ("train-1", "train-2"), 0.0),
        ("test_01", ("known-1", "known-2"), 0.0),
        ("test_02", ("unknown-1",), shift),
    ):
        for name in names:
            labels = (rng.random(300) < 0.3).astype(int)
            labels[:60] = 0
            logits = rng.normal(0.0, 0.8, 300).clip(-2.5, 2.5) + gap * labels - 3.0 + moved
            parts.append(capture(split, name, logits, labels))
    return pl.concat(parts)


def of_subset(frame: pl.DataFrame, split: str) -> dict[str, float | None]:
    """The row of a whole test subset."""
    return frame.filter(pl.col("capture").is_null(), split=split).row(0, named=True)


def test_max_f1_tabulates_what_the_stages_do() -> None:
    scores = trial(shift=1.5, gap=2.0)
    tests = [name for name in scores["split"].unique(maintain_order=True) if name != "validation"]

    def scored(split: str) -> Scored:
        part = scores.filter(split=split)
        names = part["capture"].unique(maintain_order=True).to_list()
        columns = ("label", "attack_type", "first_message", "start_ns")
        windows = Windows(
            **{name: torch.from_numpy(part[name].to_numpy().copy()) for name in columns},
            capture=torch.tensor([names.index(name) for name in part["capture"]]),
            captures=names,
        )
        return Scored(windows=windows, scores=torch.from_numpy(part["score"].to_numpy().copy()))

    stage = evaluate("f", scored("validation"), {name: scored(name) for name in tests}, {1: "dos"})
    assert stage.scores.equals(scores)
    found = apply_policy(scores, FromValidation())
    for split in tests:
        row = of_subset(found, split)
        of_stage = stage.metrics.filter(split=split, attack="all")
        expected = dict(zip(of_stage["metric"], of_stage["value"], strict=True))
        assert {name: row[name] for name in METRICS} == {name: expected[name] for name in METRICS}
        assert row["threshold"] == stage.threshold.value


@pytest.mark.parametrize("rule", ["max_f1", "youden"])
def test_no_cut_suits_validation_better(rule: str) -> None:
    scores = trial(gap=1.5)
    validation = scores.filter(split="validation")
    value, label = validation["score"].to_numpy(), validation["label"].to_numpy()
    threshold = apply_policy(scores, FromValidation(rule=rule))["threshold"][0]

    def quality(cut: float) -> float:
        if rule == "max_f1":
            return float(sk.f1_score(label, value >= cut))
        return float(sk.recall_score(label, value >= cut) - (value[label == 0] >= cut).mean())

    best = max(quality(cut) for cut in np.unique(value))
    assert quality(threshold) == pytest.approx(best)
    assert threshold not in value


def test_benign_quantile_leaves_its_share_of_benign_validation_above() -> None:
    scores = trial(gap=1.5)
    threshold = apply_policy(scores, FromValidation(rule="benign_quantile", quantile=0.9))
    benign = scores.filter(pl.col("label") == 0, split="validation")["score"]
    assert (benign >= threshold["threshold"][0]).mean() == pytest.approx(0.1, abs=0.01)


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.booleans()), min_size=1))
def test_metrics_agree_with_scikit_learn_and_with_the_stages(
    rows: list[tuple[int, bool, bool]],
) -> None:
    scores, labels, decisions = (np.array(column) for column in zip(*rows, strict=True))
    found = metrics_at(labels, scores, decisions)
    assert tuple(found) == METRICS
    assert (found["n_windows"], found["n_attacks"]) == (labels.size, labels.sum())
    if labels.any() and not labels.all():
        assert found["auroc"] == pytest.approx(sk.roc_auc_score(labels, scores))
        assert found["ap"] == pytest.approx(sk.average_precision_score(labels, scores))
        assert found["mcc"] == pytest.approx(sk.matthews_corrcoef(labels, decisions))
    else:
        assert (found["auroc"], found["ap"], found["mcc"]) == (None, None, None)
    if labels.any():
        assert found["f1"] == pytest.approx(sk.f1_score(labels, decisions, zero_division=0.0))
        assert found["recall"] == pytest.approx(sk.recall_score(labels, decisions))
    else:
        assert (found["f1"], found["recall"], found["precision"]) == (None, None, None)
    at_three = metrics_at(labels, scores, scores >= 3)
    expected = binary_metrics(scores, labels, 3.0)
    assert at_three == {name: expected[name] for name in METRICS}


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("seed", range(3))
def test_labels_of_the_test_change_no_decision(name: str, seed: int) -> None:
    scores = trial(shift=2.0, seed=seed, gap=2.0)
    tested = pl.col("split") != "validation"
    turned = scores.with_columns(
        label=pl.when(tested).then(1 - pl.col("label")).otherwise(pl.col("label"))
    )
    ours, theirs = decide(scores, BY_NAME[name]), decide(turned, BY_NAME[name])
    assert ours["decision"].equals(theirs["decision"])
    assert ours["threshold"].equals(theirs["threshold"])


@pytest.mark.parametrize("policy", LABEL_FREE, ids=lambda policy: policy.name)
def test_a_shifted_vehicle_is_decided_on_by_its_lead_in_alone(policy: Policy) -> None:
    """Validation's threshold flags every window there; what reads the lead-in does not notice."""
    level, shifted = trial(), trial(shift=6.0)
    before, after = (of_subset(apply_policy(t, FromValidation()), "test_02")
                     for t in (level, shifted))  # fmt: skip
    assert before["mcc"] > 0.98
    assert after["mcc"] < 0.1
    assert after["auroc"] == pytest.approx(before["auroc"], abs=1e-3)
    moved = of_subset(apply_policy(shifted, policy), "test_02")
    assert moved["mcc"] > 0.85
    ours, theirs = (decide(t, policy)["decision"] for t in (level, shifted))
    assert ours.equals(theirs)


@pytest.mark.parametrize(
    "policy", [AboveLeadIn(margin=0.0), AboveLeadIn(), LeadInQuantile(quantile=1.0)],
    ids=lambda policy: policy.name,
)  # fmt: skip
def test_nothing_in_the_lead_in_lies_above_it(policy: Policy) -> None:
    scores = trial(shift=1.0)
    calm = decide(scores, policy).filter("lead_in")
    assert calm.height == 3 * 50
    assert not calm["decision"].any()
    constant = scores.with_columns(score=pl.lit(1.0))
    assert not decide(constant, policy)["decision"].any()


def test_a_lower_quantile_flags_no_more_of_the_lead_in_than_it_leaves() -> None:
    calm = decide(trial(), LeadInQuantile(quantile=0.9)).filter("lead_in")
    shares = calm.group_by("split", "capture").agg(pl.col("decision").mean())["decision"]
    assert (shares <= 0.1 + 1e-9).all()
    assert shares.sum() > 0


@given(st.floats(0.01, 100.0), st.floats(2.0, 50.0))
def test_the_unit_of_scores_that_are_no_probabilities_does_not_matter(
    scale: float, offset: float
) -> None:
    errors = trial(gap=2.0).with_columns(score=10.0 * pl.col("score") + 1.0)
    other = errors.with_columns(score=scale * pl.col("score") + offset)
    for policy in (AboveLeadIn(), Centred(), FromValidation(rule="youden")):
        ours, theirs = (decide(t, policy)["decision"] for t in (errors, other))
        assert (ours != theirs).sum() <= 1  # a score may lie on the threshold but for rounding


def test_saturated_probabilities_keep_their_order() -> None:
    scores = trial().with_columns(score=pl.col("score").round(2))
    assert scores["score"].min() == 0.0
    found = policy_table(scores, [AboveLeadIn(), Centred()])
    assert found["auroc"].is_finite().all()
    assert found["threshold"].drop_nulls().is_finite().all()


def test_lead_in_by_time_by_number_and_in_any_order() -> None:
    scores = trial().sample(fraction=1.0, shuffle=True, seed=0)
    for lead_in, first in (
        (LeadIn(), 50), (LeadIn(seconds=1.05), 11), (LeadIn(seconds=1e-9), 1),
        (LeadIn(seconds=None, windows=7), 7), (LeadIn(seconds=None, windows=999), 300),
    ):  # fmt: skip
        decided = decide(scores, Fixed(), lead_in)
        assert decided.height == 900
        assert decided["lead_in"].equals(decided["first_message"] < first * 100)


def test_contamination_is_the_share_of_attacks_in_the_lead_in() -> None:
    scores = trial()
    attacked = scores.with_columns(
        label=pl.when(pl.col("capture") == "known-1", pl.col("first_message") < 1_000)
        .then(pl.lit(1, pl.Int8)).otherwise(pl.col("label"))
    )  # fmt: skip
    found = apply_policy(attacked, LeadInQuantile())
    by_capture = dict(zip(found["capture"], found["contamination"], strict=True))
    assert by_capture["known-1"] == pytest.approx(10 / 50)
    assert by_capture["unknown-1"] == 0.0
    assert of_subset(found, "test_01")["contamination"] == pytest.approx(10 / 100)


def test_one_row_a_capture_and_one_a_subset() -> None:
    found = policy_table(trial())
    assert found.schema == POLICY_SCHEMA
    assert found["policy"].unique(maintain_order=True).to_list() == [p.name for p in POLICIES]
    rows = found.filter(policy="lead_in_quantile 0.99").select("split", "capture").rows()
    assert rows == [
        ("test_01", "known-1"), ("test_01", "known-2"), ("test_01", None),
        ("test_02", "unknown-1"), ("test_02", None),
    ]  # fmt: skip
    own = found.filter(policy="lead_in_quantile 0.99", split="test_01")
    assert own["threshold"].is_null().to_list() == [False, False, True]
    assert (own["n_windows"][:2].sum(), own["n_attacks"][:2].sum()) == (
        own["n_windows"][2], own["n_attacks"][2],
    )  # fmt: skip


def test_saturated_is_said_where_validation_ranks_without_fault() -> None:
    assert is_saturated(trial(gap=6.0))
    assert not is_saturated(trial(gap=1.0))
    assert apply_policy(trial(gap=6.0), Fixed())["saturated"].all()


def test_validation_of_one_class_falls_back_and_says_so() -> None:
    scores = trial().filter(~((pl.col("split") == "validation") & (pl.col("label") == 1)))
    row = apply_policy(scores, FromValidation()).row(0, named=True)
    assert (row["rule"], row["saturated"]) == ("benign_quantile", False)
    assert "no attack in validation" in row["note"]
    benign = scores.filter((pl.col("split") != "test_02") | (pl.col("label") == 0))
    row = of_subset(apply_policy(benign, Fixed()), "test_02")
    assert (row["f1"], row["fpr"]) == (None, 0.0)


def test_a_capture_that_validation_sees_under_attack_only_is_centred_on_the_others() -> None:
    attacked = trial().filter((pl.col("capture") != "train-2") | (pl.col("label") == 1))
    found = of_subset(apply_policy(attacked, Centred()), "test_01")
    assert found["mcc"] > 0.98


def test_faults_are_named() -> None:
    scores = trial()
    with pytest.raises(ValueError, match="no window of split 'validation'"):
        decide(scores.filter(pl.col("split") != "validation"), Fixed())
    with pytest.raises(ValueError, match="no test window"):
        decide(scores.filter(split="validation"), Fixed())
    with pytest.raises(ValueError, match="hold no start_ns"):
        decide(scores.drop("start_ns"), Fixed())
    assert decide(scores.drop("start_ns"), Fixed(), LeadIn(seconds=None, windows=5)).height == 900
    with pytest.raises(ValueError, match="seconds or in windows"):
        LeadIn(seconds=5.0, windows=5)
    with pytest.raises(ValueError, match="seconds must be positive"):
        LeadIn(seconds=0.0)
    with pytest.raises(ValueError, match="quantile must lie in"):
        LeadInQuantile(quantile=1.5)
    with pytest.raises(ValueError, match="scores must be finite"):
        decide(scores.with_columns(score=pl.lit(float("inf"))), Fixed())
