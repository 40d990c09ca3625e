"""What a lead-in says, against a loop over windows and nodes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from graphids.data.features import NODE_FEATURES
from graphids.data.lead_in import (
    RELATIVE_CLIP,
    lead_in_features,
    lead_in_mask,
    relative_to_lead_in,
)
from graphids.data.packed import PackedGraphs, build_graphs, concatenate
from graphids.data.simulate import simulate_capture
from graphids.data.simulate_settings import SIMULATED

SECONDS = 1.0
COUNT = 24
COUNTS = [NODE_FEATURES.index(name) for name in ("msg_count", "in_degree", "out_degree")]


@pytest.fixture(scope="module")
def graphs() -> PackedGraphs:
    captures = [c for c in SIMULATED["sim_small"] if c.subset.startswith("test_0")][:3]
    return concatenate([build_graphs(simulate_capture(c), 100, 100) for c in captures])


def by_loop(graphs: PackedGraphs, seconds: float = SECONDS) -> tuple[np.ndarray, np.ndarray]:
    """Mask ``[G]`` and features ``[G, 3]``, one window and one node at a time."""
    mask, rows = np.zeros(len(graphs), dtype=bool), np.zeros((len(graphs), 3))
    end = graphs.start_ns + graphs.span_ns
    for capture in graphs.capture.unique().tolist():
        windows = [i for i in range(len(graphs)) if int(graphs.capture[i]) == capture]
        lead = [i for i in windows if int(end[i]) <= seconds * 1e9] or windows[:1]
        mask[lead] = True
        most: dict[int, float] = {}
        for i in lead:
            for node, count in zip(graphs[i].arbitration_id, graphs[i].x[:, COUNT], strict=True):
                most[int(node)] = max(most.get(int(node), 0.0), float(count))
        shortest = min(int(graphs.span_ns[i]) for i in lead)
        for i in windows:
            nodes = list(zip(graphs[i].arbitration_id, graphs[i].x[:, COUNT], strict=True))
            rows[i] = (
                sum(int(node) not in most for node, _ in nodes),
                np.log(shortest) - np.log(int(graphs.span_ns[i])),
                max(float(count) - most.get(int(node), 0.0) for node, count in nodes),
            )
    return mask, rows


def test_features_are_those_of_the_loop(graphs: PackedGraphs) -> None:
    mask, rows = by_loop(graphs)
    assert np.array_equal(lead_in_mask(graphs, SECONDS).numpy(), mask)
    np.testing.assert_allclose(lead_in_features(graphs, SECONDS), rows, rtol=1e-5, atol=1e-6)
    assert (rows[mask, 0] == 0).all()
    assert rows[:, 0].max() > 0, "no window with an unknown id: the test would show nothing"


def test_a_capture_without_a_window_inside_has_its_first_one(graphs: PackedGraphs) -> None:
    mask, rows = by_loop(graphs, 1e-3)
    assert int(mask.sum()) == graphs.capture.unique().numel()
    assert np.array_equal(lead_in_mask(graphs, 1e-3).numpy(), mask)
    np.testing.assert_allclose(lead_in_features(graphs, 1e-3), rows, rtol=1e-5, atol=1e-6)


def test_no_label_is_read(graphs: PackedGraphs) -> None:
    turned = replace(graphs, y=1 - graphs.y, attack_type=graphs.attack_type.flip(0))
    assert torch.equal(lead_in_features(turned, SECONDS), lead_in_features(graphs, SECONDS))
    assert torch.equal(
        relative_to_lead_in(turned, SECONDS).x, relative_to_lead_in(graphs, SECONDS).x
    )


def test_captures_do_not_bear_on_one_another(graphs: PackedGraphs) -> None:
    one = graphs.select((graphs.capture == 1).nonzero().flatten())
    inside = graphs.capture == 1
    assert torch.equal(lead_in_features(one, SECONDS), lead_in_features(graphs, SECONDS)[inside])


def test_relative_nodes_are_standardised_where_the_lead_in_knows_them(
    graphs: PackedGraphs,
) -> None:
    relative = relative_to_lead_in(graphs, SECONDS)
    assert relative.x.shape == graphs.x.shape
    assert relative.x.isfinite().all()
    assert relative.x.abs().max() <= RELATIVE_CLIP
    lead = lead_in_mask(graphs, SECONDS).repeat_interleave(graphs.num_nodes)
    assert relative.x[lead].mean(0).abs().max() < 0.5
    # Unchanged but for the node features.
    assert torch.equal(relative.edge_attr, graphs.edge_attr)
    assert torch.equal(relative.arbitration_id, graphs.arbitration_id)


def test_relative_nodes_are_those_of_the_loop(graphs: PackedGraphs) -> None:
    mask, _ = by_loop(graphs)
    relative = relative_to_lead_in(graphs, SECONDS)
    for capture in graphs.capture.unique().tolist():
        lead = [i for i in np.flatnonzero(mask) if int(graphs.capture[i]) == capture]
        rows: dict[int, list[np.ndarray]] = {}
        for i in lead:
            for node, x in zip(graphs[i].arbitration_id.tolist(), graphs[i].x, strict=True):
                rows.setdefault(node, []).append(x.double().numpy())
        everything = [row for own in rows.values() for row in own]
        within = sum(len(own) * np.var(own, axis=0) for own in rows.values()) / len(everything)
        last = int((graphs.capture == capture).nonzero().max())
        for i in (lead[0], last - 1, last):
            for node, x, found in zip(
                graphs[i].arbitration_id.tolist(), graphs[i].x, relative[i].x, strict=True
            ):
                own = rows.get(node, [])
                mean = np.mean(own or everything, axis=0)
                variance = (sum((row - mean) ** 2 for row in own) + 20 * within) / (len(own) + 20)
                z = (x.double().numpy() - mean) / np.maximum(np.sqrt(variance), 1e-6)
                z = np.clip(z, -RELATIVE_CLIP, RELATIVE_CLIP)
                z[COUNTS] = z[COUNTS] if own else RELATIVE_CLIP
                np.testing.assert_allclose(found, z, rtol=1e-3, atol=1e-3)


def test_an_id_that_the_lead_in_lacks_stays_recognisable(graphs: PackedGraphs) -> None:
    lead = lead_in_mask(graphs, SECONDS).repeat_interleave(graphs.num_nodes)
    capture = graphs.capture.repeat_interleave(graphs.num_nodes)
    known = {
        (int(c), int(a)) for c, a in zip(capture[lead], graphs.arbitration_id[lead], strict=True)
    }
    new = torch.tensor(
        [(int(c), int(a)) not in known for c, a in zip(capture, graphs.arbitration_id, strict=True)]
    )
    assert new.any()
    assert (relative_to_lead_in(graphs, SECONDS).x[new][:, COUNTS] == RELATIVE_CLIP).all()


def test_a_lead_in_must_last(graphs: PackedGraphs) -> None:
    for function in (lead_in_mask, lead_in_features, relative_to_lead_in):
        with pytest.raises(ValueError, match="longer than 0 s"):
            function(graphs, 0.0)
