"""What an analysis asks of a detector, of whichever kind: embedding, layers, loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from graphids.core.batch import GraphBatch
from graphids.core.budget import Budget
from graphids.core.memory import trial_device
from graphids.core.models import DGI, GAT, VGAE
from graphids.core.models.base import GraphModuleBase
from graphids.core.models.layers import ConvStack
from graphids.core.models.scores import graph_mean
from graphids.data.loader import BudgetLoader
from graphids.data.packed import PackedGraphs
from graphids.stages.protocol import Demand

LIGHT = Demand(cost=1.0)
"""What an analysis needs: a core for seconds. A GPU is left to those that train."""


def batches_of(graphs: PackedGraphs, budget: Budget, index: Tensor) -> list[GraphBatch]:
    """The graphs at ``index [n]`` in their order, in batches on the trial's device."""
    device = trial_device()
    return [batch.to(device) for batch in BudgetLoader(graphs, budget, index=index)]


def embedding(model: GraphModuleBase, batch: GraphBatch) -> Tensor:
    """One vector a window ``[G, H]``: what a classifier's head reads, else the mean latent node.

    Raises:
        TypeError: A detector of another kind.
    """
    if isinstance(model, GAT):
        _, pooled = model(batch, return_embedding=True)
        assert isinstance(pooled, Tensor)
        return pooled
    if isinstance(model, VGAE):
        _, _, mean = model.net.encode_batch(batch)
        return graph_mean(mean, batch.batch, batch.num_graphs)
    if isinstance(model, DGI):
        return model.embed(batch)
    raise _unknown(model)


def layers(model: GraphModuleBase, batch: GraphBatch) -> dict[str, Tensor]:
    """Mean node of each window after every layer of the encoder ``[G, H]``, by the layer's name.

    Of a classifier the pooled window comes last, of the others the latent node.

    Raises:
        TypeError: A detector of another kind.
    """
    if isinstance(model, GAT):
        _, pooled, nodes = model(batch, return_embedding=True, return_intermediate=True)
        last = ("pooled", pooled)
    elif isinstance(model, VGAE | DGI):
        net = model.net
        edges = net.stacks.edges(batch.edge_index, batch.edge_attr, batch.x)
        inputs = net.input(net.input.id_encoder.ids_of(batch), batch.x)
        assert isinstance(net.encoder, ConvStack)
        nodes = net.encoder.blocks.outputs(inputs, edges, batch.batch)
        last = ("latent", embedding(model, batch))
    else:
        raise _unknown(model)
    means = [graph_mean(values, batch.batch, batch.num_graphs) for values in nodes]
    return {f"conv {i}": mean for i, mean in enumerate(means, 1)} | dict([last])


def mean_loss(
    model: GraphModuleBase, batches: Sequence[GraphBatch], seed: int
) -> Callable[[], float]:
    """The loss of a detector over some windows at its present weights, the same masks each time.

    Raises:
        TypeError: A detector of another kind.
    """
    if not isinstance(model, GAT | VGAE | DGI):
        raise _unknown(model)
    device = trial_device()
    windows = sum(batch.num_graphs for batch in batches)

    @torch.no_grad()
    def loss() -> float:
        generator = torch.Generator(device).manual_seed(seed)
        total = 0.0
        for batch in batches:
            if isinstance(model, GAT):
                found, _ = model.compute_loss(batch)
            elif isinstance(model, VGAE):
                found, _ = model.compute_loss(batch, generator)
            else:
                found = model.compute_loss(batch, generator)
            total += float(found) * batch.num_graphs
        return total / windows

    return loss


def _unknown(model: GraphModuleBase) -> TypeError:
    return TypeError(
        f"a {type(model).__name__} cannot be analysed; give the stage of a GAT, VGAE or DGI"
    )
