"""Some graphs of a batch as a batch of their own."""

from __future__ import annotations

import torch
from torch import Tensor

from graphids.core.batch import GraphBatch
from graphids.core.losses import VGAEOutputs


def select_graphs(batch: GraphBatch, keep: Tensor) -> tuple[GraphBatch, Tensor, Tensor]:
    """The graphs where ``keep [G]`` is true, in their order.

    Returns:
        The smaller batch; which nodes ``[V]`` and which edges ``[E]`` of the old one it holds.
    """
    nodes = keep.index_select(0, batch.batch)
    edges = nodes.index_select(0, batch.edge_index[0])
    new_node = nodes.cumsum(0) - 1
    new_graph = keep.cumsum(0) - 1
    graph_of_node = new_graph.index_select(0, batch.batch[nodes])
    counts = torch.bincount(graph_of_node, minlength=int(keep.sum()))
    part = GraphBatch(
        x=batch.x[nodes],
        node_id=batch.node_id[nodes],
        arbitration_id=batch.arbitration_id[nodes],
        edge_index=new_node[batch.edge_index[:, edges]],
        edge_attr=batch.edge_attr[edges],
        batch=graph_of_node,
        ptr=torch.cat((counts.new_zeros(1), counts.cumsum(0))),
        y=batch.y[keep],
        attack_type=batch.attack_type[keep],
        graph_index=batch.graph_index[keep],
        step=None if batch.step is None else batch.step[nodes],
    )
    return part, nodes, edges


def select_outputs(outputs: VGAEOutputs, nodes: Tensor, edges: Tensor) -> VGAEOutputs:
    """What an autoencoder says of the chosen nodes ``[V]`` and edges ``[E]``."""
    features = outputs.edge_features
    return VGAEOutputs(
        outputs.reconstruction[nodes],
        outputs.canid_logits[nodes],
        outputs.neighbourhood[nodes],
        outputs.z[nodes],
        outputs.kl[nodes],
        None if features is None else features[edges],
    )
