"""The prepared dataset as a data module, from the handoff of ``prepare``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphids.core.budget import Budget
from graphids.data.datamodule import GraphDataModule
from graphids.data.packed import PackedGraphs
from graphids.data.splits import Part
from graphids.stages.evaluation import Windows
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.prepare import PART, TRAIN_FILE
from graphids.stages.protocol import Sizes
from graphids.stages.representation import LEAD_IN, POOLED
from graphids.stages.sizes import measure_sizes, read_sizes


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """Everything that a later stage reads of a prepared dataset."""

    train: PackedGraphs
    """Windows of the training captures, validation blocks included."""
    part: Tensor
    """Part of the split that each of them belongs to ``[G]``."""
    tests: dict[str, PackedGraphs]
    """Windows of each test subset."""
    captures: dict[str, list[str]]
    """Names of the captures behind ``train`` and behind each subset."""
    attack_names: dict[int, str]
    """Name of each attack code."""

    @property
    def sizes(self) -> Sizes:
        """How large its parts are."""
        return read_sizes({"sizes": measure_sizes(self.train, self.part, self.tests)}) or Sizes()

    @classmethod
    def of(cls, handoff: Handoff) -> Prepared:
        """Reads the handoff of a ``prepare`` trial."""
        train = handoff.files[TRAIN_FILE]
        return cls(
            train=_graphs(train),
            part=train.tensors[PART],
            tests={name: _graphs(handoff.files[name]) for name in handoff.meta["tests"]},
            captures=handoff.meta["captures"],
            attack_names={int(code): name for code, name in handoff.meta["attack_names"].items()},
        )

    def data_module(
        self,
        budget: Budget,
        seed: int,
        *,
        benign_only: bool = False,
        index: Tensor | None = None,
        holds: tuple[int, int] | None = None,
    ) -> GraphDataModule:
        """Loaders under a budget, shuffled by ``seed``, over the training windows at ``index``.

        With ``holds``, nodes and edges, evaluation batches are no larger than the device allows.
        """
        return GraphDataModule(
            self.train,
            self.part,
            self.tests,
            budget,
            seed=seed,
            benign_only=benign_only,
            index=index,
            holds=holds,
        )

    def windows(self, split: str) -> Windows:
        """Where the windows of ``train`` or of a test subset lie."""
        graphs = self.train if split == TRAIN_FILE else self.tests[split]
        return Windows.of(graphs, self.captures[split])

    def index(self, part: Part) -> Tensor:
        """Positions in ``train`` of the windows of one part."""
        return torch.nonzero(self.part == part).flatten()

    def part_windows(self, part: Part) -> Windows:
        """Where the windows of one part of ``train`` lie."""
        return self.windows(TRAIN_FILE).select(self.index(part))


def _graphs(file: TensorFile) -> PackedGraphs:
    """Packed graphs of a tensor file; the tensors are shared, not copied."""
    beside = {PART, POOLED, LEAD_IN}
    tensors = {name: tensor for name, tensor in file.tensors.items() if name not in beside}
    return PackedGraphs.from_tensors(tensors, num_ids=int(file.header["num_ids"]))
