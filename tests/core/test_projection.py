"""Embeddings in a plane against scikit-learn's, and the separation of classes by its definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from torch import Tensor

from graphids.core.analysis.projection import neighbour_map, principal_plane, separation


def cloud(examples: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    spread = torch.arange(1, width + 1, dtype=torch.float32)
    return torch.randn(examples, width, generator=generator) * spread + 3.0


def by_definition(x: np.ndarray, labels: np.ndarray) -> float:
    """Silhouette of each example from all its distances, then classes alike."""
    found = []
    for i, own in enumerate(labels):
        distance = np.linalg.norm(x - x[i], axis=1)
        mates = (labels == own) & (np.arange(len(x)) != i)
        inside = distance[mates].mean()
        outside = min(distance[labels == other].mean() for other in set(labels) - {own})
        found.append((outside - inside) / max(inside, outside))
    values = np.array(found)
    return float(np.mean([values[labels == one].mean() for one in np.unique(labels)]))


@given(st.integers(3, 40), st.integers(2, 9), st.integers(0, 99))
def test_the_plane_is_that_of_the_library(examples: int, width: int, seed: int) -> None:
    x = cloud(examples, width, seed)
    library = PCA(n_components=2, svd_solver="full").fit(x.double().numpy())
    found = principal_plane(x)
    expected = np.abs(library.transform(x.double().numpy()))
    np.testing.assert_allclose(found.xy.abs().numpy(), expected, rtol=1e-4, atol=1e-4)
    assert found.explained == pytest.approx(library.explained_variance_ratio_)


def test_a_plane_without_a_second_direction_is_a_line() -> None:
    line = torch.arange(6.0)[:, None]
    assert principal_plane(line).explained == (1.0, 0.0)
    assert principal_plane(line @ torch.ones(1, 4)).xy[:, 1].abs().max() < 1e-6
    assert principal_plane(torch.ones(5, 3)).xy.abs().max() == 0.0


@settings(max_examples=20)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(0, 99))
def test_separation_weighs_classes_alike(some: int, others: int, seed: int) -> None:
    x = cloud(some + others, 4, seed)
    labels = torch.tensor([0] * some + [1] * others)
    found = separation(x, labels)
    assert found == pytest.approx(by_definition(x.double().numpy(), labels.numpy()), abs=1e-6)


def test_separation_needs_two_classes_of_two() -> None:
    x = cloud(5, 3, 0)
    assert separation(x, torch.zeros(5)) is None
    assert separation(x, torch.tensor([0, 0, 0, 0, 1])) is None
    far = torch.cat((x, x + 1e4))
    assert separation(far, torch.tensor([0] * 5 + [1] * 5)) == pytest.approx(1.0, abs=0.01)


def test_neighbours_stay_together() -> None:
    x = torch.cat((cloud(20, 5, 0), cloud(20, 5, 1) + 200.0))
    found = neighbour_map(x, seed=0)
    assert found.explained is None
    assert torch.equal(found.xy, neighbour_map(x, seed=0).xy)
    apart = separation(found.xy, torch.tensor([0] * 20 + [1] * 20))
    assert apart is not None
    assert apart > 0.5
