"""Batches of any proportions, models and measured peaks for the tests of the probe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from graphids.core.batch import GraphBatch
from graphids.core.memory import step_peak
from graphids.core.memory_model import BatchShape, MemoryModel, Moment
from graphids.core.memory_trace import live_tensors
from graphids.core.models import DGI, GAT, VGAE
from graphids.core.probe import ProbeConfig, ProbeResult
from graphids.core.speed_model import SpeedModel

NUM_IDS = 20
SIZES: dict[str, Any] = {"num_ids": NUM_IDS, "in_channels": 35, "gradient_checkpointing": False}
MODELS: dict[str, Callable[[], nn.Module]] = {
    "gatv2": lambda: GAT(**SIZES),
    "transformer": lambda: GAT(**SIZES, conv_type="transformer"),
    "gps": lambda: GAT(**SIZES, conv_type="gps"),
    "vgae": lambda: VGAE(**SIZES),
    "dgi": lambda: DGI(**SIZES),
}
QUICK = ProbeConfig(max_graphs=8, repeats=1)
"""Enough where only memory is looked at."""


@contextmanager
def one_thread() -> Iterator[None]:
    """As trials run; two threads would wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def graphs_of(nodes: Sequence[int], edges: int, *, loops: int = 3, seed: int = 0) -> GraphBatch:
    """Graphs of the given nodes, each with as many ``edges``, of which ``loops`` are loops."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor(nodes)
    ptr = torch.cat((sizes.new_zeros(1), sizes.cumsum(0)))
    total, graphs = int(ptr[-1]), len(nodes)
    source = torch.rand(graphs, edges, generator=generator) * sizes[:, None]
    hop = 1 + torch.rand(graphs, edges, generator=generator) * (sizes[:, None] - 1).clamp(min=1)
    hop = hop.long().clamp(max=(sizes - 1).max())
    hop[:, :loops] = 0
    start = source.long().clamp(max=(sizes - 1)[:, None].expand(-1, edges))
    end = (start + hop.clamp(max=(sizes - 1)[:, None].expand(-1, edges))) % sizes[:, None]
    node_id = torch.randint(1, NUM_IDS, (total,), generator=generator)
    y = (torch.arange(graphs) % 3 == 0).long()
    return GraphBatch(
        x=torch.randn(total, 35, generator=generator),
        node_id=node_id,
        arbitration_id=node_id + 100,
        edge_index=torch.stack((start, end)).add_(ptr[:-1, None]).reshape(2, -1),
        edge_attr=torch.randn(graphs * edges, 11, generator=generator),
        batch=torch.arange(graphs).repeat_interleave(sizes),
        ptr=ptr,
        y=y,
        attack_type=y * 3,
        graph_index=torch.arange(graphs),
    )


def windows(num_graphs: int) -> GraphBatch:
    """Windows as a bus gives them: 22 to 38 nodes and always 99 edges."""
    nodes = 22 + torch.arange(num_graphs) * 7 % 17
    return graphs_of(nodes.tolist(), 99, loops=9)


def training(model: nn.Module) -> tuple[Callable[[GraphBatch], None], torch.optim.Optimizer]:
    """A step of training, its first one done, and the optimiser."""
    optimizer = model.configure_optimizers()

    def step(batch: GraphBatch) -> None:
        found = model.compute_loss(batch)
        loss = found[0] if isinstance(found, tuple) else found
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    step(windows(4).to(next(model.parameters()).device))
    return step, optimizer


def measured_peak(model: nn.Module, batch: GraphBatch) -> int:
    """Peak of a training step, measured."""
    step, optimizer = training(model)
    return step_peak(lambda: step(batch), "cpu", alive=lambda: live_tensors(model, optimizer))


def allocated_peak(call: Callable[[], object]) -> int:
    """Most bytes that the allocator gave at once during a call, of those that it gave in it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        call()
    now = peak = 0
    for event in profiled.profiler.kineto_results.events():
        if event.name() == "[memory]":
            now += event.nbytes()
            peak = max(peak, now)
    return peak


def flat_probe(
    *,
    constant: float = 0.0,
    per_node: float = 1.0,
    per_link: float = 0.0,
    throughput: tuple[tuple[int, float], ...] = ((100, 10.0),),
    knee_nodes: int = 100,
) -> ProbeResult:
    """A probe of a model that never existed."""
    moment = Moment(
        constant=constant, per_graph=0.0, per_node=per_node, per_link=per_link, per_loop=per_link
    )
    return ProbeResult(
        memory=MemoryModel(moments=(moment,)),
        fixed_bytes=round(constant),
        speed=SpeedModel(constant=0.001, per_node=1e-6, per_edge=1e-7),
        throughput=throughput,
        knee_nodes=knee_nodes,
        forward_seconds=0.01,
        backward_multiplier=2.5,
        device="none",
        probe_seconds=1.0,
    )


def shape(graphs: int, nodes: int, edges: int) -> BatchShape:
    """A shape of graphs of equal size."""
    return BatchShape(graphs=graphs, nodes=nodes, edges=edges)
