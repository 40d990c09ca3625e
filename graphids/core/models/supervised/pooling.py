"""Nodes into windows: over all nodes of a window, or step by step where a window is a sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch_geometric.nn import MultiAggregation
from torch_geometric.utils import scatter, softmax, to_dense_batch

POOLINGS: Mapping[str, list[str] | None] = {
    "mean": None,
    "max": ["max"],
    "multi": ["mean", "max", "std"],
}
"""Aggregations of each pooling name; none is the plain mean."""
SEQUENCE_POOLS = ("auto", "flat", "mean", "attention", "gru")
"""How the steps of a sequence become one window; ``auto`` is ``mean``, ``flat`` ignores steps."""


class WindowPool(nn.Module):
    """Pooled nodes of each window, ``out_dim`` wide.

    Each step of a sequence is pooled by itself; then the steps that are there are averaged, weighed
    by additive attention (Bahdanau et al. 2015), or read in order by a GRU whose last state is the
    window. A step without a node is left out wherever it stands.
    """

    def __init__(self, aggregations: Sequence[str], width: int, sequence_pool: str) -> None:
        """Builds the layers that the setting asks for; ``width`` is that of the nodes."""
        super().__init__()
        self.out_dim = width * len(aggregations)
        self.nodes = MultiAggregation(list(aggregations))
        self.averages = list(aggregations) == ["mean"]
        self.stepwise = sequence_pool != "flat"
        self.attention: nn.Module | None = None
        self.gru: nn.GRU | None = None
        if sequence_pool == "attention":
            hidden = nn.Linear(self.out_dim, self.out_dim)
            self.attention = nn.Sequential(hidden, nn.Tanh(), nn.Linear(self.out_dim, 1))
        elif sequence_pool == "gru":
            self.gru = nn.GRU(self.out_dim, self.out_dim, batch_first=True)

    def forward(self, x: Tensor, graph: Tensor, step: Tensor | None, num_graphs: int) -> Tensor:
        """Windows ``[G, out_dim]``, each with a node at least.

        Args:
            x: Nodes ``[V, width]``.
            graph: Graph of each node ``[V]``, ascending.
            step: Step of each node in its sequence ``[V]``; none where windows stand alone.
            num_graphs: Number of windows ``G``.
        """
        if step is None or not self.stepwise:
            return self._pooled(x, graph, num_graphs)
        length = step.max() + 1
        # Present steps alone, by graph and then by step: absent ones need no mask.
        present, row = torch.unique(graph * length + step, return_inverse=True)
        steps = self._pooled(x, row, present.numel())
        owner = present // length
        if self.gru is not None:
            return self._last_state(self.gru, steps, owner, num_graphs)
        if self.attention is None:
            return scatter(steps, owner, dim_size=num_graphs, reduce="mean")
        shares = softmax(self.attention(steps), owner, num_nodes=num_graphs)
        return scatter(shares * steps, owner, dim_size=num_graphs, reduce="sum")

    def _pooled(self, x: Tensor, group: Tensor, num_groups: int) -> Tensor:
        """Aggregated nodes ``[num_groups, out_dim]``; a mean over all of them needs no scatter."""
        if self.averages and num_groups == 1 and len(x) > 0:
            return x.mean(dim=0, keepdim=True)
        return self.nodes(x, group, dim_size=num_groups)

    @staticmethod
    def _last_state(gru: nn.GRU, steps: Tensor, owner: Tensor, num_graphs: int) -> Tensor:
        """State ``[G, out_dim]`` after the last step of each graph; later padding is not read."""
        padded, there = to_dense_batch(steps, owner, batch_size=num_graphs)
        states, _ = gru(padded)
        last = there.sum(dim=1) - 1
        return states[torch.arange(num_graphs, device=steps.device), last]
