"""A score made of several axes, each in standard deviations of benign validation windows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphids.core.batch import GraphBatch, as_graph_batch
from graphids.core.models import scores
from graphids.core.models.autoencoder.fitted import FittedDetector, Moments
from graphids.core.models.base import GraphData, eval_mode

NUM_AXES = 4
MIN_BENIGN = 100
"""Fewest benign windows from which a mean and a deviation are taken."""
LATENT_FLOOR = 1e-3
"""Smallest deviation of a latent dimension."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowAxes:
    """What a window's score is made of, and the encoding it was taken from."""

    axes: Tensor
    """Mean and largest node error, mean affinity, Rayleigh quotient ``[G, 4]``."""
    z: Tensor
    """Latent nodes ``[V, L]``."""
    kl: Tensor
    """Divergence of each node ``[V]``."""
    mu: Tensor
    """Mean latent of each node ``[V, L]``."""


class CalibratedDetector(FittedDetector):
    """A detector that scores by the largest of its normalised axes.

    A subclass gives ``window_axes`` and calls ``register_calibration`` when it builds. The buffers
    travel with the checkpoint.
    """

    statistics = ("mu_mean", "mu_std", "score_mean", "score_std")

    mu_mean: Tensor
    mu_std: Tensor
    score_mean: Tensor
    score_std: Tensor
    score_norm_fitted: Tensor

    def register_calibration(self, latent_dim: int) -> None:
        """Makes the buffers, as yet unfitted."""
        self.register_buffer("mu_mean", torch.zeros(latent_dim))
        self.register_buffer("mu_std", torch.ones(latent_dim))
        self.register_buffer("score_mean", torch.zeros(NUM_AXES))
        self.register_buffer("score_std", torch.ones(NUM_AXES))
        self.register_buffer("score_norm_fitted", torch.tensor(False))

    def window_axes(self, batch: GraphBatch) -> WindowAxes:
        """The axes of each window; deterministic in evaluation mode."""
        raise NotImplementedError

    @property
    def calibrated(self) -> bool:
        """True once the normalisation is fitted."""
        return bool(self.score_norm_fitted)

    def forget_calibration(self) -> None:
        """The next ``on_test_setup`` fits again."""
        self.score_norm_fitted.fill_(False)

    def load_calibration(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes the normalisation that ``calibration`` gave; ``on_test_setup`` then fits none."""
        super().load_calibration(tensors)
        self.score_norm_fitted.fill_(True)

    @torch.no_grad()
    def on_test_setup(self, datamodule: GraphData, device: torch.device | str) -> None:
        """Fits the normalisation on the benign windows of the calibration loader, once.

        Latent moments are taken over benign nodes, axis moments over benign windows, in one pass:
        no axis reads the latent moments.

        Args:
            datamodule: Gives ``calibration_dataloader``.
            device: Where the model is moved and the batches go.

        Raises:
            ValueError: Fewer than 100 benign windows.
        """
        self.require_built()
        if self.calibrated:
            return
        self.move_to(device)
        latent = Moments(self.mu_mean.numel(), device)
        windows = Moments(NUM_AXES, device)
        total = 0
        with eval_mode(self):
            for given in datamodule.calibration_dataloader():
                batch = as_graph_batch(given).to(device)
                found = self.window_axes(batch)
                benign = batch.y == 0
                latent.add(found.mu[benign.index_select(0, batch.batch)])
                windows.add(found.axes[benign])
                total += batch.num_graphs
        if windows.count < MIN_BENIGN:
            raise ValueError(
                f"calibration needs at least {MIN_BENIGN} benign windows, "
                f"found {windows.count} among {total}; use a data set with more validation "
                "windows or a smaller stride"
            )
        mean, std = latent.mean_and_std()
        self.mu_mean.copy_(mean)
        self.mu_std.copy_(std.clamp(min=LATENT_FLOOR))
        mean, std = windows.mean_and_std()
        self.score_mean.copy_(mean)
        self.score_std.copy_(std)
        self.score_norm_fitted.fill_(True)

    @torch.no_grad()
    def score(self, batch: GraphBatch | Data) -> Tensor:
        """Largest of the axes in benign standard deviations ``[G]``.

        Raises:
            RuntimeError: ``on_test_setup`` has not run.
        """
        self.require_calibrated()
        with eval_mode(self):
            axes = self.window_axes(as_graph_batch(batch)).axes
        return ((axes - self.score_mean) / (self.score_std + 1e-6)).amax(dim=-1)

    @torch.no_grad()
    def extract_features(
        self, batch: GraphBatch | Data, device: torch.device | str
    ) -> dict[str, Tensor]:
        """State of each window for a fusion head.

        Args:
            batch: Window graphs.
            device: Where the model is moved and the batch goes.

        Returns:
            ``errors [G, 3]`` = mean node error, Mahalanobis distance and divergence;
            ``conf [G, 1]`` = 1 / (1 + mean node error); ``z_stats [G, 4]``; ``spike`` (largest
            node error), ``affinity`` and ``rq`` ``[G, 1]``.

        Raises:
            RuntimeError: ``on_test_setup`` has not run.
        """
        self.require_calibrated()
        self.move_to(device)
        batch = as_graph_batch(batch).to(device)
        with eval_mode(self):
            found = self.window_axes(batch)
        recon, spike, affinity, rq = found.axes.split(1, dim=-1)
        node_parts = (scores.mahalanobis(found.mu, self.mu_mean, self.mu_std), found.kl)
        parts = scores.graph_mean(torch.stack(node_parts, dim=-1), batch.batch, batch.num_graphs)
        return {
            "errors": torch.cat((recon, parts), dim=-1),
            "conf": 1.0 / (1.0 + recon),
            "z_stats": scores.latent_statistics(found.z, batch.batch, batch.num_graphs),
            "spike": spike,
            "affinity": affinity,
            "rq": rq,
        }
