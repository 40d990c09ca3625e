"""A probe's predictions hold on batches that it never saw, and it leaves no trace behind."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
import torch
from probe_samples import (
    MODELS,
    QUICK,
    SIZES,
    graphs_of,
    measured_peak,
    one_thread,
    training,
    windows,
)
from torch import nn

from graphids.core import probe as probing
from graphids.core.batch import GraphBatch
from graphids.core.memory_model import BatchShape
from graphids.core.memory_trace import MemoryTrace
from graphids.core.models import GAT, VGAE
from graphids.core.probe import ProbeConfig, ProbeResult, probe_forward, probe_training
from graphids.core.probe_batches import tensors_of, varied
from graphids.core.speed_model import fit_speed, knee

UNSEEN = (
    graphs_of([33, 21, 35, 26] * 8, 99, loops=12),
    graphs_of([10] * 40, 200, loops=40),
    graphs_of([60] * 20, 40, loops=0),
    graphs_of([5] * 60 + [90], 30, loops=2),
    graphs_of([120] * 4, 1500, loops=700),
)
"""Other nodes a graph, edges a node, shares of loops, and one graph far larger than the rest."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.mark.parametrize("name", MODELS)
def test_predicted_peaks_are_the_measured_ones_on_batches_of_other_proportions(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]()
    probe = probe_training(model, windows, QUICK)
    errors = [
        probe.memory.predict(BatchShape.of(batch)) / measured_peak(copy.deepcopy(model), batch) - 1
        for batch in UNSEEN
    ]
    # How many nodes an autoencoder hides is left to chance; the rest is exact.
    assert max(map(abs, errors)) <= (0.01 if name == "vgae" else 1e-4), errors


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_of_few_windows_takes_no_more_than_predicted(name: str) -> None:
    """Layers that work in pieces take less where a batch fills none."""
    model, few = MODELS[name](), graphs_of([30] * 3, 99, loops=9)
    probe = probe_training(model, windows, QUICK)
    peak = measured_peak(model, few)
    assert peak <= 1.01 * probe.memory.predict(BatchShape.of(few)) <= 1.01 * (peak + 2 * 2**20)


def test_batches_of_other_proportions_are_made_of_whole_graphs() -> None:
    """A loss that looks its windows up finds each with the nodes that it has."""
    rows = []
    for batch in varied(windows, 32):
        assert torch.equal(batch.ptr.diff(), windows(64).ptr.diff()[batch.graph_index])
        source, target = batch.batch[batch.edge_index]
        assert torch.equal(source, target)
        assert bool((source.diff() >= 0).all())
        assert batch.edge_attr.untyped_storage().nbytes() == batch.edge_attr.nbytes
        one = BatchShape.of(batch)
        padded = (one.graphs * one.squares) ** 0.5
        rows.append((1, one.graphs, one.nodes, one.edges, one.loops, one.squares, padded))
    assert np.linalg.matrix_rank(np.array(rows, dtype=float)) == 7


def test_attention_among_all_nodes_is_found_and_edges_alone_have_no_such_term() -> None:
    gps, gat = (probe_training(MODELS[name](), windows, QUICK) for name in ("gps", "gatv2"))
    assert any(moment.per_padded > 0 for moment in gps.memory.moments)
    assert all(moment.per_padded == moment.per_square == 0 for moment in gat.memory.moments)


@pytest.mark.parametrize(("nodes", "edges"), [(4, 9), (8, 19)])
def test_the_ways_for_few_windows_do_not_blur_the_peak_of_many(nodes: int, edges: int) -> None:
    def short(graphs: int) -> GraphBatch:
        return graphs_of((nodes + torch.arange(graphs) % 2).tolist(), edges, loops=1)

    model = MODELS["gatv2"]().eval()
    memory = probe_forward(model.net, short, QUICK).memory
    for graphs in (128, 1000):
        batch = short(graphs)
        with torch.no_grad(), MemoryTrace(batch.x.device, tensors_of(batch)) as trace:
            model.net(batch)
        assert abs(memory.predict(BatchShape.of(batch)) / trace.peak - 1) <= 0.01


def test_a_single_graph_makes_batches_that_are_not_empty() -> None:
    assert all(batch.num_graphs for batch in varied(lambda graphs: graphs_of([5], 9), 8))


def test_long_steps_are_timed_on_large_batches_while_there_is_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probing, "_seconds", lambda step, batch, repeats: 0.0035 * batch.num_graphs)
    monkeypatch.setattr(probing.time, "perf_counter", lambda: 27.0)
    config = ProbeConfig(max_graphs=128, growth=4, max_seconds=30.0)
    memory = probe_forward(lambda batch: batch.x.sum(), windows, QUICK).memory
    found = probing._timed(print, print, windows, config, memory, 0, 0.0)
    assert len(found.throughput) == 3


def test_checkpointing_is_measured() -> None:
    plain = {**SIZES, "conv_type": "transformer"}
    settings = {**plain, "gradient_checkpointing": True}
    kept, recomputed = (
        probe_training(model, windows, QUICK) for model in (GAT(**plain), GAT(**settings))
    )
    large = BatchShape.of(windows(64))
    assert recomputed.memory.predict(large) < 0.8 * kept.memory.predict(large)
    measured = measured_peak(GAT(**settings), windows(64))
    assert recomputed.memory.predict(large) == pytest.approx(measured, rel=1e-4)


def test_a_pass_that_scores_takes_less_than_training_and_as_much_as_measured() -> None:
    model = GAT(**SIZES)
    probe = probe_forward(model.predict_scores, windows, QUICK)
    large = BatchShape.of(windows(64))
    assert probe.memory.predict(large) < probe_training(model, windows, QUICK).memory.predict(large)
    assert probe.memory.misfit < 1e-6
    assert probe.fixed_bytes == pytest.approx(sum(p.nbytes for p in model.parameters()), rel=0.01)
    assert probe.backward_multiplier == 1.0


def trained_weights(model: nn.Module) -> list[torch.Tensor]:
    """Weights and buffers after a short training with dropout and random masks."""
    torch.manual_seed(3)
    step, _ = training(model)
    for seed in range(3):
        step(graphs_of([20, 30], 50, seed=seed))
    return [*model.parameters(), *model.buffers()]


@pytest.mark.parametrize("build", [lambda: GAT(**SIZES), lambda: VGAE(**SIZES)])
def test_training_is_the_same_with_a_probe_before_it(build: type[nn.Module]) -> None:
    torch.manual_seed(0)
    plain, probed = build(), build()
    probed.load_state_dict(plain.state_dict())
    expected = trained_weights(plain)
    probe_training(probed, windows, QUICK)
    assert all(p.grad is None for p in probed.parameters())
    for ours, theirs in zip(trained_weights(probed), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_probe_moves_no_random_state_and_no_mode() -> None:
    model = GAT(**SIZES).eval()
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    expected = (torch.rand(1), random.random(), np.random.rand())
    torch.manual_seed(5)
    random.seed(5)
    np.random.seed(5)
    probe_training(model, windows, QUICK)
    probe_forward(model.predict_scores, windows, QUICK)
    assert (torch.rand(1), random.random(), np.random.rand()) == expected
    assert not model.training


def test_a_probe_measures_the_same_memory_in_any_context() -> None:
    model = VGAE(**SIZES)
    expected = probe_training(model, windows, QUICK).memory
    with torch.inference_mode():
        assert probe_training(model, windows, QUICK).memory == expected
    with torch.no_grad():
        assert probe_training(model, windows, QUICK).memory == expected


def test_a_result_survives_json() -> None:
    probe = probe_training(MODELS["gps"](), windows, ProbeConfig(max_graphs=16, repeats=1))
    text = json.dumps(probe.to_dict())
    assert ProbeResult.from_dict(json.loads(text)) == probe
    assert len(text) < 4096


def test_predictions_grow_with_everything_and_cover_what_is_fixed() -> None:
    probe = probe_training(GAT(**SIZES), windows, QUICK)
    sizes = [BatchShape(graphs=n, nodes=30 * n, edges=99 * n) for n in (1, 2, 50, 400)]
    peaks = [probe.memory.predict(one) for one in sizes]
    assert all(low < high for low, high in pairwise(peaks))
    seconds = [probe.seconds(one) for one in sizes]
    assert all(0 <= low <= high for low, high in pairwise(seconds))
    # Weights, gradients and two moments of each weight.
    weights = sum(p.nbytes for p in GAT(**SIZES).parameters())
    assert probe.fixed_bytes == pytest.approx(4 * weights, rel=0.01)
    assert peaks[0] > probe.fixed_bytes


def test_sizes_are_timed_up_to_the_largest_that_is_allowed() -> None:
    for growth, graphs in ((2, (1, 2, 4, 9, 18)), (4, (1, 4, 18)), (50, (1, 18))):
        config = ProbeConfig(
            graphs=1, max_graphs=18, growth=growth, max_seconds=1e9, repeats=1, misfit=1.0
        )
        probe = probe_training(GAT(**SIZES), windows, config)
        nodes = [windows(n).num_nodes for n in graphs]
        assert [found for found, _ in probe.throughput] == nodes
    config = ProbeConfig(graphs=2, max_graphs=6, max_bytes=1, repeats=1)
    assert len(probe_training(GAT(**SIZES), windows, config).throughput) == 1
    config = ProbeConfig(graphs=2, max_graphs=6, max_seconds=1e-9, repeats=1)
    assert len(probe_training(GAT(**SIZES), windows, config).throughput) == 1


def test_the_knee_is_the_smallest_size_near_the_best() -> None:
    assert knee([(100, 10.0), (200, 19.1), (400, 20.0), (800, 19.9)]) == 200
    assert knee([(100, 10.0), (200, 15.0)]) == 200
    with pytest.raises(ValueError, match="no throughput was measured"):
        knee([])


def test_a_duration_is_recovered_from_timed_steps() -> None:
    shapes = [
        BatchShape(graphs=g, nodes=n, edges=e)
        for g, n, e in ((8, 240, 800), (16, 480, 1600), (32, 900, 3200), (32, 900, 1600))
    ]
    found = fit_speed(shapes, [0.004 + 1e-5 * s.nodes + 2e-6 * s.edges for s in shapes])
    assert (found.constant, found.per_node, found.per_edge) == pytest.approx((0.004, 1e-5, 2e-6))
    falling = fit_speed(shapes, [0.5, 0.4, 0.3, 0.3])
    assert min(falling.constant, falling.per_node, falling.per_edge) >= 0


def test_what_cannot_be_probed_is_named() -> None:
    with pytest.raises(TypeError, match="Linear has no compute_loss"):
        probe_training(nn.Linear(2, 2), windows)
    with pytest.raises(ValueError, match="max_graphs must be at least 1"):
        ProbeConfig(max_graphs=0)
    with pytest.raises(ValueError, match="max_seconds must be positive"):
        ProbeConfig(max_seconds=0.0)
