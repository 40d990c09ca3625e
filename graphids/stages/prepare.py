"""Captures in, packed window graphs out: built once for a dataset, read by every trial on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from graphids.data.datasets import Capture, Dataset, open_dataset
from graphids.data.messages import attack_name
from graphids.data.packed import PackedGraphs, build_graphs, concatenate
from graphids.data.scaling import ESTIMATORS, fit_scaler
from graphids.data.splits import Part, audit, class_counts, class_notes, split
from graphids.data.vocabulary import Vocabulary
from graphids.data.windows import check_window, overlap_reach
from graphids.grid.trial import Trial
from graphids.stages.evaluation import floor_metrics
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.protocol import Demand, Report, Sizes, Stage

TRAIN_FILE = "train"
PART = "part"
"""Tensor of the training file that tells which part of the split each window belongs to."""


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Window graphs of a dataset: split, vocabulary and scaler fitted on training windows alone."""

    name: ClassVar[str] = "prepare"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = False

    window: int = 100
    """Messages in a window."""
    stride: int = 100
    """Messages between the starts of two windows."""
    scaler: str = "z"
    """How features are scaled; fitted on benign training windows."""

    def __post_init__(self) -> None:
        check_window(self.window, self.stride)
        if self.scaler not in ESTIMATORS:
            raise ValueError(f"scaler must be one of {', '.join(ESTIMATORS)} (got {self.scaler!r})")

    def upstream(self) -> Mapping[str, Stage]:
        """Nothing: this stage reads the captures."""
        return {}

    def demand(self, inputs: Sizes) -> Demand:
        """One core; mostly parsing."""
        return Demand(cost=2.0)

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        """Builds, splits, encodes and scales the graphs of every capture.

        Raises:
            ValueError: if the captures are not those that the plan was made for.
        """
        dataset = open_dataset(trial.dataset, trial.data_root)
        if dataset.digest != trial.dataset_digest:
            raise ValueError(
                f"the captures of {trial.dataset!r} changed since the plan was made "
                f"(digest {dataset.digest[:12]}, planned {trial.dataset_digest[:12]}); run again"
            )
        train = self._graphs(dataset.train)
        part = split(train, overlap_reach(self.window, self.stride))
        training = part == Part.TRAIN
        vocabulary = Vocabulary.from_ids(
            train.arbitration_id[training.repeat_interleave(train.num_nodes)]
        )
        train = train.with_vocabulary(vocabulary)
        scaler = fit_scaler(train, training, self.scaler)
        tests = {
            subset: scaler.apply(self._graphs(captures).with_vocabulary(vocabulary))
            for subset, captures in dataset.tests.items()
        }
        counts = class_counts(train, part)
        files = {TRAIN_FILE: _graph_file(scaler.apply(train), {PART: part})}
        files |= {subset: _graph_file(graphs) for subset, graphs in tests.items()}
        files["scaler"] = TensorFile(scaler.tensors())
        report({"windows": float(len(train) + sum(len(graphs) for graphs in tests.values()))})
        return Handoff(
            files=files,
            meta={
                "num_ids": vocabulary.num_ids,
                "vocabulary": vocabulary.to_json(),
                "tests": list(tests),
                "captures": _capture_names(dataset),
                "attack_names": _attack_names(train, *tests.values()),
                "windows": counts,
                "audit": audit(train, part),
                "notes": [*dataset.notes, *class_notes(counts)],
            },
            metrics=floor_metrics(trial.fingerprint, {name: g.y for name, g in tests.items()}),
        )

    def _graphs(self, captures: tuple[Capture, ...]) -> PackedGraphs:
        """Unscaled graphs of several captures; no window crosses from one into the next."""
        return concatenate(
            [build_graphs(capture.read(), self.window, self.stride) for capture in captures]
        )


def _graph_file(graphs: PackedGraphs, extra: Mapping[str, Tensor] | None = None) -> TensorFile:
    """Packed graphs as a tensor file."""
    return TensorFile({**graphs.tensors(), **(extra or {})}, {"num_ids": str(graphs.num_ids)})


def _capture_names(dataset: Dataset) -> dict[str, list[str]]:
    """Names of the captures behind each file, in the order of their index."""
    names = {TRAIN_FILE: [capture.name for capture in dataset.train]}
    return names | {
        subset: [capture.name for capture in captures] for subset, captures in dataset.tests.items()
    }


def _attack_names(*parts: PackedGraphs) -> dict[str, str]:
    """Name of every attack code that occurs; keys are text, as JSON has them."""
    codes = sorted({code for graphs in parts for code in graphs.attack_type.unique().tolist()})
    return {str(code): attack_name(code) for code in codes}
