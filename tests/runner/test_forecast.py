"""What trials are expected to need: shapes measured once, sizes before anything is prepared."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphids.core.memory_model import BatchShape
from graphids.data.datasets import open_dataset
from graphids.runner.expansion import make_plan
from graphids.runner.forecast import TORCH, Expected, Forecast, shape_key
from graphids.runner.jobs import Job
from graphids.runner.measuring import measure_here
from graphids.runner.outlook import START_S, outlook
from graphids.runner.packing import GIB, Device, Share
from graphids.runner.plan import DatasetInfo, Plan
from graphids.runner.reservation import Reservations
from graphids.stages.protocol import Demand
from graphids.store.measurements import Measurements
from graphids.store.outputs import OutputStore
from grids.smoke import BASELINE, GRID

MIB = 2**20
NODE = Device(
    name="a node", accelerated=False, total_bytes=16 * GIB, cores=2, process_bytes=GIB // 2
)


@dataclass(frozen=True)
class Linear:
    """A memory model that grows with the nodes alone."""

    per_node: float

    def predict(self, shape: BatchShape) -> int:
        return round(self.per_node * shape.nodes)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return make_plan(GRID, [DatasetInfo(name="sim_small", digest="d" * 64)], None)


def by_label(plan: Plan, start: str) -> list[str]:
    return [key for key, trial in plan.trials.items() if trial.label.startswith(start)]


def test_losses_and_seeds_have_one_shape_and_models_their_own(plan: Plan) -> None:
    shapes = {
        start: {shape_key(plan.trials[key]) for key in by_label(plan, start)}
        for start in ("classify ce", "classify focal", "autoencode", "extract")
    }
    assert all(len(found) == 1 and None not in found for found in shapes.values())
    assert shapes["classify ce"] == shapes["classify focal"]
    assert len(set.union(*shapes.values())) == 3


def test_a_wider_network_or_other_data_has_another_shape(plan: Plan) -> None:
    trial = plan.trials[by_label(plan, "classify ce")[0]]
    wider = replace(BASELINE, model=replace(BASELINE.model, embedding_dim=65))
    longer = replace(BASELINE, fit=replace(BASELINE.fit, max_epochs=99))
    assert shape_key(replace(trial, stage=wider)) != shape_key(trial)
    assert shape_key(replace(trial, dataset_digest="e" * 64)) != shape_key(trial)
    assert shape_key(replace(trial, stage=longer)) == shape_key(trial)


@pytest.mark.parametrize("damage", ["{", '{"accelerated": tr', ""])
def test_a_damaged_measurement_is_as_good_as_none(plan: Plan, tmp_path: Path, damage: str) -> None:
    forecast = Forecast(plan, OutputStore(tmp_path), NODE)
    key = by_label(plan, "classify ce")[0]
    shape = forecast.unmeasured(key)
    assert shape is not None
    kept = Measurements(tmp_path)
    kept.write(shape, "cpu", TORCH, {"accelerated": False})
    assert len(kept.read(shape, TORCH, accelerated=False)) == 1
    assert kept.read(shape, TORCH, accelerated=True) == []
    assert kept.read(shape, "0.0", accelerated=False) == []
    next((tmp_path / "cache" / "probes" / shape).iterdir()).write_text(damage)
    assert forecast.unmeasured(key) == shape


def test_a_plan_is_measured_once_and_without_any_output(tmp_path: Path) -> None:
    dataset = DatasetInfo(name="sim_small", digest=open_dataset("sim_small", None).digest)
    from_scratch = make_plan(replace(GRID, references=()), [dataset], None)
    store = OutputStore(tmp_path)
    told: list[str] = []
    forecast = Forecast(from_scratch, store, NODE)
    measure_here(forecast, store, told.append)
    assert len([line for line in told if line.startswith("measuring")]) == 3
    assert store.committed() == {}
    again: list[str] = []
    fresh = Forecast(from_scratch, store, NODE)
    measure_here(fresh, store, again.append)
    assert again == []
    expected = fresh.expected({})
    measured = [key for key, trial in from_scratch.trials.items() if shape_key(trial)]
    assert measured
    for key in measured:
        one = expected[key]
        assert one.basis == "probe"
        assert one.seconds > 0
        assert one.peak_bytes > (one.demand.tensor_bytes or 0) > 0
        assert one.share.tenants == 2
    assert json.loads(json.dumps(outlook(from_scratch, expected, (), NODE).to_dict()))["slots"] == 2


@given(seconds=st.lists(st.floats(0.1, 100.0), min_size=33, max_size=33), slots=st.integers(1, 4))
def test_a_schedule_is_no_shorter_than_its_bounds(
    plan: Plan, seconds: list[float], slots: int
) -> None:
    share = Share(tenants=slots, reserved_bytes=GIB, binding="cores")
    expected = {
        key: Expected(demand=Demand(), share=share, seconds=taken, basis="probe", peak_bytes=GIB)
        for key, taken in zip(plan.trials, seconds, strict=True)
    }
    device = replace(NODE, cores=slots)
    found = outlook(plan, expected, (), device)
    lower = max(found.critical_seconds, found.work_seconds / slots)
    assert lower <= found.seconds - START_S + 1e-6
    # Graham's bound for list schedules.
    assert found.seconds - START_S <= found.work_seconds / slots + found.critical_seconds + 1e-6
    if slots == 1:
        assert found.seconds - START_S == pytest.approx(found.work_seconds)


def test_what_is_committed_takes_no_time(plan: Plan) -> None:
    share = Share(tenants=1, reserved_bytes=GIB, binding="cores")
    one = Expected(demand=Demand(), share=share, seconds=5.0, basis="probe", peak_bytes=GIB)
    expected = dict.fromkeys(plan.trials, one)
    assert outlook(plan, expected, plan.trials, NODE).seconds == 0.0
    left = list(plan.trials)[-1]
    rest = outlook(plan, expected, set(plan.trials) - {left}, NODE)
    assert rest.seconds == START_S + 5.0


def test_siblings_hold_the_same_part_of_a_batch_whatever_is_learned_between(
    plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows whose batches were split differently do not compare."""
    batch = BatchShape(graphs=100, nodes=4_000, edges=10_000)
    demand = Demand(
        tensor_bytes=400 * MIB, resident_bytes=420 * MIB, steps=((Linear(0.1 * MIB), batch),)
    )
    monkeypatch.setattr(Forecast, "demand", lambda self, key: demand)
    small = replace(NODE, total_bytes=800 * MIB)
    forecast = Forecast(plan, OutputStore(tmp_path), small)
    ce, focal = (by_label(plan, f"classify {loss}")[0] for loss in ("ce", "focal"))
    _, first = forecast.share(ce)
    assert first is not None
    assert first[0] < 4_000
    forecast.device = replace(small, process_bytes=small.process_bytes + 50 * MIB)
    assert forecast.share(focal)[1] == first
    _, again = forecast.share(focal, attempt=1)
    assert again is not None
    assert again[0] < first[0]
    # Even where a later probe leaves no room at all.
    forecast.device = replace(small, process_bytes=small.total_bytes + MIB)
    told = Reservations(forecast).config(Job(keys=(focal,), label="focal"))["reserved"]
    assert told["holds"] == first
