"""Peak memory of a step as a function of its batch, fitted on a few small steps.

After each operation of a step the bytes that live are linear in what the batch holds, and the peak
is the highest of these planes. Which of them that is depends on the batch: one within the
convolutions where edges are many, one of the layers after them where nodes are. A single plane
through measured peaks would misjudge batches with other edges a node than those it was fitted on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog, nnls

from graphids.core.batch import GraphBatch

Trace = Sequence[tuple[str, int]]
"""Name of each operation of a step and the bytes that live after it."""
FAR = 1e-5
"""Misfit, as a share of the peak, from which padding is tried as an explanation."""
MUCH_BETTER = 0.2
"""Padding explains the bytes where it leaves at most this share of the misfit."""
INFEASIBLE = 2
"""Status of a linear programme that no point fulfils."""
CLOSE = 1e-5
"""Share of a peak by which leaving out a plane may lower it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchShape:
    """How much a batch holds: all that the memory and the time of a step depend on."""

    graphs: int
    """Graphs."""
    nodes: int
    """Nodes of all graphs."""
    edges: int
    """Edges of all graphs."""
    squares: int = 0
    """Graphs times the square of the nodes of the largest one: pairs of nodes where attention is
    among all nodes of a graph, which pads each graph to the largest. At least what graphs of equal
    size have; 0 is that.
    """
    loops: int | None = None
    """Those edges that lead from a node to itself; none is the share of the measured batches."""

    @classmethod
    def of(cls, batch: GraphBatch) -> BatchShape:
        """The shape of a batch."""
        most = int(batch.ptr.diff().max()) if batch.num_graphs > 0 else 0
        source, target = batch.edge_index
        return cls(
            graphs=batch.num_graphs,
            nodes=batch.num_nodes,
            edges=source.numel(),
            squares=batch.num_graphs * most**2,
            loops=int((source == target).sum()),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """Bytes that live after one operation of the step: a plane with no negative coefficient."""

    constant: float
    """Bytes whatever the batch: weights, gradients, the optimiser's state."""
    per_graph: float
    """Bytes a graph."""
    per_node: float
    """Bytes a node."""
    per_link: float
    """Bytes an edge between two different nodes."""
    per_loop: float
    """Bytes an edge from a node to itself; many convolutions put one loop a node in their place."""
    per_padded: float = 0.0
    """Bytes a node after each graph is padded to the largest."""
    per_square: float = 0.0
    """Bytes a pair of nodes of a graph after it is padded to the largest."""


_COLUMNS = len(fields(Moment))
_UNPADDED = _COLUMNS - 2


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryModel:
    """Predicts the peak of a step, exactly where its operations do not depend on the data."""

    moments: tuple[Moment, ...]
    """The planes of which each is the highest for some batch."""
    loop_share: float = 0.0
    """Share of edges from a node to itself in the measured batches."""
    factor: float = 1.0
    """Peak that the device's allocator told, over that of the tensors."""
    misfit: float = 0.0
    """Largest error of a moment on the steps that judge the fit, as a share of the step's peak."""

    def predict(self, shape: BatchShape) -> int:
        """Peak bytes of a step on a batch of this shape, what lives before the step included."""
        row = _row(shape, self.loop_share)
        return round(self.factor * max(float(row @ astuple(moment)) for moment in self.moments))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self) | {"moments": [list(astuple(moment)) for moment in self.moments]}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> MemoryModel:
        """The model whose ``to_dict`` is given."""
        moments = tuple(_moment(values) for values in found["moments"])
        return cls(**{**found, "moments": moments})


def fit_memory(
    shapes: Sequence[BatchShape], traces: Sequence[Trace], *, held_out: int = 0
) -> MemoryModel:
    """The model behind the traces of some steps.

    Coefficients are those with the least squared relative error among the non-negative ones.

    Args:
        shapes: Shape of each step's batch, with its loops counted.
        traces: What lived in each step.
        held_out: How many of the last steps judge the fit and are no part of it. Each moment must
            be right on them: one that is not the highest yet may be so on a larger batch.

    Raises:
        ValueError: There is no step to fit, or not as many shapes as traces.
    """
    steps = len(shapes) - held_out
    if steps < 1 or len(shapes) != len(traces):
        raise ValueError(
            f"a fit needs a shape for each trace and a step beside the {held_out} held out (got "
            f"{len(shapes)} shapes and {len(traces)} traces); measure more steps"
        )
    lived = np.unique(_aligned(traces), axis=1)
    edges = sum(shape.edges for shape in shapes)
    loop_share = sum(shape.loops or 0 for shape in shapes) / max(1, edges)
    rows = np.array([_row(shape, loop_share) for shape in shapes])
    planes, misfit = _planes(rows[:, :_UNPADDED], lived, steps)
    if misfit > FAR:
        padded, padded_misfit = _planes(rows, lived, steps)
        if padded_misfit <= MUCH_BETTER * misfit:
            planes, misfit = padded, padded_misfit
    moments = tuple(_moment(plane) for plane in _highest(planes))
    return MemoryModel(moments=moments, loop_share=loop_share, misfit=misfit)


def _aligned(traces: Sequence[Trace]) -> NDArray[np.float64]:
    """Bytes at moments that every step has ``[steps, moments]``.

    What a step does piece by piece it does more often on a larger batch. So operations that all
    steps do equally often are the marks; each of them is a moment, and so is the highest value
    between it and the next. Without marks in one order a step's peak is the only moment.
    """
    counts = [Counter(name for name, _ in trace) for trace in traces]
    marks = {name for name, n in counts[0].items() if all(c[name] == n for c in counts)}
    orders = {tuple(name for name, _ in trace if name in marks) for trace in traces}
    if len(orders) > 1:
        marks = set()
    rows = []
    for trace in traces:
        highest = [0]
        for name, lived in trace:
            if name in marks:
                highest += [lived, 0]
            else:
                highest[-1] = max(highest[-1], lived)
        rows.append(highest)
    return np.array(rows, dtype=np.float64)


def _row(shape: BatchShape, loop_share: float) -> NDArray[np.float64]:
    """What a batch holds, in the order of the fields of ``Moment``."""
    loops = loop_share * shape.edges if shape.loops is None else shape.loops
    # Graphs of equal size have the fewest pairs, so a shape that does not tell them has these.
    squares = max(shape.squares, shape.nodes**2 / max(1, shape.graphs))
    padded = (shape.graphs * squares) ** 0.5
    return np.array(
        [1, shape.graphs, shape.nodes, shape.edges - loops, loops, padded, squares],
        dtype=np.float64,
    )


def _planes(
    rows: NDArray[np.float64], lived: NDArray[np.float64], steps: int
) -> tuple[NDArray[np.float64], float]:
    """A plane for each column of ``lived [n, moments]`` and their largest misfit.

    The first ``steps`` make the planes, the others, or these where there are none, judge them.
    Steps weigh by the inverse of their peak, and columns of ``rows [n, columns]`` are scaled to a
    largest value of 1: the solver would lose small coefficients otherwise.
    """
    peaks = lived.max(axis=1, keepdims=True)
    scale = np.maximum(rows.max(axis=0), 1.0)
    left, right = rows / scale / peaks, lived / peaks
    scaled = np.array([nnls(left[:steps], column)[0] for column in right[:steps].T])
    judges = slice(steps, None) if steps < len(rows) else slice(None)
    misfit = float(np.abs(left[judges] @ scaled.T - right[judges]).max())
    return scaled / scale, misfit


def _highest(planes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Those of ``planes [n, columns]`` that are the highest for some batch.

    A plane is one of them unless a mean of others lies above it in every coefficient. Where one
    does is a linear programme; most planes lie below a single other, which needs none.
    """
    scaled = planes / np.maximum(planes.max(axis=0), 1e-300)
    order = scaled.sum(axis=1).argsort()[::-1]
    kept: list[int] = []
    for index in order:
        if not kept or not _covered(scaled[index], scaled[kept]):
            kept.append(int(index))
    return planes[kept]


def _covered(plane: NDArray[np.float64], others: NDArray[np.float64]) -> bool:
    """Whether no batch has ``plane [columns]`` above all ``others [n, columns]`` by ``CLOSE``."""
    above = (1.0 + CLOSE) * others - plane
    if bool((above >= 0).all(axis=1).any()):
        return True
    if bool((above.max(axis=0) < 0).any()):
        return False
    found = linprog(np.zeros(plane.size), A_ub=above, b_ub=-np.ones(len(others)), bounds=(0, None))
    return found.status == INFEASIBLE


def _moment(values: Sequence[float] | NDArray[np.float64]) -> Moment:
    """The moment with these coefficients, those of padding 0 where they are left out."""
    names = [field.name for field in fields(Moment)]
    return Moment(**{name: float(value) for name, value in zip(names, values, strict=False)})
