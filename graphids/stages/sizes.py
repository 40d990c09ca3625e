"""How large the parts of a prepared dataset are: kept in its manifest, read by every demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from graphids.data.packed import PackedGraphs
from graphids.data.splits import Part
from graphids.stages.protocol import TRAIN, Extent, Sizes

CAPTURES, BENIGN, STOP, CALIBRATION, TESTS = (
    "captures",
    "benign",
    "stop",
    "calibration",
    "tests",
)
"""Parts whose sizes are kept, beside ``TRAIN``: all windows of the training captures, benign
training windows, both halves of validation, every test subset together."""


def measure_sizes(
    train: PackedGraphs, part: Tensor, tests: Mapping[str, PackedGraphs]
) -> dict[str, Any]:
    """Sizes of a prepared dataset, as plain JSON values for its manifest."""
    in_training = part == Part.TRAIN
    chosen = {
        CAPTURES: torch.ones_like(in_training),
        TRAIN: in_training,
        BENIGN: in_training & (train.y == 0),
        STOP: part == Part.STOP,
        CALIBRATION: part == Part.CALIBRATION,
    }
    parts = {name: _extent([(train, mask)]) for name, mask in chosen.items()}
    whole = [(graphs, torch.ones(len(graphs), dtype=torch.bool)) for graphs in tests.values()]
    parts[TESTS] = _extent(whole)
    size = train.nbytes + sum(graphs.nbytes for graphs in tests.values())
    return {"parts": {name: asdict(extent) for name, extent in parts.items()}, "bytes": size}


def _extent(groups: Sequence[tuple[PackedGraphs, Tensor]]) -> Extent:
    """Size of some graphs, each group's those in its mask ``[G]``."""
    found = Extent(graphs=0, nodes=0, edges=0, loops=0, largest=0)
    for graphs, mask in groups:
        nodes, edges = graphs.num_nodes[mask], graphs.num_edges[mask]
        looped = (graphs.edge_index[0] == graphs.edge_index[1]).cumsum(0)
        before = torch.cat((looped.new_zeros(1), looped))[graphs.edge_offsets]
        found = Extent(
            graphs=found.graphs + int(mask.sum()),
            nodes=found.nodes + int(nodes.sum()),
            edges=found.edges + int(edges.sum()),
            loops=found.loops + int(before.diff()[mask].sum()),
            largest=max([found.largest, *nodes.unique()[-1:].tolist()]),
        )
    return found


def read_sizes(meta: Mapping[str, Any]) -> Sizes | None:
    """Sizes from the facts of a ``prepare`` trial; none where they are not among them."""
    found = meta.get("sizes")
    if found is None:
        return None
    parts = {name: Extent(**extent) for name, extent in found["parts"].items()}
    return Sizes(parts=parts, data_bytes=found["bytes"])
