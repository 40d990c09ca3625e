"""Windows of several lengths: the same graphs as one by one, and units that parts never share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from traffic import random_messages

from graphids.core.budget import Budget
from graphids.data.loader import BudgetLoader, gather_batch
from graphids.data.multi_scale import multi_scale_graphs, scales_reach
from graphids.data.packed import PackedGraphs, build_graphs, concatenate
from graphids.data.splits import Part, audit, split

SCALES = (10, 20, 40)


def graphs_of(
    *sizes: int, windows: Sequence[int] = SCALES, stride: int = 20, rate: float = 0.004
) -> PackedGraphs:
    rng = np.random.default_rng([stride, *sizes])
    return concatenate(
        [
            multi_scale_graphs(random_messages(rng, n, attack_rate=rate), windows, stride)
            for n in sizes
        ]
    )


def test_every_scale_is_there_as_if_cut_alone_in_order_of_time() -> None:
    messages = random_messages(np.random.default_rng(0), 415)
    mixed = multi_scale_graphs(messages, (40, 20), 20)
    assert bool((mixed.first_message.diff() >= 0).all())
    assert mixed.num_edges[:4].tolist() == [19, 39, 19, 39]
    assert mixed.capture.unique().tolist() == [0]
    for window in (20, 40):
        alone = build_graphs(messages, window, 20)
        chosen = mixed.select((mixed.num_edges == window - 1).nonzero().flatten())
        for name in set(alone.tensors()) - {"node_id"}:
            assert torch.equal(chosen.tensors()[name], alone.tensors()[name])


def test_a_window_shorter_than_the_stride_skips_what_a_longer_one_holds() -> None:
    mixed = multi_scale_graphs(random_messages(np.random.default_rng(1), 100), (10, 30), 30)
    short = mixed.num_edges == 9
    assert mixed.first_message[short].tolist() == [0, 30, 60, 90]
    assert mixed.first_message[~short].tolist() == [0, 30, 60]
    assert len(multi_scale_graphs(random_messages(np.random.default_rng(1), 5))) == 0


@pytest.mark.parametrize(
    ("windows", "stride"), [(SCALES, 20), ((10, 20, 50), 15), ((5, 30), 30), ((20,), 7)]
)
def test_parts_share_no_message_and_a_unit_is_whole(windows: Sequence[int], stride: int) -> None:
    graphs = graphs_of(4000, 3000, 5000, 25, windows=windows, stride=stride)
    part = split(graphs, scales_reach(windows, stride), unit=stride)
    assert set(part.tolist()) == set(Part)
    assert all(count == 0 for pair in audit(graphs, part).values() for count in pair.values())
    held: dict[tuple[int, int], set[int]] = {}
    units: dict[tuple[int, int], set[int]] = {}
    for i in range(len(graphs)):
        capture, first = int(graphs.capture[i]), int(graphs.first_message[i])
        units.setdefault((capture, first // stride), set()).add(int(part[i]))
        if part[i] != Part.EMBARGO:
            for row in range(first, first + int(graphs.num_edges[i]) + 1):
                held.setdefault((capture, row), set()).add(int(part[i]))
    assert all(len(parts) == 1 for parts in (*held.values(), *units.values()))


def test_a_unit_is_an_attack_where_any_of_its_graphs_is() -> None:
    """The split is that of single windows with those labels."""
    graphs = graphs_of(3000, rate=0.003)
    unit = graphs.first_message // 20
    y = torch.zeros(int(unit.max()) + 1, dtype=torch.int64)
    for i, label in zip(unit.tolist(), graphs.y.tolist(), strict=True):
        y[i] = max(int(y[i]), label)
    first = torch.cat((torch.tensor([True]), unit.diff() > 0)).nonzero().flatten()
    singles = graphs.select(first)
    singles.y.copy_(y)
    assert 0 < y.sum() < len(y)
    assert torch.equal(split(graphs, 1, unit=20), split(singles, 1)[unit])


def test_mixed_sizes_are_gathered_like_one_by_one() -> None:
    """Also where the chosen graphs have the average size, as slabs of one size have."""
    graphs = graphs_of(2000, windows=(10, 20, 30), stride=10)
    generator = torch.Generator().manual_seed(0)
    choices = [torch.randperm(len(graphs), generator=generator)[:40] for _ in range(5)]
    middle = (graphs.num_edges == 19).nonzero().flatten()
    for index in (*choices, middle, torch.arange(len(graphs))):
        batch = gather_batch(graphs, index)
        one_by_one = [graphs[i] for i in index.tolist()]
        shift = batch.ptr[:-1].tolist()
        edges = [g.edge_index + s for g, s in zip(one_by_one, shift, strict=True)]
        assert torch.equal(batch.edge_index, torch.cat(edges, dim=1))
        assert torch.equal(batch.edge_attr, torch.cat([g.edge_attr for g in one_by_one]))
        assert torch.equal(batch.x, torch.cat([g.x for g in one_by_one]))
    loader = BudgetLoader(graphs, Budget(nodes=60, edges=120), generator=generator)
    seen = [i for batch in loader for i in batch.graph_index.tolist()]
    assert sorted(seen) == list(range(len(graphs)))


@pytest.mark.parametrize(
    ("windows", "stride", "word"),
    [
        ((), 100, "windows must be distinct"),
        ((50, 50), 10, "windows must be distinct"),
        ((1, 50), 10, "window must be 2"),
        ((50, 100), 101, "stride .101. exceeds window .100."),
        ((50, 100), 0, "stride must be at least 1"),
    ],
)
def test_scales_that_cannot_be_cut_are_refused(
    windows: tuple[int, ...], stride: int, word: str
) -> None:
    with pytest.raises(ValueError, match=word):
        multi_scale_graphs(random_messages(np.random.default_rng(0), 300), windows, stride)
