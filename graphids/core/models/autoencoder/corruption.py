"""Negative examples for contrastive training: what nodes say, said by other nodes.

Ids and features of a node belong together, so they move together: an id that kept its place under
foreign features would give the corruption away without a look at the graph.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from graphids.core.batch import GraphBatch

CORRUPTIONS = ("graph", "batch", "reference")
"""``graph``: nodes change places within their window, each of a sequence for itself, so only the
structure tells. ``batch``: they change places within the batch, so windows mix. ``reference``: as
``batch``, but features alone move, as the published system has it; kept for comparison."""

VALIDATION_SEED = 20_260_102
"""Seed of the corruption in validation: part of what its loss means, hence a constant."""


def fixed_generator(device: torch.device) -> torch.Generator:
    """A generator that draws the same corruption of the same batch in every validation."""
    return torch.Generator(device).manual_seed(VALIDATION_SEED)


def shuffled_nodes(
    batch: GraphBatch, *, within_windows: bool, generator: torch.Generator | None = None
) -> Tensor:
    """Which node takes each node's place ``[V]``, at random, one of its own window where asked."""
    draw = torch.rand(batch.num_nodes, device=batch.x.device, generator=generator)
    taking = draw.argsort()
    if not within_windows:
        return taking
    window = batch.batch
    if batch.step is not None:
        window = window * (batch.step.max() + 1) + batch.step
    order = torch.empty_like(taking)
    order[window.argsort(stable=True)] = taking[window[taking].argsort(stable=True)]
    return order


def corrupt(
    batch: GraphBatch, corruption: str, generator: torch.Generator | None = None
) -> GraphBatch:
    """The same edges between nodes that changed places.

    A window of one node, which has no other place, comes out of ``graph`` as it was: the
    discriminator then does best at one half, and the loss stays finite.

    Args:
        batch: Window graphs.
        corruption: One of ``CORRUPTIONS``.
        generator: Draws the order, on the batch's device; none takes torch's own.
    """
    order = shuffled_nodes(batch, within_windows=corruption == "graph", generator=generator)
    x = batch.x.index_select(0, order)
    if corruption == "reference":
        return replace(batch, x=x)
    return replace(
        batch,
        x=x,
        node_id=batch.node_id.index_select(0, order),
        arbitration_id=batch.arbitration_id.index_select(0, order),
    )
