"""Fixtures that the tests of the models share."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from model_samples import FakeData, random_graphs

from graphids.core.batch import GraphBatch


@pytest.fixture
def make_batch() -> Callable[..., GraphBatch]:
    torch.manual_seed(0)
    return random_graphs


@pytest.fixture
def calibration() -> FakeData:
    """130 windows, none an attack, in batches of 26."""
    return FakeData([random_graphs(26, seed=seed, attack_share=0.0) for seed in range(5)])


@pytest.fixture(autouse=True)
def _lightning_hints() -> Iterator[None]:
    """Lightning's hints about loader workers are no fault of a model."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*treespec.*", category=FutureWarning)
        warnings.filterwarnings("ignore", message=".*isinstance.*treespec.*")
        yield
