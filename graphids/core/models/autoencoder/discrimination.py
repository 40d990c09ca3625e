"""How far the errors of attack windows stand from benign ones in one validation epoch.

These quantities read the labels of attacks, so nothing monitors them unless a study asks for it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphids.core.batch import GraphBatch
from graphids.core.models import scores

SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}
"""Percentiles of the nodes' errors."""
EPSILON = 1e-6


class HiddenErrors:
    """Errors of hidden nodes, gathered over an epoch: means do not depend on the batches."""

    def __init__(self) -> None:
        self._nodes: dict[str, list[Tensor]] = {"benign": [], "attack": []}
        self._windows: dict[str, list[Tensor]] = {"benign": [], "attack": []}

    @torch.no_grad()
    def add(self, error: Tensor, mask: Tensor, batch: GraphBatch) -> None:
        """Adds a batch.

        Args:
            error: Error of each node ``[V]``, in squared scaled units.
            mask: Which nodes were hidden ``[V]``; a window without one is left out.
            batch: Their windows.
        """
        hidden, graph = error[mask], batch.batch[mask]
        judged = torch.bincount(graph, minlength=batch.num_graphs) > 0
        mean = scores.graph_mean(hidden, graph, batch.num_graphs)
        largest = scores.graph_max(hidden, graph, batch.num_graphs)
        windows = torch.stack((mean, largest), dim=-1)
        for name, chosen in (("benign", batch.y == 0), ("attack", batch.y > 0)):
            self._windows[name].append(windows[chosen & judged])
            self._nodes[name].append(hidden[chosen.index_select(0, graph)])

    def values(self) -> dict[str, float]:
        """The epoch's metrics by name; those of a class without a window are left out.

        ``val_recon_{class}`` and ``val_recon_max_{class}``: mean over windows of the mean and of
        the largest error of their hidden nodes. ``val_node_recon_{p50,p95,p99,max}_{class}``:
        percentiles over hidden nodes. With both classes ``val_discrimination_ratio``,
        ``val_discrimination_gap`` and ``val_recon_max_gap``, attack against benign.
        """
        found: dict[str, float] = {}
        for name, parts in self._windows.items():
            windows = torch.cat(parts).double() if parts else torch.empty(0, 2)
            if windows.shape[0] == 0:
                continue
            mean, largest = windows.mean(dim=0).tolist()
            found |= {f"val_recon_{name}": mean, f"val_recon_max_{name}": largest}
            errors = torch.cat(self._nodes[name]).double().cpu().numpy()
            for key, value in zip(SHARES, np.quantile(errors, [*SHARES.values()]), strict=True):
                found[f"val_node_recon_{key}_{name}"] = float(value)
        if {"val_recon_benign", "val_recon_attack"} <= found.keys():
            benign, attack = found["val_recon_benign"], found["val_recon_attack"]
            found |= {
                "val_discrimination_ratio": attack / (benign + EPSILON),
                "val_discrimination_gap": attack - benign,
                "val_recon_max_gap": found["val_recon_max_attack"] - found["val_recon_max_benign"],
            }
        return found
