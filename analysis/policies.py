"""Ways to choose a threshold after the fact, from the labels of validation or from none at all.

A policy sees what a detector in the field would have: labelled validation scores, and the first
windows of the capture that it is switched on in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphids.core.metrics import FloatArray
from graphids.core.thresholds import (
    BENIGN_QUANTILE,
    Threshold,
    fixed_threshold,
    max_f1_threshold,
    quantile_threshold,
    youden_threshold,
)

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True)
class LeadIn:
    """The first windows of a capture under test, whose labels nobody knows."""

    seconds: float | None = 5.0
    """Windows that begin within this time from the capture's first message, at least one; none
    counts windows."""
    windows: int | None = None
    """Number of windows; none goes by time."""

    def __post_init__(self) -> None:
        if (self.seconds is None) == (self.windows is None):
            raise ValueError(
                f"a lead-in has a length in seconds or in windows (got seconds {self.seconds}, "
                f"windows {self.windows}); set the other one to None"
            )
        for name, value in (("seconds", self.seconds), ("windows", self.windows)):
            if value is not None and not value > 0:
                raise ValueError(f"the lead-in's {name} must be positive (got {value})")

    def mask(self, capture: pl.DataFrame) -> BoolArray:
        """Which windows of one capture belong to it ``[M]``.

        Raises:
            ValueError: The length is in seconds, and the scores hold no ``start_ns``.
        """
        place = (capture["first_message"].rank("ordinal") - 1).to_numpy()
        if self.windows is not None:
            return np.asarray(place < self.windows)
        if self.seconds is None or "start_ns" not in capture.columns:
            raise ValueError(
                "the scores hold no start_ns, so a lead-in in seconds has no end; give its length "
                "in windows, or run the grid again"
            )
        within = capture["start_ns"].to_numpy() < self.seconds * 1e9
        return np.asarray(within | (place == 0))


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What a policy may read; of the capture that it decides on, no label is among it."""

    validation: FloatArray
    """Scores of validation windows ``[N]``."""
    attacks: BoolArray
    """Which of these are attacks ``[N]``."""
    origin: NDArray[np.str_]
    """Captures that these come from ``[N]``."""
    scores: FloatArray
    """Scores of the capture under test ``[M]``."""
    lead_in: BoolArray
    """Which of these belong to its lead-in ``[M]``."""
    probabilities: bool
    """Whether all scores of the trial lie in [0, 1]."""

    def open_scale(self, scores: FloatArray) -> FloatArray:
        """Scores that can be shifted: log-odds of probabilities, others as they are ``[N]``."""
        if not self.probabilities:
            return scores
        # Beyond this a probability is 1 to the last digit, and its odds would be infinite.
        eps = np.finfo(np.float64).eps
        return np.asarray(np.log(scores.clip(min=eps)) - np.log((1.0 - scores).clip(min=eps)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """How a capture is decided on: ``scores >= threshold``."""

    scores: FloatArray
    """Its scores, on the scale of the threshold ``[M]``."""
    threshold: Threshold
    """The cut, the rule behind it and what to know of it."""


class Policy(Protocol):
    """A way to decide on the windows of a capture."""

    @property
    def name(self) -> str:
        """What the policy is called in a table."""
        ...

    def cut(self, known: Known) -> Cut:
        """Scores of the capture on some scale, and the threshold on it."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Fixed:
    """The same threshold everywhere."""

    value: float = 0.5
    """Decision is ``score >= value``."""

    @property
    def name(self) -> str:
        """``fixed`` and the value."""
        return f"fixed {self.value:g}"

    def cut(self, known: Known) -> Cut:
        """Scores as they are."""
        return Cut(scores=known.scores, threshold=fixed_threshold(self.value))


@dataclass(frozen=True, kw_only=True, slots=True)
class FromValidation:
    """The threshold that suits the labels of validation."""

    rule: Literal["max_f1", "youden", "benign_quantile"] = "max_f1"
    """What is highest at the threshold; ``max_f1`` is what the stages tabulate."""
    quantile: float = BENIGN_QUANTILE
    """Share of benign validation windows below the threshold; read by ``benign_quantile``."""

    @property
    def name(self) -> str:
        """The rule, with its quantile where it has one."""
        return f"{self.rule} {self.quantile:g}" if self.rule == "benign_quantile" else self.rule

    def cut(self, known: Known) -> Cut:
        """Scores as they are.

        Raises:
            ValueError: No validation window, or no benign one for a quantile.
        """
        if self.rule == "max_f1":
            threshold = max_f1_threshold(known.validation, known.attacks)
        elif self.rule == "youden":
            threshold = youden_threshold(known.validation, known.attacks)
        else:
            threshold = quantile_threshold(known.validation, known.attacks, self.quantile)
        return Cut(scores=known.scores, threshold=threshold)


@dataclass(frozen=True, kw_only=True, slots=True)
class AboveLeadIn:
    """Flags what scores clearly higher than anything in the lead-in; no labels."""

    margin: float = 0.25
    """Distance from the highest score: in log-odds of probabilities, of other scores in standard
    deviations of the lead-in's."""

    @property
    def name(self) -> str:
        """``lead_in_highest`` and the margin."""
        return f"lead_in_highest {self.margin:+g}"

    def cut(self, known: Known) -> Cut:
        """Scores on the open scale."""
        scores = known.open_scale(known.scores)
        calm = scores[known.lead_in]
        unit = 1.0 if known.probabilities else float(calm.std())
        value = _just_above(float(calm.max()), self.margin * unit)
        return Cut(scores=scores, threshold=Threshold(value=value, rule="lead_in_highest"))


@dataclass(frozen=True, kw_only=True, slots=True)
class LeadInQuantile:
    """Flags what scores above a quantile of the lead-in; no labels."""

    quantile: float = 0.99
    """Share of the lead-in's windows at or below the threshold."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.quantile <= 1.0:
            raise ValueError(f"quantile must lie in [0, 1] (got {self.quantile})")

    @property
    def name(self) -> str:
        """``lead_in_quantile`` and the quantile."""
        return f"lead_in_quantile {self.quantile:g}"

    def cut(self, known: Known) -> Cut:
        """Scores as they are."""
        calm = known.scores[known.lead_in]
        # One of the scores, never a value between two: the scale of the scores has no say then.
        value = _just_above(float(np.quantile(calm, self.quantile, method="inverted_cdf")))
        return Cut(scores=known.scores, threshold=Threshold(value=value, rule="lead_in_quantile"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Centred:
    """The max-F1 threshold of validation, carried over by where normal traffic scores.

    Scores on the open scale are centred on the median of the capture's lead-in, and in validation
    on the median of the benign windows of each capture; a capture without any is centred on that of
    all of them.
    """

    @property
    def name(self) -> str:
        """``median_centred``."""
        return "median_centred"

    def cut(self, known: Known) -> Cut:
        """Scores on the open scale, less the median of the lead-in.

        Raises:
            ValueError: No validation window.
        """
        validation = known.open_scale(known.validation)
        scores = known.open_scale(known.scores)
        threshold = max_f1_threshold(
            validation - _centres(validation, ~known.attacks, known.origin), known.attacks
        )
        return Cut(scores=scores - np.median(scores[known.lead_in]), threshold=threshold)


POLICIES: tuple[Policy, ...] = (
    Fixed(),
    FromValidation(rule="max_f1"),
    FromValidation(rule="youden"),
    FromValidation(rule="benign_quantile"),
    AboveLeadIn(),
    LeadInQuantile(),
    Centred(),
)
"""Those that a table of thresholds shows, in its order. No single one wins everywhere."""


def _just_above(value: float, margin: float = 0.0) -> float:
    """A threshold that ``value`` itself does not reach."""
    return max(value + margin, float(np.nextafter(value, np.inf)))


def _centres(scores: FloatArray, benign: BoolArray, origin: NDArray[np.str_]) -> FloatArray:
    """Median benign score of the capture of each window ``[N]``."""
    fallback = np.median(scores[benign]) if benign.any() else 0.0
    centres = np.full(scores.size, fallback, dtype=np.float64)
    for capture in np.unique(origin[benign]):
        own = origin == capture
        centres[own] = np.median(scores[own & benign])
    return centres
