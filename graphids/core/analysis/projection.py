"""Embeddings in two dimensions for the eye, and how far apart the classes are in all of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_samples
from torch import Tensor

PERPLEXITY = 30.0
"""Neighbours that t-SNE keeps near; fewer where there are few examples."""


class Projection(NamedTuple):
    """Examples in a plane."""

    xy: Tensor
    """Coordinates ``[N, 2]``, float32."""
    explained: tuple[float, float] | None
    """Share of the variance along either axis; none where the axes mean nothing."""


def principal_plane(x: Tensor) -> Projection:
    """The plane of the largest variance; of each axis the largest loading is positive.

    An axis without any variance is 0.
    """
    centred = x.double() - x.double().mean(dim=0)
    _, spread, axes = torch.linalg.svd(centred, full_matrices=False)
    signs = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True)).sign()
    xy = torch.zeros(len(centred), 2, dtype=torch.float64)
    known = min(2, len(spread))
    xy[:, :known] = centred @ (axes * signs)[:known].T
    shares = spread.square() / spread.square().sum().clamp(min=torch.finfo(torch.float64).tiny)
    first, second = [*shares.tolist(), 0.0, 0.0][:2]
    return Projection(xy.float(), (first, second))


def neighbour_map(x: Tensor, seed: int) -> Projection:
    """t-SNE (van der Maaten and Hinton 2008): near examples stay near, distances mean nothing.

    Args:
        x: Features of each example ``[N, P]``.
        seed: Seed of the optimisation.
    """
    perplexity = min(PERPLEXITY, (len(x) - 1) / 3.0)
    tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=1)
    return Projection(torch.from_numpy(tsne.fit_transform(x.float().numpy())).float(), None)


def separation(x: Tensor, labels: Tensor) -> float | None:
    """Silhouette in ``[-1, 1]``, each class weighed equally (Rousseeuw 1987).

    0: an example is as near to another class as to its own; 1: classes are far apart and dense.
    None where there are not two classes of two examples at least.

    Args:
        x: Features of each example ``[N, P]``.
        labels: Class of each example ``[N]``.
    """
    classes, counts = labels.unique(return_counts=True)
    if len(classes) < 2 or int(counts.min()) < 2:
        return None
    found = torch.from_numpy(silhouette_samples(x.double().numpy(), labels.numpy()))
    return float(torch.stack([found[labels == one].mean() for one in classes]).mean())
