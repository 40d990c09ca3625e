"""Batches under a budget: complete, within bounds, equal to what PyG makes of the same graphs."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise

import pytest
import torch
from torch_geometric.data import Batch
from traffic import random_graphs

from graphids.core.batch import as_graph_batch
from graphids.core.budget import Budget
from graphids.data.loader import BudgetLoader, gather_batch
from graphids.data.packed import PackedGraphs, concatenate

GRAPHS = random_graphs(0, 200)
BUDGET = Budget(nodes=90, edges=200)


def shuffling(seed: int = 0, budget: Budget = BUDGET, **options: torch.Tensor) -> BudgetLoader:
    return BudgetLoader(GRAPHS, budget, generator=torch.Generator().manual_seed(seed), **options)


def epoch(loader: BudgetLoader) -> list[list[int]]:
    return [batch.graph_index.tolist() for batch in loader]


@pytest.mark.parametrize(
    ("graphs", "index"),
    [
        (GRAPHS, [5, 199, 0, 7]),
        (GRAPHS, []),
        (concatenate([GRAPHS, random_graphs(1, 30, window=9)]), [5, 229, 0, 201]),
        (
            concatenate([random_graphs(1, 2, window=10), random_graphs(2, 2, window=20)]),
            [0, 1, 3, 2],
        ),
        (concatenate([random_graphs(1, 2, window=11), random_graphs(2, 2, window=31)]), [2, 1]),
    ],
)
def test_a_batch_equals_what_pyg_makes_of_the_same_graphs(
    graphs: PackedGraphs, index: list[int]
) -> None:
    """Windows of one length and of several, which are gathered in two ways."""
    ours = gather_batch(graphs, torch.tensor(index, dtype=torch.int64))
    assert ours.graph_index.tolist() == index
    assert ours.num_graphs == len(index)
    if not index:
        assert ours.edge_index.shape == (2, 0)
        assert ours.num_nodes == 0
        return
    theirs = asdict(as_graph_batch(Batch.from_data_list([graphs[i] for i in index])))
    assert theirs.pop("graph_index").tolist() == list(range(len(index)))
    assert theirs.pop("step") is ours.step is None
    assert all(torch.equal(theirs[name], asdict(ours)[name]) for name in theirs)


@pytest.mark.parametrize(
    "budget", [BUDGET, Budget(nodes=10**6, edges=30), Budget(nodes=40, edges=10**6), Budget()]
)
def test_every_graph_once_per_epoch_within_the_budget(budget: Budget) -> None:
    loader = shuffling(budget=budget)
    for _ in range(3):
        batches = list(loader)
        assert sorted(i for b in batches for i in b.graph_index.tolist()) == list(range(200))
        assert all(b.num_nodes <= budget.nodes for b in batches)
        assert all(b.edge_index.shape[1] <= budget.edges for b in batches)


def test_batches_are_as_full_as_the_budget_allows() -> None:
    batches = list(BudgetLoader(GRAPHS, BUDGET))
    for a, b in pairwise(batches):
        first = GRAPHS[int(b.graph_index[0])]
        assert (
            a.num_nodes + first.num_nodes > BUDGET.nodes
            or a.edge_index.shape[1] + first.num_edges > BUDGET.edges
        )


def test_d33_order_and_composition_change_each_epoch() -> None:
    """D-33: neither the order nor which graphs share a batch is frozen, nor are sizes alike."""
    loader = shuffling()
    first, second = epoch(loader), epoch(loader)
    assert {frozenset(b) for b in first}.isdisjoint(frozenset(b) for b in second)
    assert epoch(shuffling()) == first
    assert epoch(shuffling(seed=1)) != first
    spread = [GRAPHS.num_nodes[batch].float().std() for batch in first[:-1]]
    assert torch.stack(spread).mean() > 0.5 * GRAPHS.num_nodes.float().std()


def test_without_a_generator_the_order_is_that_of_the_index() -> None:
    index = torch.tensor([9, 3, 3, 150, 20])
    loader = BudgetLoader(GRAPHS, BUDGET, index=index)
    assert not loader.shuffled
    assert [i for batch in epoch(loader) for i in batch] == index.tolist()
    assert epoch(loader) == epoch(loader)


def test_length_is_that_of_the_next_iteration() -> None:
    """Also when it is asked twice, in the middle of an epoch, or after one that was left."""
    loader = shuffling(budget=Budget(nodes=30, edges=10**6))
    lengths = set()
    for _ in range(20):
        length = len(loader)
        assert len(loader) == length == len(epoch(loader))
        lengths.add(length)
        next(iter(loader))
        running = iter(loader)
        next(running)
        length = len(loader)
        list(running)
        assert len(epoch(loader)) == length
    assert len(lengths) > 1


def test_asking_for_the_length_changes_no_epoch() -> None:
    asked, silent = shuffling(), shuffling()
    for _ in range(3):
        len(asked)
        assert epoch(asked) == epoch(silent)


def test_d34_a_graph_beyond_the_budget_is_an_error_not_skipped() -> None:
    """D-34: metrics over a subset of the graphs are no metrics."""
    big = int(GRAPHS.num_nodes.argmax())
    limit = int(GRAPHS.num_nodes.max()) - 1
    with pytest.raises(ValueError, match=f"graph {big} has {limit + 1} nodes"):
        BudgetLoader(GRAPHS, Budget(nodes=limit, edges=10**6))
    with pytest.raises(ValueError, match="none is skipped"):
        BudgetLoader(GRAPHS, Budget(nodes=10**6, edges=18))


@pytest.mark.parametrize("steps", [1, 7, 60, 199, 200, 1000])
def test_an_epoch_has_at_least_the_fewest_steps(steps: int) -> None:
    loader = shuffling(budget=Budget(min_steps_per_epoch=steps))
    batches = epoch(loader)
    assert min(steps, 200) <= len(batches) <= 200
    assert sorted(i for b in batches for i in b) == list(range(200))


def test_nothing_to_iterate_over_is_no_batch() -> None:
    loader = shuffling(index=torch.empty(0, dtype=torch.int64))
    assert len(loader) == 0
    assert epoch(loader) == []
