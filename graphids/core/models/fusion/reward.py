"""What a fused decision earns: the shaped reward of the published rows, and a minimal one.

Both read raw features, never standardised ones, and judge the decision on the fused score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from graphids.core.models.checks import require_choice, require_non_negative

CONFIDENCES = (("vgae", "conf"), ("gat", "conf"))


@dataclass(frozen=True, kw_only=True)
class RewardConfig:
    """Settings of the shaped reward. Penalties carry their sign: the terms are added."""

    vgae_weights: Sequence[float] = (0.4, 0.3, 0.3)
    """Weights of the autoencoder's errors in the anomaly."""
    correct: float = 3.0
    """Reward of a correct decision."""
    incorrect: float = -3.0
    """Reward of a wrong decision."""
    confidence_weight: float = 0.5
    """Weight of the stronger score (of its complement on benign windows), if correct."""
    combined_conf_weight: float = 0.3
    """Weight of the larger of both confidences, if correct."""
    disagreement_penalty: float = -1.0
    """Weight of the distance between both scores, if wrong."""
    overconf_penalty: float = -1.5
    """Weight of the fused score's certainty of the decision taken, if wrong."""
    balance_weight: float = 0.3
    """Weight of ``1 - 2 |alpha - 1/2|``, always."""

    def __post_init__(self) -> None:
        _require_weights(self.vgae_weights)
        require_non_negative(self, "confidence_weight", "combined_conf_weight", "balance_weight")
        for name in ("disagreement_penalty", "overconf_penalty"):
            if vars(self)[name] > 0:
                raise ValueError(
                    f"{name} must not be positive: it is added (got {vars(self)[name]})"
                )
        if self.incorrect >= self.correct:
            raise ValueError(
                f"incorrect ({self.incorrect}) must be below correct ({self.correct}): a wrong "
                "decision would earn as much as a right one"
            )


@dataclass(frozen=True, kw_only=True)
class MinimalRewardConfig:
    """Settings of the minimal reward."""

    vgae_weights: Sequence[float] = (0.4, 0.3, 0.3)
    """Weights of the autoencoder's errors in the anomaly."""
    true_positive: float = 3.0
    """Reward of an attack that is flagged."""
    true_negative: float = 1.5
    """Reward of a benign window that is not flagged."""
    false_positive: float = -1.5
    """Reward of a benign window that is flagged."""
    false_negative: float = -6.0
    """Reward of an attack that is not flagged."""
    confidence_weight: float = 0.3
    """Weight of the classifier's P(attack) where a window is flagged."""

    def __post_init__(self) -> None:
        _require_weights(self.vgae_weights)
        require_non_negative(self, "confidence_weight")
        for right, wrong in (
            ("true_positive", "false_negative"),
            ("true_negative", "false_positive"),
        ):
            if vars(self)[wrong] >= vars(self)[right]:
                raise ValueError(
                    f"{wrong} ({vars(self)[wrong]}) must be below {right} ({vars(self)[right]})"
                )


def _require_weights(weights: Sequence[float]) -> None:
    if min(weights, default=0.0) < 0 or sum(weights) <= 0:
        raise ValueError(
            f"vgae_weights must not be negative, nor all zero (got {tuple(weights)}): the anomaly "
            "would not rise with the errors"
        )


class FusionReward:
    """Both scores that are fused, and what a decision earns.

    Args:
        vgae_weights: Weights of the autoencoder's errors in the anomaly.
    """

    def __init__(self, vgae_weights: Sequence[float]) -> None:
        self.vgae_weights = tuple(vgae_weights)

    def derive_scores(self, td: TensorDict) -> tuple[Tensor, Tensor]:
        """Anomaly and P(attack) ``[N]``, both in ``[0, 1]``.

        The anomaly is ``w / (1 + w)`` with ``w`` the weighted sum of the autoencoder's errors: it
        rises without ever saturating as a clamp would.

        Args:
            td: Raw states with ``("vgae", "errors")`` ``[N, 3]`` and ``("gat", "probs")``
                ``[N, 2]``.
        """
        errors = td["vgae", "errors"]
        weighted = errors @ errors.new_tensor(self.vgae_weights)
        return weighted / (1.0 + weighted), td["gat", "probs"][:, 1]

    def normalize(self, td: TensorDict) -> TensorDict:
        """A copy of the states in which both confidences lie in ``[0, 1]``; the rest is as it was.

        Features are not scaled here: the heads standardise what they read.
        """
        bounded = td.clone(recurse=False)
        for key in CONFIDENCES:
            if key in td.keys(include_nested=True):
                bounded[key] = td[key].clamp(0.0, 1.0)
        return bounded

    def compute(
        self, td: TensorDict, preds: Tensor, labels: Tensor, alphas: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Rewards ``[N]`` and their components ``[N]`` by name, which sum to them.

        Args:
            td: Raw states ``[N]``.
            preds: Decisions on the fused score ``[N]``, 1 for an attack.
            labels: Labels ``[N]``, 1 for an attack.
            alphas: Share of the classifier in the fused score ``[N]``.
        """
        components = self._components(td, preds > 0, labels > 0, alphas)
        return torch.stack(list(components.values())).sum(dim=0), components

    def _components(
        self, td: TensorDict, flagged: Tensor, attack: Tensor, alphas: Tensor
    ) -> dict[str, Tensor]:
        raise NotImplementedError


class FusionRewardCalculator(FusionReward):
    """The shaped reward: the label, then agreement, confidence, certainty and balance.

    It rewards alpha near one half and a majority decision, so that a high reward is not a good
    detector by itself: read the components.
    """

    def __init__(
        self,
        *,
        vgae_weights: Sequence[float],
        correct: float,
        incorrect: float,
        confidence_weight: float,
        combined_conf_weight: float,
        disagreement_penalty: float,
        overconf_penalty: float,
        balance_weight: float,
    ) -> None:
        super().__init__(vgae_weights)
        self.correct = correct
        self.incorrect = incorrect
        self.confidence_weight = confidence_weight
        self.combined_conf_weight = combined_conf_weight
        self.disagreement_penalty = disagreement_penalty
        self.overconf_penalty = overconf_penalty
        self.balance_weight = balance_weight

    def _components(
        self, td: TensorDict, flagged: Tensor, attack: Tensor, alphas: Tensor
    ) -> dict[str, Tensor]:
        anomaly, prob = self.derive_scores(td)
        rows = anomaly.shape[0]
        fused = torch.lerp(anomaly, prob, alphas.to(anomaly.dtype))
        distance = (anomaly - prob).abs()
        strongest = torch.maximum(anomaly, prob)
        confidence = torch.where(attack, strongest, 1.0 - strongest)
        combined = torch.maximum(*(td[key].reshape(rows) for key in CONFIDENCES))
        certainty = torch.where(flagged, fused, 1.0 - fused)
        right = (flagged == attack).to(anomaly.dtype)
        wrong = 1.0 - right
        return {
            "r_classification": self.correct * right + self.incorrect * wrong,
            "r_agreement": right * (1.0 - distance),
            "r_confidence": right
            * (self.confidence_weight * confidence + self.combined_conf_weight * combined),
            "r_disagreement_penalty": wrong * self.disagreement_penalty * distance,
            "r_overconfidence_penalty": wrong * self.overconf_penalty * certainty,
            "r_balance": self.balance_weight * (1.0 - 2.0 * (alphas.to(fused.dtype) - 0.5).abs()),
        }


class MinimalReward(FusionReward):
    """What the decision is worth, and a little for a sure classifier where it flags.

    Neither alpha nor the agreement of the detectors earns anything, and a miss costs four false
    alarms: there is no shape to exploit, and flagging nothing does not pay.
    """

    def __init__(
        self,
        *,
        vgae_weights: Sequence[float],
        true_positive: float,
        true_negative: float,
        false_positive: float,
        false_negative: float,
        confidence_weight: float,
    ) -> None:
        super().__init__(vgae_weights)
        self.flagged_worth = (false_positive, true_positive)
        self.passed_worth = (true_negative, false_negative)
        self.confidence_weight = confidence_weight

    def _components(
        self, td: TensorDict, flagged: Tensor, attack: Tensor, alphas: Tensor
    ) -> dict[str, Tensor]:
        _, prob = self.derive_scores(td)
        worth = prob.new_tensor((self.passed_worth, self.flagged_worth))
        return {
            "r_classification": worth[flagged.long(), attack.long()],
            "r_confidence": self.confidence_weight * prob * flagged,
        }


KINDS: Mapping[str, tuple[type[Any], type[FusionReward]]] = {
    "legacy": (RewardConfig, FusionRewardCalculator),
    "minimal": (MinimalRewardConfig, MinimalReward),
}
"""Settings and reward by kind."""


def build_reward(reward_kwargs: Mapping[str, Any] | None) -> FusionReward:
    """The reward that ``reward_kwargs`` names.

    Args:
        reward_kwargs: ``kind`` (``legacy`` if it is left out, or ``minimal``) and any settings of
            that kind that differ from its defaults; none is the legacy reward.

    Raises:
        ValueError: Unknown kind or setting, or a setting out of its range.
    """
    given = dict(reward_kwargs or {})
    kind = given.pop("kind", "legacy")
    require_choice("reward kind", kind, KINDS)
    config, reward = KINDS[kind]
    known = [field.name for field in fields(config)]
    for name in given:
        require_choice(f"setting of the {kind} reward", name, known)
    return reward(**asdict(config(**given)))
