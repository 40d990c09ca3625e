"""From scores to rows: one threshold from validation, then the metrics of every test subset."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import torch
from torch import Tensor

from graphids.core.batch import GraphBatch
from graphids.core.thresholds import Threshold, max_f1_threshold
from graphids.data.packed import PackedGraphs
from graphids.store.results import SCORES_SCHEMA
from graphids.store.tabulated import tabulate

VALIDATION = "validation"
"""Split on which thresholds are chosen: the second half of the validation blocks."""


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Where the windows of a split lie and what they are."""

    label: Tensor
    """1 where the window holds an attack ``[G]``."""
    attack_type: Tensor
    """Attack code ``[G]``."""
    capture: Tensor
    """Index of the capture among ``captures`` ``[G]``."""
    first_message: Tensor
    """Row of the first message in its capture ``[G]``."""
    start_ns: Tensor
    """Time of the first message since that of its capture ``[G]``, nanoseconds."""
    captures: Sequence[str]
    """Names of the captures."""

    @classmethod
    def of(cls, graphs: PackedGraphs, captures: Sequence[str]) -> Windows:
        """The windows of a packed dataset."""
        return cls(
            label=graphs.y,
            attack_type=graphs.attack_type,
            capture=graphs.capture,
            first_message=graphs.first_message,
            start_ns=graphs.start_ns,
            captures=captures,
        )

    def select(self, index: Tensor) -> Windows:
        """Some of the windows, in the order of ``index``."""
        return Windows(
            label=self.label[index],
            attack_type=self.attack_type[index],
            capture=self.capture[index],
            first_message=self.first_message[index],
            start_ns=self.start_ns[index],
            captures=self.captures,
        )


def score_all(
    score: Callable[[GraphBatch], Tensor], batches: Iterable[GraphBatch], num_graphs: int
) -> Tensor:
    """Scores of a whole packed dataset ``[G]``, float64, NaN where no batch held the graph."""
    scores = torch.full((num_graphs,), torch.nan, dtype=torch.float64)
    for batch in batches:
        scores[batch.graph_index.cpu()] = score(batch).detach().double().cpu()
    return scores


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A split with a score for each of its windows."""

    windows: Windows
    scores: Tensor


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Metrics and scores of a trial, ready for its handoff."""

    metrics: pl.DataFrame
    scores: pl.DataFrame
    threshold: Threshold

    def facts(self) -> dict[str, Any]:
        """The threshold, the rule behind it and what to know of it, for the manifest."""
        return {
            "threshold": self.threshold.value,
            "threshold_rule": self.threshold.rule,
            "threshold_note": self.threshold.note,
        }


def evaluate(
    fingerprint: str,
    validation: Scored,
    tests: Mapping[str, Scored],
    attack_names: Mapping[int, str],
    threshold: Threshold | None = None,
) -> Evaluation:
    """Chooses the threshold on validation and tabulates validation and every test subset.

    Args:
        fingerprint: Trial whose output holds the rows.
        validation: Second half of the validation blocks, scored.
        tests: Test subsets, scored.
        attack_names: Name of each attack code.
        threshold: A threshold that the detector has by its definition; none chooses one.

    Raises:
        FloatingPointError: if a score is not finite; names the split and how many.
    """
    for name, split in {VALIDATION: validation, **tests}.items():
        broken = int((~split.scores.isfinite()).sum())
        if broken:
            raise FloatingPointError(
                f"{broken} of {len(split.scores)} scores of split {name!r} are not finite; "
                "the model diverged: lower the learning rate or clip its gradient"
            )
    if threshold is None:
        threshold = max_f1_threshold(validation.scores, validation.windows.label)
    splits = {VALIDATION: validation, **tests}
    scores = pl.concat([_score_frame(name, split) for name, split in splits.items()])
    return Evaluation(
        metrics=tabulate(fingerprint, scores, threshold.value, attack_names, splits),
        scores=scores,
        threshold=threshold,
    )


def _score_frame(name: str, split: Scored) -> pl.DataFrame:
    """Scores of one split, one row a window."""
    windows = split.windows
    return pl.DataFrame(
        {
            "split": [name] * len(split.scores),
            "capture": [windows.captures[i] for i in windows.capture.tolist()],
            "first_message": windows.first_message.tolist(),
            "start_ns": windows.start_ns.tolist(),
            "label": windows.label.tolist(),
            "attack_type": windows.attack_type.tolist(),
            "score": split.scores.tolist(),
        },
        schema=SCORES_SCHEMA,
    )
