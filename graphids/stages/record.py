"""What a trained detector says of every training window, computed once for all who read it.

A teacher's outputs over a fixed training set do not change from step to step, nor does the
difficulty of a window for a curriculum: they are computed here and handed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from graphids.core.batch import GraphBatch
from graphids.core.budget import Budget
from graphids.core.losses import RecordedLogits, RecordedNodes
from graphids.core.memory import trial_device
from graphids.core.models import GAT, VGAE
from graphids.core.models.base import GraphModuleBase
from graphids.core.models.scores import graph_mean, node_error
from graphids.data.loader import BudgetLoader
from graphids.grid.trial import Trial
from graphids.stages.dataset import Prepared
from graphids.stages.demands import scoring_demand
from graphids.stages.detect import load_detector
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.prepare import Prepare
from graphids.stages.protocol import SCORE, Demand, Measured, Report, Sizes, Stage
from graphids.stages.sizes import CAPTURES
from graphids.stages.training import move

RECORD_FILE = "record"


class Detector(Stage, Protocol):
    """A stage that trains a detector on a prepared dataset."""

    @property
    def data(self) -> Prepare:
        """The prepared dataset."""

    @property
    def batch(self) -> Budget:
        """Nodes and edges of one step."""

    def shape(self) -> Detector:
        """What its memory and the time of its steps depend on."""

    def probe(self, data: Handoff) -> Measured:
        """Measures a few of its steps."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A pass of a trained detector over all windows of the training captures."""

    name: ClassVar[str] = "record"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = True

    detector: Detector
    """The stage that trains the detector: a VGAE or a GAT."""
    nodes: bool = False
    """Whether the latent mean and the reconstruction of each node are kept: distillation of an
    autoencoder reads them, a curriculum does not."""

    def require(
        self, role: str, data: Prepare, *, detector: str | None = None, nodes: bool = False
    ) -> None:
        """Raises unless this record can serve a stage on ``data``.

        Raises:
            ValueError: Another dataset, another kind of detector, or no nodes where they are read.
        """
        if self.detector.data != data:
            raise ValueError(
                f"the {role} was recorded on another prepared dataset than the stage reads "
                f"({self.detector.data} and {data}); set the same `data` in both"
            )
        if detector is not None and self.detector.name != detector:
            raise ValueError(
                f"the {role} is a {self.detector.name!r} stage, and a {detector!r} stage is needed"
            )
        if nodes and not self.nodes:
            raise ValueError(f"the {role} needs the nodes' latents; record it with nodes=True")

    def upstream(self) -> Mapping[str, Stage]:
        """The prepared dataset and the detector."""
        return {"data": self.detector.data, "detector": self.detector}

    def demand(self, inputs: Sizes) -> Demand:
        """One pass over the training captures."""
        return scoring_demand(inputs, self.detector.batch, (CAPTURES,), self._window_bytes, 1.0)

    @property
    def _window_bytes(self) -> int:
        """Bytes that are kept of a window, some forty nodes with sixty numbers each or a few."""
        return 40 * 60 * 4 if self.nodes else 32

    def shape(self) -> Record:
        """The detector's shape, and whether nodes are kept."""
        return Record(detector=self.detector.shape(), nodes=self.nodes)

    def probe(self, data: Handoff) -> Measured:
        """Measures a pass of the detector, which is that of its own scores."""
        found = self.detector.probe(data)
        return replace(found, steps={SCORE: found.steps[SCORE]})

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        """Runs the detector over every window, validation blocks included.

        Raises:
            TypeError: A detector that is neither a VGAE nor a GAT.
        """
        prepared, model = Prepared.of(inputs["data"]), load_detector(inputs["detector"])
        rows: dict[str, list[Tensor]] = {}
        loader = BudgetLoader(prepared.train, self.detector.batch.within(trial.holds))
        with torch.no_grad():
            for batch in move(loader, trial_device()):
                for name, values in _said(model, batch, self.nodes).items():
                    rows.setdefault(name, []).append(values.cpu())
        report({"windows": float(len(prepared.train))})
        tensors = {name: torch.cat(parts) for name, parts in rows.items()}
        return Handoff(files={RECORD_FILE: TensorFile(tensors)}, meta={"nodes": self.nodes})


def difficulty(handoff: Handoff, prepared: Prepared) -> Tensor:
    """How hard each training window is ``[G]``: reconstruction error, or cross-entropy.

    Raises:
        ValueError: The record is of another number of windows.
    """
    found = handoff.files[RECORD_FILE].tensors["difficulty"]
    if len(found) != len(prepared.train):
        raise ValueError(
            f"the record holds {len(found)} windows, the dataset {len(prepared.train)}; "
            "record the detector on the same prepared dataset"
        )
    return found


def recorded_logits(handoff: Handoff) -> RecordedLogits:
    """A classifier's logits as a ready teacher."""
    return RecordedLogits(handoff.files[RECORD_FILE].tensors["logits"])


def recorded_nodes(handoff: Handoff, prepared: Prepared) -> RecordedNodes:
    """An autoencoder's latents and reconstructions as a ready teacher."""
    tensors = handoff.files[RECORD_FILE].tensors
    return RecordedNodes(tensors["mu"], tensors["reconstruction"], prepared.train.node_offsets)


def _said(model: GraphModuleBase, batch: GraphBatch, nodes: bool) -> dict[str, Tensor]:
    """What a detector says of a batch."""
    if isinstance(model, GAT):
        logits = model(batch)
        assert isinstance(logits, Tensor)
        return {
            "logits": logits,
            "difficulty": functional.cross_entropy(logits.double(), batch.y, reduction="none"),
        }
    if isinstance(model, VGAE):
        outputs = model(batch)
        error = node_error(batch.x, outputs.reconstruction)
        said = {"difficulty": graph_mean(error, batch.batch, batch.num_graphs).double()}
        # In evaluation mode the latent is its mean.
        return said | ({"mu": outputs.z, "reconstruction": outputs.reconstruction} if nodes else {})
    raise TypeError(
        f"a {type(model).__name__} cannot be recorded; a scorer or teacher is a VGAE or a GAT"
    )
