"""A training batch that does not fit the device is split; the optimiser's step stays the same.

The outputs of a network are small beside what its backward pass keeps. So the network sees one
chunk of the batch after the other and keeps nothing, the loss sees the joined outputs, and the
backward pass runs each chunk again, with the gradient of its outputs (gradient caching, Gao et al.
2021, section 3.3). No loss has to be a sum over chunks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.autograd.graph import get_gradient_edge
from torch.nn.modules.batchnorm import _BatchNorm

from graphids.core.batch import GraphBatch
from graphids.core.budget import Budget
from graphids.core.models.draws import RandomState, Rows, WholeBatchDraws

Outputs = tuple[Tensor | None, ...]
"""What a network says of a batch: tensors with a row per node, edge or graph, in their order."""
Said = TypeVar("Said", bound=Outputs)


class SplitStep:
    """What a model is whose ``compute_loss`` calls its network through ``in_chunks``."""

    chunk: Budget | None = None
    """Most nodes and edges that go through the network at a time in training; none is no limit."""


@contextmanager
def splitting(model: nn.Module, chunk: Budget | None) -> Iterator[None]:
    """Training steps of ``model`` hold at most ``chunk`` at a time within the block.

    Raises:
        TypeError: The model cannot split a step.
    """
    if chunk is None:
        yield
        return
    if not isinstance(model, SplitStep):
        raise TypeError(
            f"{type(model).__name__} cannot split a batch: derive it from SplitStep and call its "
            "network through in_chunks, or train it without a chunk"
        )
    model.chunk = chunk
    try:
        yield
    finally:
        model.chunk = None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Where consecutive graphs of a batch stand in it."""

    nodes: slice
    """Their nodes."""
    edges: slice
    """Their edges."""
    graphs: slice
    """They themselves."""

    def of(self, batch: GraphBatch) -> GraphBatch:
        """These graphs as a batch of their own; on tensors of the batch, but for its indices."""
        nodes, edges, graphs = self.nodes, self.edges, self.graphs
        return GraphBatch(
            x=batch.x[nodes],
            node_id=batch.node_id[nodes],
            arbitration_id=batch.arbitration_id[nodes],
            edge_index=batch.edge_index[:, edges] - nodes.start,
            edge_attr=batch.edge_attr[edges],
            batch=batch.batch[nodes] - graphs.start,
            ptr=batch.ptr[graphs.start : graphs.stop + 1] - nodes.start,
            y=batch.y[graphs],
            attack_type=batch.attack_type[graphs],
            graph_index=batch.graph_index[graphs],
            step=None if batch.step is None else batch.step[nodes],
        )

    def rows(self, batch: GraphBatch) -> dict[str, Rows]:
        """Its rows of each kind among those of ``batch``."""
        return {
            "nodes": Rows(self.nodes.start, self.nodes.stop, batch.num_nodes),
            "edges": Rows(self.edges.start, self.edges.stop, batch.edge_index.shape[1]),
            "graphs": Rows(self.graphs.start, self.graphs.stop, batch.num_graphs),
        }


def chunks_of(batch: GraphBatch, budget: Budget) -> list[Chunk]:
    """Cuts a batch into consecutive graphs, each time as many as ``budget`` holds.

    Raises:
        ValueError: A graph alone exceeds the budget, or the edges do not stand graph by graph.
    """
    graph_of_edge = batch.batch.index_select(0, batch.edge_index[0])
    if bool((graph_of_edge.diff() < 0).any()):
        raise ValueError(
            "the edges of the batch do not stand graph by graph, so it cannot be split; sort them "
            "by the graph of their source"
        )
    before = torch.bincount(graph_of_edge, minlength=batch.num_graphs).cumsum(0)
    nodes, edges = batch.ptr.tolist(), [0, *before.tolist()]
    borders = [0]
    for graph in range(batch.num_graphs):
        own = nodes[graph + 1] - nodes[graph], edges[graph + 1] - edges[graph]
        if own[0] > budget.nodes or own[1] > budget.edges:
            raise ValueError(
                f"graph {int(batch.graph_index[graph])} has {own[0]} nodes and {own[1]} edges, "
                f"more than the budget of {budget.nodes} nodes and {budget.edges} edges that a "
                "batch is split under; shorten the window or raise the budget"
            )
        first = borders[-1]
        if (
            nodes[graph + 1] - nodes[first] > budget.nodes
            or edges[graph + 1] - edges[first] > budget.edges
        ):
            borders.append(graph)
    return [
        Chunk(slice(nodes[a], nodes[b]), slice(edges[a], edges[b]), slice(a, b))
        for a, b in pairwise([*borders, batch.num_graphs])
    ]


def split_batch(batch: GraphBatch, budget: Budget) -> list[GraphBatch]:
    """The graphs of ``batch`` in their order, in batches that hold at most ``budget``.

    ``min_steps_per_epoch`` is not read.

    Raises:
        ValueError: A graph alone exceeds the budget, or the edges do not stand graph by graph.
    """
    return [chunk.of(batch) for chunk in chunks_of(batch, budget)]


def in_chunks(
    net: nn.Module,
    call: Callable[..., Said],
    batch: GraphBatch,
    *of_nodes: Tensor,
    chunk: Budget | None,
) -> Said:
    """What ``call(batch, *of_nodes)`` gives, in chunks where it is to be differentiated.

    Noise is that of the whole batch, and so is torch's random state afterwards, so outputs and
    gradients are those of the plain call to rounding. A chunk goes through the network twice.
    Compiled parts run as written.

    Args:
        net: Whose parameters get a gradient.
        call: Gives the outputs of a batch by way of ``net``, and reads each window by itself.
        batch: Window graphs.
        of_nodes: What else ``call`` reads, with a row per node ``[V, ...]``.
        chunk: Most nodes and edges at a time; none calls once, whatever the size.

    Raises:
        ValueError: The batch must be split and the network mixes its windows, or as ``chunks_of``.
    """
    if chunk is None or not torch.is_grad_enabled() or _fits(batch, chunk):
        return call(batch, *of_nodes)
    _require_windows_apart(net)
    passes = _Passes(call, batch, of_nodes, chunks_of(batch, chunk))
    trained = [parameter for parameter in net.parameters() if parameter.requires_grad]
    return cast("Said", _InChunks.apply(passes, *trained))


def _fits(batch: GraphBatch, chunk: Budget) -> bool:
    return batch.num_nodes <= chunk.nodes and batch.edge_index.shape[1] <= chunk.edges


def _require_windows_apart(net: nn.Module) -> None:
    """Raises where a module reads more than one window at a time."""
    for name, module in net.named_modules():
        if isinstance(module, _BatchNorm) and module.training:
            raise ValueError(
                f"{name} ({type(module).__name__}) takes its statistics over all windows of a "
                "batch, so the batch cannot be split without changing the training; build the "
                "model with batch_norm=False, or choose a batch that fits without a split"
            )


class _Passes:
    """The passes of a batch through a network, chunk by chunk, each from one random state."""

    def __init__(
        self,
        call: Callable[..., Outputs],
        batch: GraphBatch,
        of_nodes: Sequence[Tensor],
        chunks: Sequence[Chunk],
    ) -> None:
        self.call, self.batch, self.of_nodes, self.chunks = call, batch, of_nodes, chunks
        self.start = RandomState.beside(batch.x)
        self.draws = WholeBatchDraws([chunk.rows(batch) for chunk in chunks])

    @contextmanager
    def chunk(self, index: int) -> Iterator[Outputs]:
        """Outputs of one chunk; within the block draws are still those of the whole batch."""
        self.start.restore()
        chunk = self.chunks[index]
        # Compiled code draws where no one sees it.
        with torch.compiler.set_stance("force_eager"), self.draws.chunk(index):
            yield self.call(chunk.of(self.batch), *(rows[chunk.nodes] for rows in self.of_nodes))

    def outputs(self) -> list[Outputs]:
        """Those of every chunk; the random state is then that after the whole batch.

        Raises:
            RuntimeError: Something drew otherwise than through torch's functions.
        """
        while True:
            self.draws.misread = False
            found, ends = [], set()
            for index in range(len(self.chunks)):
                with self.chunk(index) as outputs:
                    found.append(outputs)
                ends.add(RandomState.beside(self.batch.x).key())
            if self.draws.misread:
                continue
            if len(ends) > 1:
                raise RuntimeError(
                    "the chunks of a split batch drew different amounts of noise: the network "
                    "draws by a function that graphids.core.models.draws does not see; add it "
                    "there, or train with a batch that fits without a split"
                )
            return found

    def gradients(
        self, index: int, trained: Sequence[Tensor], of_outputs: Outputs
    ) -> tuple[Tensor | None, ...]:
        """Gradients of ``trained`` from those of the outputs of one chunk."""
        with torch.enable_grad(), self.chunk(index) as outputs:
            wanted = [
                (output, gradient)
                for output, gradient in zip(outputs, of_outputs, strict=True)
                if output is not None and output.requires_grad and gradient is not None
            ]
            # Asked for tensors, it would leave the block's draws before a checkpoint runs again.
            return torch.autograd.grad(
                [get_gradient_edge(output) for output, _ in wanted],
                [get_gradient_edge(parameter) for parameter in trained],
                [gradient for _, gradient in wanted],
                allow_unused=True,
            )


class _InChunks(torch.autograd.Function):
    """Outputs of all chunks forward, a second pass through each chunk backward."""

    @staticmethod
    def forward(ctx: Any, passes: _Passes, *trained: Tensor) -> tuple[Tensor | None, ...]:
        ctx.passes, ctx.trained = passes, trained
        ctx.set_materialize_grads(False)
        columns = [
            [part for part in column if part is not None]
            for column in zip(*passes.outputs(), strict=True)
        ]
        ctx.lengths = [[len(part) for part in column] for column in columns]
        return tuple(torch.cat(column) if column else None for column in columns)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *of_outputs: Tensor | None) -> tuple[Tensor | None, ...]:
        passes: _Passes = ctx.passes
        after = RandomState.beside(passes.batch.x)
        # The gradients of each output, by chunk.
        columns = [
            [None] * len(passes.chunks) if gradient is None else gradient.split(lengths)
            for gradient, lengths in zip(of_outputs, ctx.lengths, strict=True)
        ]
        total: Sequence[Tensor | None] = [None] * len(ctx.trained)
        for index, of_chunk in enumerate(zip(*columns, strict=True)):
            total = [*map(_plus, total, passes.gradients(index, ctx.trained, of_chunk))]
        after.restore()
        return (None, *total)


def _plus(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    """Their sum, of which a missing one is no part."""
    if first is None or second is None:
        return second if first is None else first
    return first + second
