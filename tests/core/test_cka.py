"""Similarity of layers against its formula over kernel matrices, and what must not move it."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from graphids.core.analysis.cka import linear_cka, unbiased_hsic


def features(examples: int, width: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(examples, width, generator=generator, dtype=torch.float64) + 0.5


def by_kernels(x: Tensor, y: Tensor) -> float:
    """The estimate term by term, with both kernel matrices and their ones."""
    n = len(x)
    k, l = (z @ z.T for z in (x, y))  # noqa: E741
    k, l = (z - torch.diag(torch.diag(z)) for z in (k, l))  # noqa: E741
    one = torch.ones(n, dtype=torch.float64)
    first = torch.trace(k @ l)
    second = (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
    third = 2 * (one @ k @ l @ one) / (n - 2)
    return float(first + second - third) / (n * (n - 3))


@given(st.integers(4, 40), st.integers(1, 60), st.integers(1, 12), st.integers(0, 999))
def test_the_estimate_is_that_of_the_kernel_matrices(n: int, p: int, q: int, seed: int) -> None:
    x, y = features(n, p, seed), features(n, q, seed + 1)
    assert float(unbiased_hsic(x, y)) == pytest.approx(by_kernels(x, y), rel=1e-9, abs=1e-9)


@given(st.integers(0, 999), st.floats(1e-3, 1e3), st.floats(-50, 50))
def test_rotation_scale_and_origin_do_not_count(seed: int, scale: float, shift: float) -> None:
    x, y = features(30, 8, seed), features(30, 5, seed + 1) + features(30, 8, seed)[:, :5]
    rotation, _ = torch.linalg.qr(features(8, 8, seed + 2))
    moved = scale * (x @ rotation) + shift
    assert float(linear_cka([moved], [y])) == pytest.approx(float(linear_cka([x], [y])), abs=1e-9)
    assert float(linear_cka([moved], [x])) == pytest.approx(1.0)


def test_every_layer_is_compared_with_every_layer() -> None:
    first = [features(50, 6, seed) for seed in range(3)]
    second = [first[2], first[0] + 0.1 * features(50, 6, 9)]
    found = linear_cka(first, second)
    assert found.shape == (3, 2)
    assert float(found[2, 0]) == pytest.approx(1.0)
    assert found[:, 1].argmax() == 0
    torch.testing.assert_close(found, linear_cka(second, first).T)


def test_unrelated_layers_wider_than_there_are_examples_are_not_alike() -> None:
    """The biased estimate says 0.9 of these."""
    found = linear_cka([features(60, 600, 1)], [features(60, 600, 2)])
    assert abs(float(found)) < 0.1


def test_a_layer_that_does_not_vary_has_no_similarity() -> None:
    assert linear_cka([torch.ones(10, 3)], [features(10, 3, 0)]).isnan().all()


def test_too_few_examples_or_other_ones_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 examples"):
        linear_cka([features(3, 2, 0)], [features(3, 2, 1)])
    with pytest.raises(ValueError, match="same examples"):
        linear_cka([features(9, 2, 0)], [features(8, 2, 1)])
