"""Where a detector puts windows: its embedding in a plane, and how far apart the classes are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch

from graphids.core.analysis.projection import neighbour_map, principal_plane, separation
from graphids.data.splits import Part
from graphids.grid.trial import Trial
from graphids.stages.analyse_models import LIGHT, batches_of, embedding
from graphids.stages.dataset import Prepared
from graphids.stages.detect import load_detector
from graphids.stages.evaluation import VALIDATION
from graphids.stages.extract import thinned
from graphids.stages.handoff import Handoff, TensorFile
from graphids.stages.protocol import Demand, Report, Sizes, Stage
from graphids.stages.record import Detector

EMBEDDINGS_FILE = "embeddings"
METHODS = ("pca", "tsne")
"""Ways into the plane: the largest variance, or near windows near one another."""


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """Some validation and test windows as a trained detector embeds them."""

    name: ClassVar[str] = "embeddings"
    version: ClassVar[int] = 1
    seeded: ClassVar[bool] = True

    detector: Detector
    """The stage that trains the detector."""
    windows: int = 2000
    """Most windows, as many of each test subset as of validation; drawn at random."""
    method: str = "pca"
    """Way into the plane: a name of ``METHODS``; ``tsne`` takes several times as long."""

    def __post_init__(self) -> None:
        if self.windows < 1:
            raise ValueError(f"windows must be at least 1 (got {self.windows})")
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)} (got {self.method!r})")

    def upstream(self) -> Mapping[str, Stage]:
        """The prepared dataset and the detector."""
        return {"data": self.detector.data, "detector": self.detector}

    def demand(self, inputs: Sizes) -> Demand:
        """A core, for seconds."""
        return LIGHT

    def run(self, trial: Trial, inputs: Mapping[str, Handoff], report: Report) -> Handoff:
        """Embeds windows, and measures the classes in all dimensions: the plane is for the eye."""
        prepared, model = Prepared.of(inputs["data"]), load_detector(inputs["detector"])
        seed = trial.seed or 0
        chance = torch.Generator().manual_seed(seed)
        budget = self.detector.batch.within(trial.holds)
        places = {VALIDATION: (prepared.train, prepared.index(Part.CALIBRATION))}
        for name, graphs in prepared.tests.items():
            places[name] = (graphs, torch.arange(len(graphs)))
        places = {name: place for name, place in places.items() if len(place[1])}
        most = max(1, self.windows // max(1, len(places)))
        vectors, labels, attacks, splits = [], [], [], []
        with torch.no_grad():
            for position, (graphs, candidates) in enumerate(places.values()):
                index = thinned(candidates, most, chance)
                batches = batches_of(graphs, budget, index)
                vectors += [embedding(model, batch).cpu() for batch in batches]
                labels.append(graphs.y[index])
                attacks.append(graphs.attack_type[index])
                splits.append(torch.full_like(index, position))
        x, y, split = torch.cat(vectors), torch.cat(labels), torch.cat(splits)
        plane = principal_plane(x) if self.method == "pca" else neighbour_map(x, seed)
        report({"windows": float(len(x))})
        apart = {
            name: separation(x[split == position], y[split == position])
            for position, name in enumerate(places)
        }
        tensors = {
            "xy": plane.xy, "label": y, "attack_type": torch.cat(attacks), "split": split
        }  # fmt: skip
        return Handoff(
            files={EMBEDDINGS_FILE: TensorFile(tensors)},
            meta={
                "splits": list(places),
                "attack_names": {str(code): n for code, n in prepared.attack_names.items()},
                "method": self.method,
                "dimensions": x.shape[1],
                "explained": None if plane.explained is None else list(plane.explained),
                "silhouette": separation(x, y),
                "silhouettes": apart,
            },
        )
