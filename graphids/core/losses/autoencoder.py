"""What a graph autoencoder is trained on: features, arbitration ids, neighbourhoods and edges.

The neighbourhood term is that of GAD-NR (Roy et al. 2024), a divergence between the Gaussian of
predicted and of actual neighbour means, with the sign of the log-determinant as the divergence has
it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from graphids.core.batch import GraphBatch
from graphids.core.losses.finite import require_finite


class VGAEOutputs(NamedTuple):
    """What the autoencoder says of a batch; a tuple of six."""

    reconstruction: Tensor
    """Reconstructed features ``[V, F]``."""
    canid_logits: Tensor
    """Logits of the id ``[V, num_ids]``, or of the M masked nodes alone ``[M, num_ids]``."""
    neighbourhood: Tensor
    """Predicted mean latent of the out-neighbours ``[V, L]``."""
    z: Tensor
    """Latent nodes ``[V, L]``."""
    kl: Tensor
    """Divergence of each node's posterior from the standard normal ``[V]``, nats per dimension."""
    edge_features: Tensor | None
    """Reconstructed edge features ``[E, D]``; none where the convolution does not read edges."""


def neighbour_mean(z: Tensor, edge_index: Tensor) -> Tensor:
    """Mean latent of each node's out-neighbours ``[V, L]``, 0 for a node without one."""
    source, target = edge_index
    total = torch.zeros_like(z).index_add_(0, source, z.index_select(0, target))
    degree = torch.bincount(source, minlength=z.shape[0]).clamp_(min=1)
    return total / degree.unsqueeze(-1)


def gaussian_divergence(predicted: Tensor, actual: Tensor) -> Tensor:
    """Divergence of the Gaussian of ``predicted [V, L]`` from ``actual [V, L]``; never negative.

    ``0.5 * (ln(det S_a / det S_p) - L + tr(S_a^-1 S_p) + (m_a - m_p)' S_a^-1 (m_a - m_p))`` with
    sample covariances plus the identity (GAD-NR, Roy et al. 2024, with the log-determinant's sign
    corrected). A covariance over one node is undefined: fewer than two nodes give 0.
    """
    if predicted.shape[0] < 2:
        return predicted.new_zeros(())
    identity = torch.eye(predicted.shape[1], dtype=predicted.dtype, device=predicted.device)
    factor_p = torch.linalg.cholesky(predicted.T.cov() + identity)
    factor_a = torch.linalg.cholesky(actual.T.cov() + identity)
    log_ratio = 2.0 * (factor_a.diagonal().log().sum() - factor_p.diagonal().log().sum())
    whitened = torch.linalg.solve_triangular(factor_a, factor_p, upper=False)
    gap = (actual.mean(0) - predicted.mean(0)).unsqueeze(-1)
    shift = torch.linalg.solve_triangular(factor_a, gap, upper=False)
    return 0.5 * (log_ratio - predicted.shape[1] + whitened.square().sum() + shift.square().sum())


class AutoencoderLoss(nn.Module):
    """A loss of what an autoencoder says of a batch."""

    def forward(
        self,
        outputs: VGAEOutputs,
        batch: GraphBatch,
        mask: Tensor | None = None,
        mu: Tensor | None = None,
    ) -> Tensor:
        """Loss ``[]`` of the outputs for ``batch``.

        Args:
            outputs: What the model said, of masked features where ``mask`` is given.
            batch: The unmasked graphs.
            mask: True where a node was hidden ``[V]``.
            mu: Mean latent of each node ``[V, L]``, for a loss that reads it.

        Raises:
            FloatingPointError: The loss is not finite; names each component's value.
        """
        raise NotImplementedError

    def components(self) -> dict[str, Tensor]:
        """The parts of the last call by name, detached ``[]``."""
        raise NotImplementedError

    def settings(self) -> dict[str, object]:
        """Plain values from which the constructor makes this loss again."""
        raise NotImplementedError


class VGAETaskLoss(AutoencoderLoss):
    """Reconstruction plus weighted id, neighbourhood, divergence and edge terms.

    The last value of each term stays readable as ``last_recon``, ``last_canid``, ``last_nbr``,
    ``last_kl`` and ``last_edge`` (detached ``[]``).
    """

    def __init__(
        self,
        canid_weight: float = 0.1,
        nbr_weight: float = 0.1,
        kl_weight: float = 0.01,
        edge_weight: float = 0.1,
    ) -> None:
        super().__init__()
        self.canid_weight = canid_weight
        self.nbr_weight = nbr_weight
        self.kl_weight = kl_weight
        self.edge_weight = edge_weight
        zero = torch.zeros(())
        self.last_recon = self.last_canid = self.last_nbr = self.last_kl = self.last_edge = zero

    def forward(
        self,
        outputs: VGAEOutputs,
        batch: GraphBatch,
        mask: Tensor | None = None,
        mu: Tensor | None = None,
    ) -> Tensor:
        """Loss ``[]`` of the outputs for ``batch``.

        Args:
            outputs: What the model said, of masked features where ``mask`` is given.
            batch: The unmasked graphs.
            mask: True where a node was hidden ``[V]``; ids are then judged on these nodes alone.
            mu: Not read: the terms are those of the sampled latent.

        Raises:
            FloatingPointError: The sum is not finite; names each term's value.
        """
        recon = functional.mse_loss(outputs.reconstruction, batch.x)
        canid = _canid_term(outputs.canid_logits, batch.node_id, mask)
        nbr = gaussian_divergence(
            outputs.neighbourhood, neighbour_mean(outputs.z, batch.edge_index)
        )
        kl = outputs.kl.mean()
        edge = recon.new_zeros(())
        if outputs.edge_features is not None and batch.edge_attr.shape[0] > 0:
            edge = functional.mse_loss(outputs.edge_features, batch.edge_attr)
        total = (
            recon
            + self.canid_weight * canid
            + self.nbr_weight * nbr
            + self.kl_weight * kl
            + self.edge_weight * edge
        )
        self.last_recon, self.last_canid = recon.detach(), canid.detach()
        self.last_nbr, self.last_kl, self.last_edge = nbr.detach(), kl.detach(), edge.detach()
        require_finite(total, self.components(), "vgae_task loss")
        return total

    def settings(self) -> dict[str, object]:
        """Plain values from which the constructor makes this loss again."""
        return {
            "canid_weight": self.canid_weight,
            "nbr_weight": self.nbr_weight,
            "kl_weight": self.kl_weight,
            "edge_weight": self.edge_weight,
        }

    def components(self) -> dict[str, Tensor]:
        """The terms of the last call by name, unweighted ``[]``."""
        return {
            "recon": self.last_recon,
            "canid": self.last_canid,
            "kl": self.last_kl,
            "nbr": self.last_nbr,
            "edge": self.last_edge,
        }


def _canid_term(logits: Tensor, node_id: Tensor, mask: Tensor | None) -> Tensor:
    """Cross-entropy of the ids, of the masked nodes where there is a mask; 0 without a node."""
    if mask is not None:
        node_id = node_id[mask]
        if logits.shape[0] == mask.shape[0]:
            logits = logits[mask]
    if node_id.numel() == 0:
        return logits.new_zeros(())
    return functional.cross_entropy(logits, node_id)
