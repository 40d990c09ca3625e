"""A score that is the distance from the centre of benign training windows."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphids.core.batch import GraphBatch, as_graph_batch
from graphids.core.models.autoencoder.fitted import FittedDetector, Moments
from graphids.core.models.base import GraphData, eval_mode


class CentredDetector(FittedDetector):
    """A detector that scores as one class (OCGIN, Zhao and Akoglu 2021, without training on it).

    A subclass gives ``embed`` and calls ``register_centre`` when it builds. The centre is no part
    of a checkpoint: a centre of other weights would score without a complaint.
    """

    statistics = ("svdd_center",)

    svdd_center: Tensor

    def register_centre(self, width: int) -> None:
        """Makes the buffer, as yet unfitted: 0."""
        self.register_buffer("svdd_center", torch.zeros(width), persistent=False)

    def embed(self, batch: GraphBatch) -> Tensor:
        """Embedding of each window ``[G, L]``; deterministic in evaluation mode."""
        raise NotImplementedError

    @property
    def calibrated(self) -> bool:
        """True once there is a centre."""
        return bool(self.svdd_center.any())

    def forget_calibration(self) -> None:
        """Sets the centre back to 0, which is none."""
        self.svdd_center.zero_()

    def load_calibration(self, tensors: Mapping[str, Tensor]) -> None:
        """Takes the centre that ``calibration`` gave, until the next ``on_test_setup``.

        Raises:
            KeyError: It is missing.
            ValueError: It is of another shape, not finite or 0, or there is more than it.
        """
        super().load_calibration(tensors)
        self._require_centre()

    @torch.no_grad()
    def on_test_setup(self, datamodule: GraphData, device: torch.device | str) -> None:
        """Fits the centre, at every call: the mean over benign training windows.

        Args:
            datamodule: Gives ``train_eval_dataloader``.
            device: Where the model is moved and the batches go.

        Raises:
            ValueError: No benign window, or a centre that is 0 or not finite.
        """
        self.require_built()
        self.move_to(device)
        self.forget_calibration()
        moments = Moments(self.svdd_center.numel(), device)
        with eval_mode(self):
            for given in datamodule.train_eval_dataloader():
                batch = as_graph_batch(given).to(device)
                moments.add(self.embed(batch)[batch.y == 0])
        if moments.count == 0:
            raise ValueError(
                "the centre is a mean over benign training windows, and there is none; "
                "check the split of the captures"
            )
        centre, _ = moments.mean_and_std()
        self.svdd_center.copy_(centre)
        self._require_centre()

    def _require_centre(self) -> None:
        """Raises where the centre can be none."""
        found = float(self.svdd_center.abs().sum())
        if not 0.0 < found < float("inf"):
            self.forget_calibration()
            raise ValueError(
                f"the centre of benign training windows has L1 norm {found}: the encoder collapsed "
                "or diverged; train it again with a lower learning rate"
            )

    @torch.no_grad()
    def score(self, batch: GraphBatch | Data) -> Tensor:
        """Squared distance from the centre ``[G]``.

        Raises:
            RuntimeError: There is no centre: ``on_test_setup`` has not run.
        """
        self.require_calibrated()
        with eval_mode(self):
            embedding = self.embed(as_graph_batch(batch))
        return (embedding - self.svdd_center).square().sum(dim=-1)
