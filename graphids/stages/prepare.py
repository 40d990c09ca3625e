"""Captures in, packed window graphs out: built once for a dataset, read by every trial on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from graphids.data.datasets import Capture, Dataset, open_dataset
from graphids.data.messages import attack_name
from graphids.data.packed import PackedGraphs
from graphids.data.quarantine import Quarantine
from graphids.data.scaling import ESTIMATORS, fit_scaler
from graphids.data.scopes import SCOPES, vocabulary_of
from graphids.data.splits import Part, audit, class_counts, class_notes, source_boundaries
from graphids.grid.trial import Trial
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.protocol import Demand, Report, Sizes, Stage
from graphids.stages.representation import Built, Representation
from graphids.stages.sizes import measure_sizes

TRAIN_FILE = "train"
PART = "part"
"""Tensor of the training file that tells which part of the split each window belongs to."""
ON_BAD = ("raise", "quarantine")


@dataclass(frozen=True, kw_only=True)
class Prepare:
    """Window graphs of a dataset: split, vocabulary and scaler fitted on training windows alone."""

    name: ClassVar[str] = "prepare"
    version: ClassVar[int] = 2
    seeded: ClassVar[bool] = False

    window: int = 100
    """Messages in a window."""
    stride: int = 100
    """Messages between the starts of two windows."""
    scaler: str = "z"
    """How features are scaled; fitted on benign training windows."""
    vocabulary: str = "train"
    """Whose ids are known: training windows, benign ones among them, or (for ablation) all."""
    sequence_length: int = 1
    """Windows of a sequence, of which the last one is judged; 1 for windows that stand alone."""
    sequence_stride: int = 1
    """Windows between the starts of two sequences."""
    scales: tuple[int, ...] = ()
    """Messages in a window at each of several scales; empty for windows of one length."""
    relative_inputs: bool = False
    """Whether nodes are described relative to their id's profile in the capture's lead-in."""
    lead_in_s: float = 5.0
    """Length of that lead-in in seconds."""
    on_bad: str = "raise"
    """Whether a row that cannot be read stops the trial, or is left out and counted."""
    max_bad_share: float = 0.001
    """Share of a capture's rows that may be left out at most."""

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("scaler", self.scaler, tuple(ESTIMATORS)),
            ("vocabulary", self.vocabulary, SCOPES),
            ("on_bad", self.on_bad, ON_BAD),
        ):
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)} (got {value!r})")
        if not 0.0 <= self.max_bad_share < 1.0:
            raise ValueError(f"max_bad_share must lie in [0, 1) (got {self.max_bad_share})")
        self.representation()

    def representation(self) -> Representation:
        """What a graph is made of.

        Raises:
            ValueError: windows, sequences or scales that cannot be cut.
        """
        return Representation(
            window=self.window,
            stride=self.stride,
            sequence_length=self.sequence_length,
            sequence_stride=self.sequence_stride,
            scales=self.scales,
            relative_inputs=self.relative_inputs,
            lead_in_s=self.lead_in_s,
        )

    def single_windows(self) -> Prepare:
        """The same preparation with windows of one length that stand alone."""
        return replace(self, sequence_length=1, sequence_stride=1, scales=())

    def shape(self) -> Prepare:
        """The same preparation with the standard scaler: graphs of the same sizes."""
        return replace(self, scaler="z", on_bad="raise", max_bad_share=0.001)

    def upstream(self) -> Mapping[str, Stage]:
        """Nothing: this stage reads the captures."""
        return {}

    def demand(self, inputs: Sizes) -> Demand:
        """One core; mostly parsing."""
        return Demand(cost=2.0, output_bytes=inputs.data_bytes)

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
        accounts: dict[str, dict[str, Any]] = {}
        built = {
            split: self._build(captures, accounts)
            for split, captures in {TRAIN_FILE: dataset.train, **dataset.tests}.items()
        }
        train = built[TRAIN_FILE].windows
        window_part = self.representation().split(train)
        vocabulary = vocabulary_of(
            train, window_part, [built[name].windows for name in dataset.tests], self.vocabulary
        )
        scaler = fit_scaler(train, window_part == Part.TRAIN, self.scaler)
        graphs = {name: found.graphs(scaler, vocabulary) for name, found in built.items()}
        part = built[TRAIN_FILE].graph_part(window_part)
        beside = {name: dict(found.beside) for name, found in built.items()}
        beside[TRAIN_FILE][PART] = part
        header = {"num_ids": str(vocabulary.num_ids)}
        counts = class_counts(graphs[TRAIN_FILE], part)
        report({"windows": float(sum(map(len, graphs.values())))})
        return Handoff(
            files={
                **{
                    name: TensorFile({**found.tensors(), **beside[name]}, header)
                    for name, found in graphs.items()
                },
                "scaler": TensorFile(scaler.tensors()),
            },
            meta={
                "num_ids": vocabulary.num_ids,
                "vocabulary": vocabulary.to_json(),
                "tests": list(dataset.tests),
                "captures": _capture_names(dataset),
                "attack_names": _attack_names(graphs.values()),
                "windows": counts,
                "sizes": measure_sizes(
                    graphs[TRAIN_FILE], part, {name: graphs[name] for name in dataset.tests}
                ),
                "audit": audit(graphs[TRAIN_FILE], part),
                "source_boundaries": source_boundaries(graphs[TRAIN_FILE], self.stride),
                "rows": accounts,
                "notes": [*dataset.notes, *class_notes(counts)],
            },
        )

    def _build(self, captures: Sequence[Capture], accounts: dict[str, dict[str, Any]]) -> Built:
        """Windows of several captures; ``accounts`` takes how many rows of each were read.

        Raises:
            ValueError: if more rows of a capture are left out than ``max_bad_share`` allows.
        """
        tables = []
        for capture in captures:
            if self.on_bad == "quarantine":
                table, account = capture.read_quarantined()
            else:
                table = capture.read()
                account = Quarantine(rows_in=table.height, rows_kept=table.height)
            if account.bad_share > self.max_bad_share:
                raise ValueError(
                    f"{capture.name}: {account}; a share of {account.bad_share:.2%} is above "
                    f"max_bad_share ({self.max_bad_share:.2%}): repair the log or raise it"
                )
            tables.append(table)
            accounts[capture.name] = {
                "in": account.rows_in,
                "kept": account.rows_kept,
                "bad": dict(account.bad),
            }
        return self.representation().build(tables)


def _capture_names(dataset: Dataset) -> dict[str, list[str]]:
    """Names of the captures behind each file, in the order of their index."""
    groups = {TRAIN_FILE: dataset.train, **dataset.tests}
    return {split: [capture.name for capture in captures] for split, captures in groups.items()}


def _attack_names(parts: Iterable[PackedGraphs]) -> dict[str, str]:
    """Name of every attack code that occurs; keys are text, as JSON has them."""
    codes = sorted({code for graphs in parts for code in graphs.attack_type.unique().tolist()})
    return {str(code): attack_name(code) for code in codes}
