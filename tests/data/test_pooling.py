"""Pooled windows against a loop over windows; which columns speak of time alone."""

from __future__ import annotations

import numpy as np
import torch

from graphids.data.features import EDGE_FEATURES, NODE_FEATURES
from graphids.data.packed import PackedGraphs, build_graphs
from graphids.data.pooling import (
    POOLED_FEATURES,
    TIMING_FEATURES,
    WINDOW_FEATURES,
    pool_windows,
)
from graphids.data.simulate import simulate_capture
from graphids.data.simulate_settings import SIMULATED

GRAPHS: PackedGraphs = build_graphs(simulate_capture(SIMULATED["sim_small"][0]), 100, 100)
COLUMN = {name: i for i, name in enumerate(WINDOW_FEATURES)}


def test_every_column_is_that_of_the_loop() -> None:
    pooled = pool_windows(GRAPHS).numpy()
    assert pooled.shape == (len(GRAPHS), len(WINDOW_FEATURES))
    for i in range(0, len(GRAPHS), 7):
        graph, row = GRAPHS[i], pooled[i]
        for kind, values, names in (
            ("node", graph.x, NODE_FEATURES),
            ("edge", graph.edge_attr, EDGE_FEATURES),
        ):
            array = values.numpy().astype(np.float64)
            for j, name in enumerate(names):
                expected = array[:, j].mean(), array[:, j].max(), array[:, j].std()
                found = [row[COLUMN[f"{kind}_{s}_{name}"]] for s in ("mean", "max", "std")]
                np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        span = int(graph.span_ns) * 1e-9
        np.testing.assert_allclose(row[COLUMN["span_s"]], span, rtol=1e-5)
        counts, gaps = (
            graph.x[:, NODE_FEATURES.index(n)].tolist() for n in ("msg_count", "node_iat_mean")
        )
        rates = {
            "rate": [count / span for count in counts],
            "own_rate": [1 / g if c > 1 else 0.0 for c, g in zip(counts, gaps, strict=True)],
        }
        for name, rate in rates.items():
            found = [row[COLUMN[f"node_{s}_{name}"]] for s in ("mean", "max", "std")]
            expected = np.mean(rate), np.max(rate), np.std(rate)
            np.testing.assert_allclose(found, expected, rtol=1e-4)
        assert row[COLUMN["num_nodes"]] == graph.x.shape[0]


def test_timing_columns_do_not_follow_payloads_and_ids() -> None:
    turned = GRAPHS.x.clone()
    turned[:, :24] = turned[:, :24].flip(0)  # bytes
    edges = GRAPHS.edge_attr.clone()
    edges[:, 1:9] = edges[:, 1:9].flip(0)
    other = PackedGraphs.from_tensors(
        {
            **GRAPHS.tensors(),
            "x": turned,
            "edge_attr": edges,
            "arbitration_id": GRAPHS.arbitration_id.flip(0),
        },
        GRAPHS.num_ids,
    )
    first, second = pool_windows(GRAPHS), pool_windows(other)
    assert torch.equal(first[:, list(TIMING_FEATURES)], second[:, list(TIMING_FEATURES)])
    assert not torch.equal(first[:, list(POOLED_FEATURES)], second[:, list(POOLED_FEATURES)])


def test_no_window_gives_no_row() -> None:
    empty = GRAPHS.select(torch.empty(0, dtype=torch.int64))
    assert pool_windows(empty).shape == (0, len(WINDOW_FEATURES))
