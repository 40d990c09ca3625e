"""Bytes are counted as the allocator gives them, and a card's constants are a neighbour's."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from probe_samples import MODELS, QUICK, allocated_peak, one_thread, training, windows
from torch import Tensor, nn
from torch.distributed._tools.mem_tracker import MemTracker

from graphids.core.card import Exercise, measure_card, neighbour_process
from graphids.core.memory import card_constants, device_name, limit_memory, step_peak
from graphids.core.memory_model import BatchShape, MemoryModel, Moment, fit_memory
from graphids.core.memory_trace import MemoryTrace, live_tensors
from graphids.core.probe import probe_training

CPU = torch.device("cpu")
GIB = 2**30


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def test_a_step_counts_what_it_reads_what_it_makes_and_what_it_frees() -> None:
    weights, unread = torch.zeros(1000), torch.zeros(50)

    def step() -> None:
        first = weights + 1
        second = first * 2
        del first
        second.view(10, 100).add_(1)
        torch.cat((second, second))

    assert step_peak(step, CPU) == 4 * (1000 + 1000 + 2000)
    assert step_peak(step, CPU, alive=lambda: [unread]) == 4 * (1000 + 1000 + 2000 + 50)
    assert step_peak(lambda: None, CPU) == 0


def test_what_is_freed_unread_counts_until_then() -> None:
    kept = [torch.zeros(100)]

    def step() -> None:
        torch.zeros(10)
        kept.clear()
        torch.zeros(60)

    assert step_peak(step, CPU, alive=lambda: kept) == 4 * 110


@pytest.mark.parametrize("name", MODELS)
def test_the_trace_of_a_training_step_peaks_where_the_allocator_does(name: str) -> None:
    torch.manual_seed(0)
    model, batch = MODELS[name](), windows(12)
    step, optimizer = training(model)
    # The profiler does not see what was there before it go: nothing may.
    optimizer.zero_grad()
    alive = {t.data_ptr(): t.nbytes for t in live_tensors(model, optimizer)}
    torch.manual_seed(1)
    with MemoryTrace(CPU, live_tensors(model, optimizer)) as trace:
        step(batch)
    read = trace.before - sum(alive.values())
    optimizer.zero_grad()
    torch.manual_seed(1)
    told = allocated_peak(lambda: step(batch)) + sum(alive.values()) + read
    assert trace.peak == pytest.approx(told, rel=2e-3)


class Loss(nn.Module):
    """The loss of a model as a forward pass, which is what torch's tracker follows."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x).square().mean()


def test_the_trace_agrees_with_the_tracker_of_torch() -> None:
    x = torch.randn(500, 64)

    def step(loss: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        value = loss(x)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()

    loss = Loss(nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.LayerNorm(128), nn.Linear(128, 8)))
    optimizer = torch.optim.Adam(loss.parameters())
    step(loss, optimizer)
    tracker = MemTracker()
    tracker.track_external(loss, optimizer, x)
    with tracker:
        step(loss, optimizer)
    told = sum(kinds["Total"] for kinds in tracker.get_tracker_snapshot("peak").values())
    ours = step_peak(
        lambda: step(loss, optimizer), CPU, alive=lambda: live_tensors(loss, optimizer)
    )
    assert ours == told


coefficients = st.floats(min_value=0, max_value=1e5, allow_subnormal=False)
planes = st.lists(st.tuples(*[coefficients] * 5), min_size=1, max_size=6)


@settings(deadline=None, max_examples=60)
@given(planes=planes, seed=st.integers(0, 2**16))
def test_planes_behind_traces_are_recovered(planes: list[tuple[float, ...]], seed: int) -> None:
    """The peak on shapes far larger is that of the planes, whichever of them is highest there."""
    rng = np.random.default_rng(seed)

    def random_shape(most: int) -> BatchShape:
        graphs = int(rng.integers(1, most))
        nodes, edges = graphs * int(rng.integers(2, 60)), graphs * int(rng.integers(0, 300))
        return BatchShape(
            graphs=graphs, nodes=nodes, edges=edges, loops=int(edges * rng.random() / 2)
        )

    def trace(one: BatchShape) -> list[tuple[str, float]]:
        assert one.loops is not None
        row = (1, one.graphs, one.nodes, one.edges - one.loops, one.loops)
        return [("op", 1000 + float(np.dot(row, plane))) for plane in planes]

    few = [random_shape(16) for _ in range(12)]
    model = fit_memory(few, [trace(one) for one in few])  # type: ignore[misc]
    for one in (random_shape(2000) for _ in range(20)):
        peak = max(lived for _, lived in trace(one))
        assert model.predict(one) == pytest.approx(peak, rel=1e-3)


def test_loops_that_a_shape_does_not_tell_have_their_measured_share() -> None:
    moment = Moment(constant=0, per_graph=0, per_node=0, per_link=100, per_loop=10)
    model = MemoryModel(moments=(moment,), loop_share=0.25)
    assert model.predict(BatchShape(graphs=1, nodes=1, edges=80)) == 60 * 100 + 20 * 10
    assert model.predict(BatchShape(graphs=1, nodes=1, edges=80, loops=0)) == 8000


def piecewise(graphs: int, *, order: tuple[str, str] = ("first", "last")) -> list[tuple[str, int]]:
    """A step that works on its graphs one by one, between two operations of every step."""
    pieces = [("piece", 500 + 10 * graphs)] * graphs
    return [(order[0], 100 * graphs), *pieces, (order[1], 700)]


def shape(graphs: int) -> BatchShape:
    return BatchShape(graphs=graphs, nodes=10 * graphs, edges=0, loops=0)


def test_steps_are_compared_at_the_operations_that_all_of_them_have() -> None:
    model = fit_memory([shape(n) for n in (1, 2, 4)], [piecewise(n) for n in (1, 2, 4)])
    assert model.misfit < 1e-9
    assert [model.predict(shape(n)) for n in (1, 3, 50)] == [700, 700, 5000]


def test_steps_without_a_common_order_are_fitted_by_their_peaks() -> None:
    traces = [piecewise(1), piecewise(2, order=("last", "first")), piecewise(4)]
    model = fit_memory([shape(n) for n in (1, 2, 4)], traces)
    assert len(model.moments) == 1
    assert model.predict(shape(2)) == 700


def test_a_held_out_step_judges_moments_that_are_not_the_highest_yet() -> None:
    """A work array of up to 300 bytes looks linear on the small steps, and grows no further."""
    shapes = [shape(n) for n in (1, 2, 3, 10)]
    traces = [[("work", min(300, 100 * s.graphs)), ("rest", 5000)] for s in shapes]
    assert fit_memory(shapes[:3], traces[:3]).misfit < 1e-9
    assert fit_memory(shapes, traces, held_out=1).misfit == pytest.approx(700 / 5000)
    with pytest.raises(ValueError, match="a fit needs a shape for each trace"):
        fit_memory(shapes, traces, held_out=4)


@dataclass
class FakeCard:
    """A card of 16 GiB on which other programs hold 2 GiB."""

    has_context: bool = False
    reserved: int = 0
    context: int = 300 * 2**20
    total_bytes: int = 16 * GIB
    exercise: Exercise = field(
        default_factory=lambda: Exercise(
            workspace_bytes=8 * 2**20,
            reserved_bytes=64 * 2**20,
            peak_allocated_bytes=48 * 2**20,
            peak_reserved_bytes=58 * 2**20,
        )
    )
    present: bool = False

    def used_bytes(self) -> int:
        """Others, this process, and the neighbour while it is there."""
        own = self.reserved + (self.context if self.has_context else 0)
        neighbour = self.context + self.exercise.reserved_bytes if self.present else 0
        return 2 * GIB + own + neighbour

    def reserved_bytes(self) -> int:
        return self.reserved

    @contextmanager
    def neighbour(self) -> Iterator[Exercise]:
        self.present = True
        yield self.exercise
        self.present = False


@pytest.mark.parametrize("card", [FakeCard(), FakeCard(has_context=True, reserved=GIB)])
def test_constants_of_a_card_do_not_depend_on_this_process(card: FakeCard) -> None:
    found = measure_card(card)
    assert card_constants("cuda", card) == found
    assert (found.total_bytes, found.others_bytes) == (16 * GIB, 2 * GIB)
    assert (found.context_bytes, found.workspace_bytes) == (300 * 2**20, 8 * 2**20)
    assert found.reserved_ratio == 1.25
    assert not card.present


def test_a_neighbour_tells_its_exercise_and_leaves_when_it_is_let_go() -> None:
    told = FakeCard().exercise
    code = f"import sys; print({json.dumps(asdict(told))!r}, flush=True); sys.stdin.read()"
    with neighbour_process([sys.executable, "-c", code]) as exercise:
        assert exercise == told
    with (
        pytest.raises(RuntimeError, match="ended without a result"),
        neighbour_process([sys.executable, "-c", "raise SystemExit(3)"]),
    ):
        pass


def test_a_cpu_has_a_name_and_no_limit() -> None:
    assert str(torch.get_num_threads()) in device_name("cpu")
    limit_memory(2**20, "cpu")
    with pytest.raises(ValueError, match="most_bytes must be at least 1"):
        limit_memory(0)
    with pytest.raises(ValueError, match="needs a CUDA device"):
        card_constants("cpu")


@pytest.mark.gpu
def test_a_gpu_peaks_where_it_is_predicted_to_and_has_constants() -> None:
    torch.manual_seed(0)
    model = MODELS["gatv2"]().cuda()
    probe = probe_training(model, lambda n: windows(n).to("cuda"), QUICK)
    step, _ = training(model)
    before = torch.cuda.memory_allocated()
    fixed = probe.fixed_bytes
    batch = windows(200).to("cuda")
    peak = step_peak(lambda: step(batch), "cuda") - before + fixed
    assert probe.memory.predict(BatchShape.of(batch)) == pytest.approx(peak, rel=0.05)
    card = card_constants("cuda")
    assert 0 < card.context_bytes < card.total_bytes
    assert card.reserved_ratio >= 1.0
