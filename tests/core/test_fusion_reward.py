"""Rewards of fused decisions: what each outcome earns, and that the parts make the whole."""

from __future__ import annotations

from dataclasses import asdict

import pytest
import torch
from model_samples import states
from tensordict import TensorDict

from graphids.core.models.fusion import (
    FusionRewardCalculator,
    MinimalReward,
    MinimalRewardConfig,
    RewardConfig,
    build_reward,
)
from graphids.core.models.fusion.features import flatten_features


def mixed_states(rows: int = 64) -> TensorDict:
    """States whose anomalies spread over the whole interval."""
    td = states(rows, seed=3)
    td["vgae", "errors"] = torch.rand(rows, 3, generator=torch.Generator().manual_seed(1)) * 3
    td["gat", "conf"] = torch.rand(rows, 1, generator=torch.Generator().manual_seed(2))
    return td


def shaped_by_hand(
    anomaly: float, prob: float, confs: tuple[float, float], pred: bool, attack: bool, alpha: float
) -> dict[str, float]:
    """The shaped reward of one window, case by case."""
    parts = dict.fromkeys(
        (
            "r_classification", "r_agreement", "r_confidence",
            "r_disagreement_penalty", "r_overconfidence_penalty", "r_balance",
        ),
        0.0,
    )  # fmt: skip
    agreement = 1 - abs(anomaly - prob)
    fused = (1 - alpha) * anomaly + alpha * prob
    if pred == attack:
        parts["r_classification"] = 3.0
        parts["r_agreement"] = agreement
        sure = max(anomaly, prob) if attack else 1 - max(anomaly, prob)
        parts["r_confidence"] = 0.5 * sure + 0.3 * max(confs)
    else:
        parts["r_classification"] = -3.0
        parts["r_disagreement_penalty"] = -(1 - agreement)
        parts["r_overconfidence_penalty"] = -1.5 * (fused if pred else 1 - fused)
    parts["r_balance"] = 0.3 * (1 - 2 * abs(alpha - 0.5))
    return parts


def test_the_shaped_reward_is_that_of_the_cases() -> None:
    td = mixed_states()
    generator = torch.Generator().manual_seed(0)
    alphas = torch.rand(64, generator=generator)
    preds = torch.rand(64, generator=generator) < 0.5
    total, parts = build_reward(None).compute(td, preds, td["labels"], alphas)
    for row in range(64):
        weighted = sum(
            weight * float(error)
            for weight, error in zip((0.4, 0.3, 0.3), td["vgae", "errors"][row], strict=True)
        )
        expected = shaped_by_hand(
            weighted / (1 + weighted),
            float(td["gat", "probs"][row, 1]),
            (float(td["vgae", "conf"][row]), float(td["gat", "conf"][row])),
            bool(preds[row]),
            bool(td["labels"][row]),
            float(alphas[row]),
        )
        assert {k: float(v[row]) for k, v in parts.items()} == pytest.approx(expected, abs=1e-5)
        assert list(parts) == list(expected)
        assert float(total[row]) == pytest.approx(sum(expected.values()), abs=1e-5)


@pytest.mark.parametrize("kind", ["legacy", "minimal"])
def test_components_sum_to_the_total_and_right_beats_wrong(kind: str) -> None:
    td = mixed_states()
    reward = build_reward({"kind": kind})
    attack = td["labels"] > 0
    alphas = torch.linspace(0, 1, 64)
    right, parts = reward.compute(td, attack, td["labels"], alphas)
    wrong, _ = reward.compute(td, ~attack, td["labels"], alphas)
    assert torch.allclose(sum(parts.values()), right)
    assert (right > wrong).all()


def test_lesson_39_the_minimal_reward_has_no_shape_to_exploit() -> None:
    td = mixed_states(4)
    td["gat", "probs"] = torch.tensor([0.8, 0.2]).expand(4, 2)
    preds, labels = torch.tensor([1, 0, 1, 0]), torch.tensor([1, 0, 0, 1])
    reward = build_reward({"kind": "minimal"})
    totals = [
        reward.compute(td, preds, labels, torch.full((4,), alpha))[0] for alpha in (0.0, 0.5, 1.0)
    ]
    assert torch.allclose(totals[0], torch.tensor([3.06, 1.5, -1.44, -6.0]))
    assert all(torch.equal(total, totals[0]) for total in totals)


def test_lesson_38_the_anomaly_rises_with_the_errors_and_never_saturates() -> None:
    td = states(50)
    size = torch.logspace(-3, 9, 50)
    td["vgae", "errors"] = size.unsqueeze(-1).expand(50, 3).clone()
    anomaly, prob = build_reward(None).derive_scores(td.double())
    assert (anomaly.diff() > 0).all()
    assert anomaly[0] > 0
    assert anomaly[-1] < 1
    assert torch.equal(prob, td["gat", "probs"][:, 1].double())


def test_normalising_bounds_the_confidences_of_a_copy() -> None:
    td = mixed_states()
    td["gat", "conf"] = torch.linspace(-1, 2, 64).unsqueeze(-1)
    td["vgae", "conf"] = torch.linspace(2, -1, 64).unsqueeze(-1)
    before = td.clone()
    bounded = build_reward(None).normalize(td)
    for model in ("gat", "vgae"):
        values = bounded[model, "conf"]
        assert values.min() == 0
        assert values.max() == 1
        bounded[model, "conf"] = before[model, "conf"]
    assert torch.equal(flatten_features(bounded), flatten_features(before))
    assert torch.equal(flatten_features(td), flatten_features(before))


def test_settings_are_those_of_the_kind() -> None:
    changed = build_reward({"correct": 7.0})
    assert isinstance(changed, FusionRewardCalculator)
    assert (changed.correct, changed.incorrect) == (7.0, -3.0)
    assert isinstance(build_reward({"kind": "minimal"}), MinimalReward)
    assert FusionRewardCalculator(**asdict(RewardConfig())).vgae_weights == (0.4, 0.3, 0.3)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"kind": "shaped"}, "reward kind 'shaped' is not available; use one of legacy, minimal"),
        ({"corect": 1.0}, "setting of the legacy reward 'corect' is not available"),
        ({"kind": "minimal", "correct": 1.0}, "setting of the minimal reward 'correct'"),
        ({"overconf_penalty": 1.5}, r"overconf_penalty must not be positive.*got 1\.5"),
        ({"incorrect": 3.0}, r"incorrect \(3\.0\) must be below correct"),
        ({"vgae_weights": (0.0, 0.0, 0.0)}, "vgae_weights must not be negative, nor all zero"),
    ],
)
def test_a_wrong_setting_is_named(kwargs: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_reward(kwargs)


def test_a_miss_may_not_pay() -> None:
    with pytest.raises(ValueError, match=r"false_negative \(3\.0\) must be below true_positive"):
        MinimalRewardConfig(false_negative=3.0)
