"""How unusual a window is: the quantities that a graph autoencoder's score is made of.

All are per node or per graph of the batch and do not mix graphs.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric.utils import scatter


def graph_mean(values: Tensor, batch: Tensor, num_graphs: int) -> Tensor:
    """Mean over each graph's nodes ``[G, ...]`` of ``values [V, ...]``; 0 without a node."""
    return scatter(values, batch, dim=0, dim_size=num_graphs, reduce="mean")


def graph_sum(values: Tensor, batch: Tensor, num_graphs: int) -> Tensor:
    """Sum over each graph's nodes ``[G, ...]`` of ``values [V, ...]``; 0 without a node."""
    return scatter(values, batch, dim=0, dim_size=num_graphs, reduce="sum")


def graph_max(values: Tensor, batch: Tensor, num_graphs: int) -> Tensor:
    """Maximum over each graph's nodes ``[G, ...]`` of ``values [V, ...]``; 0 without a node."""
    return scatter(values, batch, dim=0, dim_size=num_graphs, reduce="max")


def graph_moments(values: Tensor, batch: Tensor, num_graphs: int) -> tuple[Tensor, Tensor]:
    """Mean and population deviation ``[G]`` over each graph's nodes of ``values [V]``."""
    mean = graph_mean(values, batch, num_graphs)
    gap = values - mean.index_select(0, batch)
    return mean, graph_mean(gap.square(), batch, num_graphs).sqrt()


def node_error(x_VF: Tensor, reconstructed_VF: Tensor) -> Tensor:
    """Mean squared error of each node ``[V]``, in squared scaled units."""
    return (x_VF - reconstructed_VF).square().mean(dim=-1)


def node_affinity(z_VL: Tensor, edge_index: Tensor) -> Tensor:
    """One minus the mean cosine between a node and its out-neighbours ``[V]``, in ``[0, 2]``.

    After TAM (Qiao and Pang 2023). A node without an outgoing edge gives 1.
    """
    source, target = edge_index
    unit = functional.normalize(z_VL, dim=-1)
    cosine = (unit.index_select(0, source) * unit.index_select(0, target)).sum(dim=-1)
    mean = scatter(cosine, source, dim=0, dim_size=z_VL.shape[0], reduce="mean")
    return 1.0 - mean


def rayleigh_quotient(x_VF: Tensor, edge_index: Tensor, batch: Tensor, num_graphs: int) -> Tensor:
    """Edge differences over energy of each graph's features ``[G]`` (Tang et al. 2022).

    ``sum_E |x_i - x_j|^2 / (sum_V |x|^2 + 1e-8)``; parallel edges count each.
    """
    source, target = edge_index
    gap = (x_VF.index_select(0, source) - x_VF.index_select(0, target)).square().sum(dim=-1)
    rough = scatter(gap, batch.index_select(0, source), dim=0, dim_size=num_graphs, reduce="sum")
    energy = scatter(x_VF.square().sum(dim=-1), batch, dim=0, dim_size=num_graphs, reduce="sum")
    return rough / (energy + 1e-8)


def mahalanobis(mu_VL: Tensor, mean_L: Tensor, std_L: Tensor) -> Tensor:
    """Squared distance of each node's mean latent from benign ones ``[V]``, diagonal covariance."""
    return ((mu_VL - mean_L) / std_L.clamp(min=1e-3)).square().sum(dim=-1)


def latent_statistics(z_VL: Tensor, batch: Tensor, num_graphs: int) -> Tensor:
    """Mean of node means and of node deviations, largest and smallest value ``[G, 4]``."""
    mean = graph_mean(z_VL.mean(dim=-1), batch, num_graphs)
    spread = graph_mean(z_VL.std(dim=-1, correction=0), batch, num_graphs)
    largest = graph_max(z_VL.amax(dim=-1), batch, num_graphs)
    smallest = -graph_max(-z_VL.amin(dim=-1), batch, num_graphs)
    return torch.stack((mean, spread, largest, smallest), dim=-1)
