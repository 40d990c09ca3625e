"""Packing decisions on devices that do not exist: shares, splits, refusals, retries."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphids.core.memory_model import BatchShape
from graphids.runner.cluster import limited
from graphids.runner.packing import (
    GIB,
    MOST_TENANTS,
    Device,
    DoesNotFitError,
    Refusal,
    bundle,
    held_at_once,
    in_few_shapes,
    packed_throughput,
    refusal_table,
    share,
    useful_tenants,
)

MIB = 2**20


def card(total: int = 16 * GIB, **settings: object) -> Device:
    known = {"cores": 16, "process_bytes": 500 * MIB, "overhead": 1.2} | settings
    return Device(name="a card", accelerated=True, total_bytes=total, **known)


@dataclass(frozen=True)
class Linear:
    """A memory model that grows with the nodes alone."""

    per_node: float
    constant: float = 0.0

    def predict(self, shape: BatchShape) -> int:
        return round(self.constant + self.per_node * shape.nodes)


@given(
    tensor=st.integers(1, 20 * GIB),
    total=st.integers(GIB, 80 * GIB),
    others=st.integers(0, 20 * GIB),
    cores=st.integers(1, 64),
)
def test_what_a_device_holds_at_once_fits_it(
    tensor: int, total: int, others: int, cores: int
) -> None:
    device = card(total, others_bytes=others, cores=cores)
    try:
        found = in_few_shapes(share(tensor, device), device)
    except DoesNotFitError:
        assert device.reservation(tensor) > device.free_bytes
        return
    assert found.tenants * device.reservation(tensor) <= device.free_bytes
    assert found.tenants * found.reserved_bytes <= device.free_bytes
    assert 1 <= found.tenants <= min(cores, MOST_TENANTS)
    assert found.reserved_bytes >= device.reservation(tensor)


@given(tensor=st.integers(1, 8 * GIB), more=st.integers(0, 8 * GIB))
def test_a_larger_trial_never_has_more_neighbours(tensor: int, more: int) -> None:
    device = card(40 * GIB)
    assert share(tensor + more, device).tenants <= share(tensor, device).tenants


def test_memory_of_others_is_left_to_them() -> None:
    alone = share(2 * GIB, card())
    beside = share(2 * GIB, card(others_bytes=8 * GIB))
    assert alone.binding == beside.binding == "memory"
    assert beside.tenants * beside.reserved_bytes <= 8 * GIB
    assert beside.tenants < alone.tenants


@pytest.mark.parametrize(
    ("throughput", "tenants"),
    [
        ({1: 100.0}, 1),
        ({1: 100.0, 2: 190.0, 4: 320.0, 8: 330.0, 16: 500.0}, 4),
        ({1: 100.0, 2: 104.0}, 1),
        ({1: 100.0, 2: 105.0, 4: 111.0}, 4),
        ({1: 100.0, 2: 90.0, 4: 400.0}, 1),
    ],
)
def test_tenants_grow_while_all_together_gain(throughput: dict[int, float], tenants: int) -> None:
    assert useful_tenants(throughput) == tenants
    bound = share(MIB, card(), throughput=throughput)
    assert bound.tenants == tenants


@pytest.mark.parametrize(
    ("alone", "tenants"), [(1.0, 1), (0.97, 1), (0.5, 2), (0.27, 4), (0.06, 16), (0.01, 16)]
)
def test_trials_are_packed_until_the_device_is_saturated(alone: float, tenants: int) -> None:
    assert useful_tenants(packed_throughput(alone)) == tenants


def test_throughput_without_a_single_trial_says_nothing() -> None:
    with pytest.raises(ValueError, match="one trial"):
        useful_tenants({2: 10.0})


def test_a_trial_out_of_memory_gets_more_then_the_whole_device() -> None:
    device = card()
    first, second, third = (share(2 * GIB, device, attempt=attempt) for attempt in range(3))
    assert second.reserved_bytes >= device.reservation(3 * GIB) > device.reservation(2 * GIB)
    assert second.tenants < first.tenants
    assert (third.tenants, third.binding) == (1, "alone")
    assert third.reserved_bytes == device.free_bytes


def test_a_retry_that_would_not_fit_gets_what_there_is() -> None:
    device = card(8 * GIB)
    assert share(5 * GIB, device).tenants == 1
    retried = share(5 * GIB, device, attempt=1)
    assert (retried.binding, retried.reserved_bytes) == ("alone", device.free_bytes)


def test_what_fits_no_device_is_refused_with_figures() -> None:
    with pytest.raises(DoesNotFitError, match=r"needs 25\.\d+ GiB, and a card has 16\.00 GiB free"):
        share(20 * GIB, card())


def test_few_shapes_for_many_demands() -> None:
    device = card(80 * GIB, cores=32)
    bundles = {
        tuple(bundle(in_few_shapes(share(size * MIB, device), device), device, 1.0).items())
        for size in range(100, 30_000, 100)
    }
    assert len(bundles) <= 6


def test_a_share_of_memory_leaves_each_core_its_part() -> None:
    node = Device(
        name="a node", accelerated=False, total_bytes=16 * GIB, cores=4, process_bytes=GIB // 2
    )
    small = in_few_shapes(share(100 * MIB, node), node)
    assert bundle(small, node, 1.0) == {"CPU": 1.0, "memory": 4.0 * GIB}
    alone = share(100 * MIB, node, attempt=2)
    assert bundle(alone, node, 1.0) == {"CPU": 4.0, "memory": 16.0 * GIB}


@given(most=st.integers(2_000, 100_000), per_node=st.floats(1.0, 50.0))
def test_what_is_held_at_once_fits_and_one_graph_more_does_not(most: int, per_node: float) -> None:
    batch = BatchShape(graphs=100, nodes=4_000, edges=10_000)
    model = Linear(per_node, constant=1_000.0)
    if model.predict(BatchShape(graphs=1, nodes=40, edges=100)) > most:
        with pytest.raises(DoesNotFitError, match="single graph of 40 nodes"):
            held_at_once([(model, batch)], most, "a card")
        return
    nodes, edges = held_at_once([(model, batch)], most, "a card")
    assert nodes % 40 == 0
    assert edges == nodes * 10_000 // 4_000
    assert model.predict(BatchShape(graphs=nodes // 40, nodes=nodes, edges=edges)) <= most
    if nodes < 4_000:
        assert model.predict(BatchShape(graphs=1, nodes=nodes + 40, edges=edges)) > most


def test_the_tightest_step_decides_what_is_held() -> None:
    batch = BatchShape(graphs=100, nodes=4_000, edges=10_000)
    both = held_at_once([(Linear(10.0), batch), (Linear(20.0), batch)], 20_000, "a card")
    assert both == held_at_once([(Linear(20.0), batch)], 20_000, "a card")


@pytest.mark.parametrize(("graphs", "expected"), [(90, [90, 60, 40]), (1, [1, 1, 1])])
def test_a_split_trial_holds_less_after_it_ran_out_of_memory(
    graphs: int, expected: list[int]
) -> None:
    """It had the whole device: the same part of a batch would fail again."""
    batch, model = BatchShape(graphs=100, nodes=4_000, edges=10_000), Linear(10.0)
    held = [held_at_once([(model, batch)], graphs * 400, "a card", n)[0] for n in range(3)]
    assert held == [40 * count for count in expected]


@given(
    reserved=st.integers(1, 80 * GIB), context=st.integers(0, GIB), others=st.integers(0, 8 * GIB)
)
def test_allocators_and_contexts_of_a_full_card_stay_within_what_is_free(
    reserved: int, context: int, others: int
) -> None:
    device = card(others_bytes=others, context_bytes=context, process_bytes=context + 32 * MIB)
    found = share(min(reserved, device.most_tensor_bytes), device)
    held = device.allocation(found.reserved_bytes) + context
    assert found.tenants * held <= device.free_bytes


@pytest.mark.parametrize("limit", [2 * GIB, 5 * GIB, 500 * GIB, None])
@pytest.mark.parametrize("tensor", [64 * MIB, 900 * MIB])
def test_no_more_trials_fit_a_node_than_its_limit_allows(limit: int | None, tensor: int) -> None:
    """Ray books the whole of a node's memory, whatever trials may use of it."""
    node = Device(
        name="a node", accelerated=False, total_bytes=44 * GIB, cores=16, process_bytes=GIB // 2
    )
    found = in_few_shapes(share(tensor, limited(node, limit)), limited(node, limit))
    asked = bundle(found, limited(node, limit), 1.0)
    room = min(node.total_bytes // asked["memory"], node.cores // asked["CPU"])
    assert room == found.tenants
    assert room * limited(node, limit).reservation(tensor) <= min(
        limit or node.total_bytes, 44 * GIB
    )


def test_a_limit_on_a_shared_card_is_for_trials_alone() -> None:
    shared = limited(card(80 * GIB, others_bytes=10 * GIB), 8 * GIB)
    assert shared.free_bytes == 8 * GIB
    assert limited(card(80 * GIB, others_bytes=75 * GIB), 8 * GIB).free_bytes == 5 * GIB


def test_every_core_of_a_node_is_used_and_contexts_on_a_card_are_bounded() -> None:
    node = Device(
        name="a node", accelerated=False, total_bytes=256 * GIB, cores=64, process_bytes=GIB // 2
    )
    assert in_few_shapes(share(64 * MIB, node), node).tenants == 64
    assert share(64 * MIB, card(256 * GIB, cores=64)).tenants == MOST_TENANTS


def test_a_refusal_names_each_trial_and_the_way_out() -> None:
    table = refusal_table([Refusal(label="classify ce", reason="needs 9 GiB")])
    assert "classify ce  needs 9 GiB" in table
    assert "--set STAGE.batch.nodes" in table
