"""Bootstrap over windows: clusters that count several times, pairs of detectors, faults."""

from __future__ import annotations

from typing import get_args

import numpy as np
import polars as pl
import pytest
from scipy import stats

from analysis.windows import Metric, blocks, weighted_metric, window_bootstrap
from graphids.core.metrics import binary_metrics

METRICS = get_args(Metric)


def scored(scores: np.ndarray, labels: np.ndarray, threshold: float = 0.5) -> pl.DataFrame:
    """Windows of two captures of one test subset, decided on at a threshold."""
    n = labels.size
    return pl.DataFrame(
        {
            "split": ["test_01"] * n,
            "capture": ["a"] * (n // 2) + ["b"] * (n - n // 2),
            "first_message": [*range(0, 100 * (n // 2), 100), *range(0, 100 * (n - n // 2), 100)],
            "label": labels.astype(np.int8),
            "score": scores,
            "decision": scores >= threshold,
        }
    )


def pair(n: int = 400, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two detectors of unequal skill; their scores are rounded, so that many tie."""
    rng = np.random.default_rng(seed)
    labels = rng.random(n) < 0.3
    shared = rng.normal(size=n)
    first, second = (
        np.round(1.5 * labels + shared + 0.4 * rng.normal(size=n), 1),
        np.round(1.1 * labels + shared + 0.4 * rng.normal(size=n), 1),
    )
    return scored(first, labels), scored(second, labels)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(5))
def test_a_cluster_that_counts_twice_is_a_cluster_that_is_there_twice(
    metric: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    n, clusters = 60, 8
    scores, codes = rng.integers(-3, 6, n).astype(float), rng.integers(0, clusters, n)
    labels = rng.random(n) < (0.0 if seed == 4 else 0.4)
    values = scores if metric in ("auroc", "ap") else (scores >= 1.0).astype(float)
    weights = rng.integers(0, 3, (12, clusters))
    weights[0] = 0
    found = weighted_metric(metric, values, labels, codes, weights)
    for row, value in zip(weights, found, strict=True):
        repeated = np.repeat(np.arange(n), row[codes])
        expected = binary_metrics(scores[repeated], labels[repeated], 1.0)[metric]
        assert value == pytest.approx(np.nan if expected is None else expected, nan_ok=True)


@pytest.mark.parametrize("metric", METRICS)
def test_values_are_those_of_all_windows_and_swapping_turns_the_sign(metric: str) -> None:
    first, second = (blocks(frame, 10) for frame in pair())
    clusters = ("capture", "block")
    there = window_bootstrap(first, second, metric, clusters, resamples=200)
    back = window_bootstrap(second, first, metric, clusters, resamples=200)
    expected = binary_metrics(first["score"].to_numpy(), first["label"].to_numpy(), 0.5)[metric]
    assert there.first == pytest.approx(expected)
    assert there.difference == pytest.approx(there.first - there.second)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert there.low < there.difference < there.high
    assert (there.n_windows, there.n_clusters, there.undefined) == (400, 40, 0)


@pytest.mark.parametrize("metric", METRICS)
def test_a_detector_does_not_differ_from_itself(metric: str) -> None:
    frame = blocks(pair()[0], 20)
    found = window_bootstrap(frame, frame.reverse(), metric, ("capture", "block"), resamples=50)
    assert (found.difference, found.low, found.high) == (0.0, 0.0, 0.0)


def test_single_windows_agree_with_scipy() -> None:
    """Recall is a mean over attack windows, which scipy resamples by itself."""
    first, second = (frame.filter(pl.col("label") == 1) for frame in pair(2_000))
    wins = (first["decision"].cast(pl.Float64) - second["decision"].cast(pl.Float64)).to_numpy()
    expected = stats.bootstrap(
        (wins,), np.mean, n_resamples=4_000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    found = window_bootstrap(first, second, "recall", ("capture", "first_message"), resamples=4_000)
    slack = 0.06 * (expected.high - expected.low)
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=slack)


def test_windows_that_resemble_their_neighbours_widen_the_interval() -> None:
    rng = np.random.default_rng(1)
    labels = np.ones(1_000)
    first = scored(np.repeat(rng.random(50) < 0.8, 20).astype(float), labels)
    second = scored(np.repeat(rng.random(50) < 0.7, 20).astype(float), labels)
    widths = []
    for clusters in (("capture", "first_message"), ("capture", "block")):
        found = window_bootstrap(blocks(first, 20), second, "recall", clusters)
        widths.append(found.high - found.low)
    assert widths[1] > 3.0 * widths[0]


def test_blocks_are_runs_of_windows_in_each_capture() -> None:
    first, _ = pair(50)
    cut = blocks(first.sample(fraction=1.0, shuffle=True, seed=0), 10)
    sizes = cut.group_by("capture", "block").agg(
        n=pl.len(), span=pl.col("first_message").max() - pl.col("first_message").min()
    )
    assert sorted(sizes["n"]) == [5, 5, 10, 10, 10, 10]
    assert (sizes["span"] == (sizes["n"] - 1) * 100).all()
    with pytest.raises(ValueError, match="at least 1 window"):
        blocks(first, 0)


def test_one_capture_has_no_interval_and_one_class_no_value() -> None:
    first, second = pair()
    alone = [frame.filter(capture="a") for frame in (first, second)]
    assert window_bootstrap(*alone, "f1").low is None
    calm = [frame.filter(pl.col("label") == 0) for frame in (first, second)]
    found = window_bootstrap(*calm, "auroc", resamples=20)
    assert (found.first, found.difference, found.low, found.undefined) == (None, None, None, 20)
    assert window_bootstrap(*calm, "fpr").difference is not None


def test_windows_of_several_lengths_at_one_message_pair_in_order() -> None:
    first, second = pair(40)
    twice = [pl.concat((frame, frame.with_columns(decision=~pl.col("decision"))))
             for frame in (first, second)]  # fmt: skip
    assert window_bootstrap(*twice, "recall", resamples=20).n_windows == 80


def test_faults_are_named() -> None:
    first, second = pair(40)
    with pytest.raises(ValueError, match="metric must be one of f1"):
        window_bootstrap(first, second, "accuracy")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="second frame lacks decision"):
        window_bootstrap(first, second.drop("decision"), "f1")
    with pytest.raises(ValueError, match="40 and 39 windows, of which 39 agree"):
        window_bootstrap(first, second.head(39), "f1")
    with pytest.raises(ValueError, match="agree in place and label"):
        window_bootstrap(first, second.with_columns(label=1 - pl.col("label")), "f1")
    with pytest.raises(ValueError, match="of which 0 agree"):
        window_bootstrap(first.clear(), second.clear(), "f1")
    with pytest.raises(ValueError, match="scores must be finite"):
        window_bootstrap(first.with_columns(score=pl.lit(float("nan"))), second, "auroc")
