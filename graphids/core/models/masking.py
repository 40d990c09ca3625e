"""Which nodes are hidden: at random while training, each exactly once at evaluation.

A score must not depend on the batch a window came in, so an evaluation mask is read from a fixed
table by the node's rank in its own window.
"""

from __future__ import annotations

import torch
from torch import Tensor

TABLE_RANKS = 4096
"""Ranks before the table of folds repeats; windows are far smaller."""
FOLD_SEED = 20_260_101
"""Seed of the table: part of what a score means, hence a constant."""


def num_folds(mask_rate: float) -> int:
    """Complementary masks that come nearest to ``mask_rate``: 7 at 0.15."""
    return max(1, round(1.0 / mask_rate))


def fold_table(folds: int) -> Tensor:
    """Fold of each rank ``[TABLE_RANKS]``: every run of ``folds`` ranks holds each fold once."""
    generator = torch.Generator().manual_seed(FOLD_SEED)
    blocks = -(-TABLE_RANKS // folds)
    order = torch.rand(blocks, folds, generator=generator).argsort(dim=1)
    return order.flatten()[:TABLE_RANKS].contiguous()


def node_ranks(batch: Tensor, num_graphs: int) -> Tensor:
    """Rank ``[V]`` of each node in its graph, from the graph of each node ``[V]``, ascending."""
    counts = torch.bincount(batch, minlength=num_graphs)
    first = counts.cumsum(0) - counts
    return torch.arange(batch.numel(), device=batch.device) - first.index_select(0, batch)


def node_folds(batch: Tensor, num_graphs: int, table: Tensor) -> Tensor:
    """Fold ``[V]`` in which each node is hidden, the same in whatever batch its graph comes."""
    return table.index_select(0, node_ranks(batch, num_graphs) % table.numel())


def random_mask(
    num_nodes: int,
    mask_rate: float,
    device: torch.device | str = "cpu",
    generator: torch.Generator | None = None,
) -> Tensor:
    """True with probability ``mask_rate`` for each node ``[V]``."""
    return torch.rand(num_nodes, device=device, generator=generator) < mask_rate


def hide(
    x: Tensor, ids: Tensor, mask: Tensor, token: Tensor, mask_id: int
) -> tuple[Tensor, Tensor]:
    """Features ``[V, F]`` and ids ``[V]``, ``token [F]`` and ``mask_id`` at the hidden nodes."""
    return torch.where(mask.unsqueeze(-1), token, x), ids.masked_fill(mask, mask_id)
