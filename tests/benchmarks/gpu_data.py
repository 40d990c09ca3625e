"""Windows and models for the figures of a GPU; nothing here needs one.

Everything is simulated, so that the script runs on any machine as it is.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from graphids.core.batch import GraphBatch
from graphids.core.budget import Budget
from graphids.core.models.autoencoder.dgi import DGI, DGIConfig
from graphids.core.models.autoencoder.vgae import VGAE, VGAEConfig
from graphids.core.models.supervised.gat import GAT, GATConfig
from graphids.data.loader import gather_batch
from graphids.data.packed import PackedGraphs, build_graphs, concatenate
from graphids.data.scaling import fit_scaler
from graphids.data.simulate import simulate_capture
from graphids.data.simulate_settings import SIMULATED
from graphids.data.vocabulary import Vocabulary

Detector = GAT | VGAE | DGI
BATCH = Budget(nodes=4096, edges=16384)
"""Nodes and edges of one optimiser step, as the shipped grids have them."""
MODELS: Mapping[str, GATConfig | VGAEConfig | DGIConfig] = {
    "GAT small": GATConfig(),
    "GAT large": GATConfig(scale="large"),
    "GAT gps": GATConfig(conv="gps"),
    "VGAE small": VGAEConfig(),
    "DGI": DGIConfig(),
}
PACKED = ("VGAE small", "GAT small")
"""Models whose trials share a card."""
LENGTHS = (50, 100, 200)
"""Messages of the windows that no probe has seen."""


def windows() -> PackedGraphs:
    """Scaled windows of the training captures of the small simulated dataset."""
    captures = [c for c in SIMULATED["sim_small"] if c.subset.startswith("train")]
    found = concatenate([build_graphs(simulate_capture(capture)) for capture in captures])
    return fit_scaler(found, torch.ones(len(found), dtype=torch.bool)).apply(found)


def unseen(known: PackedGraphs, sizes: tuple[int, ...]) -> list[GraphBatch]:
    """Batches of the test captures, cut into windows of ``LENGTHS``, on the CPU.

    Args:
        known: Training windows, for their vocabulary and their scale.
        sizes: Windows of the batches, for each length; they are drawn with repeats.
    """
    vocabulary = Vocabulary.from_ids(known.arbitration_id)
    messages = [
        simulate_capture(capture)
        for capture in SIMULATED["sim_small"]
        if capture.subset.startswith("test")
    ]
    generator = torch.Generator().manual_seed(1)
    found = []
    for length in LENGTHS:
        pool = concatenate([build_graphs(m, length, length) for m in messages], vocabulary)
        scaled = fit_scaler(pool, torch.ones(len(pool), dtype=torch.bool)).apply(pool)
        for size in sizes:
            index = torch.randint(len(scaled), (size,), generator=generator)
            found.append(gather_batch(scaled, index))
    return found


def untrained(name: str, graphs: PackedGraphs) -> Detector:
    """A model by its name, its weights drawn from a fixed seed."""
    torch.manual_seed(0)
    return MODELS[name].build(num_ids=graphs.num_ids, in_channels=graphs.num_features)
