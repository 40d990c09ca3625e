"""Teachers of a distillation: what a trained model said of a fixed dataset, computed once.

A teacher is a callable of a batch. Those here look its windows up by ``graph_index``, so that no
model runs beside the student. The record stays where it is, the rows go to the batch's device.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphids.core.batch import GraphBatch
from graphids.core.losses.records import recorded_rows


class RecordedLogits:
    """Logits that a teacher gave each window of a dataset."""

    def __init__(self, logits: Tensor) -> None:
        """Keeps ``logits [N, K]`` of the ``N`` windows of the packed dataset, in its order.

        Raises:
            ValueError: The tensor has another number of axes.
        """
        if logits.dim() != 2:
            raise ValueError(f"logits must be [N, K] (got shape {tuple(logits.shape)})")
        self.logits = logits.detach()

    def __call__(self, graph: GraphBatch) -> Tensor:
        """Logits ``[G, K]`` of the windows of ``graph``, on its device.

        Raises:
            ValueError: A window was not recorded.
        """
        rows = recorded_rows(graph, len(self.logits), "teacher's logits", self.logits.device)
        return self.logits.index_select(0, rows).to(graph.y.device)


class TeacherNodes(NamedTuple):
    """What an autoencoder says of the nodes of a batch, none of them hidden."""

    mu: Tensor
    """Mean latent of each node ``[V, L]``."""
    reconstruction: Tensor
    """Reconstructed features ``[V, F]``."""


class RecordedNodes:
    """Latent means and reconstructions that a teacher gave each node of a dataset."""

    def __init__(self, mu: Tensor, reconstruction: Tensor, node_offsets: Tensor) -> None:
        """Keeps the rows of all nodes of the packed dataset, in its order.

        Args:
            mu: Mean latent of each node ``[V, L]``.
            reconstruction: Reconstructed features ``[V, F]``.
            node_offsets: First node of each window and the end ``[N + 1]``, int64.

        Raises:
            ValueError: The tensors speak of different numbers of nodes.
        """
        ends = (int(node_offsets[0]), int(node_offsets[-1]))
        if ends != (0, len(mu)) or len(reconstruction) != len(mu):
            raise ValueError(
                f"mu has {len(mu)} nodes, reconstruction {len(reconstruction)}, and node_offsets "
                f"run from {ends[0]} to {ends[1]}; give the rows of every node of one dataset"
            )
        self.mu = mu.detach()
        self.reconstruction = reconstruction.detach()
        self.node_offsets = node_offsets.to(mu.device)

    def __call__(self, graph: GraphBatch) -> TeacherNodes:
        """Rows of the nodes of ``graph``, in its order and on its device.

        Raises:
            ValueError: A window was not recorded, or with another number of nodes.
        """
        record = self.mu.device
        windows = recorded_rows(graph, len(self.node_offsets) - 1, "teacher's nodes", record)
        ptr = graph.ptr.to(record)
        first = self.node_offsets.index_select(0, windows)
        count = self.node_offsets.index_select(0, windows + 1) - first
        differs = count != ptr.diff()
        if bool(differs.any()):
            at = int(differs.nonzero()[0])
            raise ValueError(
                f"window {int(windows[at])} has {int(ptr[at + 1] - ptr[at])} nodes, recorded were "
                f"{int(count[at])}: the teacher's nodes were recorded on another dataset; record "
                "them on the packed dataset that these batches come from"
            )
        shift = (first - ptr[:-1]).repeat_interleave(count, output_size=graph.num_nodes)
        nodes = shift + torch.arange(graph.num_nodes, device=record)
        return TeacherNodes(
            self.mu.index_select(0, nodes).to(graph.x.device),
            self.reconstruction.index_select(0, nodes).to(graph.x.device),
        )
