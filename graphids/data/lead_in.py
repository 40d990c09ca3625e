"""What the first seconds of a capture say of the rest of it: no training, no labels.

A detector that is switched on in an unknown vehicle has seen nothing but that vehicle's last few
seconds. Each capture is its own reference here: which ids it sends, how often, how fast, and what
its nodes look like. Graphs are unscaled; their labels are never read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from graphids.data.features import NODE_FEATURES
from graphids.data.packed import PackedGraphs

LEAD_IN_S = 5.0
"""Length of the lead-in, in seconds from the first message of the capture."""
LEAD_IN_FEATURES: tuple[str, ...] = ("new_ids", "log_shortening", "count_excess")
"""Columns of ``lead_in_features``."""
RELATIVE_CLIP = 10.0
"""Relative features are clipped to -RELATIVE_CLIP .. RELATIVE_CLIP."""

_MSG_COUNT = NODE_FEATURES.index("msg_count")
_COUNTS = [NODE_FEATURES.index(name) for name in ("msg_count", "in_degree", "out_degree")]
_ID_BITS = 29
_PRIOR_WINDOWS = 20.0  # weight of the capture's own spread beside that of a single id
_LEAST_SPREAD = 1e-6  # one microsecond for times, far below one step of any other feature


def lead_in_mask(graphs: PackedGraphs, seconds: float = LEAD_IN_S) -> Tensor:
    """Which windows lie wholly inside the first seconds of their capture ``[G]``, bool.

    Where none does, it is the capture's first window among ``graphs``.

    Raises:
        ValueError: if ``seconds`` is not positive.
    """
    if not seconds > 0:
        raise ValueError(f"the lead-in must last longer than 0 s (got {seconds})")
    inside = graphs.start_ns + graphs.span_ns <= round(seconds * 1e9)
    _, capture = graphs.capture.unique(return_inverse=True)
    covered = _largest(inside.long(), capture)[capture] > 0
    first = -_largest(-graphs.first_message, capture)[capture]
    return inside | (~covered & (graphs.first_message == first))


def lead_in_features(graphs: PackedGraphs, seconds: float = LEAD_IN_S) -> Tensor:
    """How each window departs from the lead-in of its capture ``[G, 3]``, float32.

    Columns: nodes whose id the lead-in did not hold; ln(span of the shortest lead-in window) -
    ln(span), spans below a nanosecond counting as one; largest excess of an id's messages over
    its most messages in a lead-in window, which are 0 for an id that the lead-in did not hold.

    Raises:
        ValueError: if ``seconds`` is not positive.
    """
    lead_in = lead_in_mask(graphs, seconds)
    _, capture = graphs.capture.unique(return_inverse=True)
    log_span = graphs.span_ns.clamp_min(1).double().log()
    shortest = -_largest(torch.where(lead_in, -log_span, -torch.inf), capture)[capture]
    nodes = _Nodes.of(graphs, lead_in)
    count = graphs.x[:, _MSG_COUNT].double()
    most = _largest(torch.where(nodes.lead_in, count, 0.0), nodes.identity)[nodes.identity]
    new_ids = torch.zeros(len(graphs), dtype=torch.float64)
    new_ids.index_add_(0, nodes.graph, (most == 0).double())
    excess = _largest(count - most, nodes.graph)
    return torch.stack((new_ids, shortest - log_span, excess), dim=1).float()


def relative_to_lead_in(graphs: PackedGraphs, seconds: float = LEAD_IN_S) -> PackedGraphs:
    """The same graphs with node features relative to the id's own profile in the lead-in.

    A feature becomes its distance from the id's mean over the lead-in windows that hold the id,
    divided by a spread and clipped. The squared spread is the id's variance over these ``n``
    windows, drawn towards the variance within the ids of the capture as if twenty more windows had
    shown that one. An id that the lead-in did not hold is compared with the mean node of the
    lead-in; its message count and degrees, which were 0 there throughout, read as the upper clip,
    so that it stays recognisable.

    Raises:
        ValueError: if ``seconds`` is not positive.
    """
    nodes = _Nodes.of(graphs, lead_in_mask(graphs, seconds))
    rows = nodes.lead_in.nonzero().flatten()
    x = graphs.x[rows].double()
    n, mean = _means(x, nodes.identity[rows], nodes.num_identities)
    squares = (x - mean[nodes.identity[rows]]).square_()
    _, variance = _means(squares, nodes.identity[rows], nodes.num_identities)
    _, overall = _means(x, nodes.capture[rows], nodes.num_captures)
    _, within = _means(squares, nodes.capture[rows], nodes.num_captures)

    seen = n > 0
    capture = torch.zeros(nodes.num_identities, dtype=torch.int64)
    capture[nodes.identity] = nodes.capture
    mean = torch.where(seen[:, None], mean, overall[capture])
    weight = n[:, None]
    variance = (weight * variance + _PRIOR_WINDOWS * within[capture]) / (weight + _PRIOR_WINDOWS)
    spread = variance.sqrt().clamp_min(_LEAST_SPREAD)
    relative = graphs.x - mean.float()[nodes.identity]
    relative.div_(spread.float()[nodes.identity]).clamp_(-RELATIVE_CLIP, RELATIVE_CLIP)
    unseen = (~seen[nodes.identity]).nonzero()
    relative[unseen, torch.tensor(_COUNTS)] = RELATIVE_CLIP
    return replace(graphs, x=relative)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Nodes:
    """Whose each node is; an identity is an arbitration id in one capture."""

    graph: Tensor
    """Graph of each node ``[V]``."""
    capture: Tensor
    """Its capture, numbered without gaps ``[V]``."""
    identity: Tensor
    """Its identity, numbered without gaps ``[V]``."""
    lead_in: Tensor
    """Whether its window belongs to the lead-in ``[V]``, bool."""
    num_captures: int
    """Captures."""
    num_identities: int
    """Identities."""

    @classmethod
    def of(cls, graphs: PackedGraphs, lead_in: Tensor) -> _Nodes:
        """The nodes of ``graphs`` whose lead-in windows are marked ``[G]``."""
        graph = torch.arange(len(graphs)).repeat_interleave(graphs.num_nodes)
        captures, capture = graphs.capture.unique(return_inverse=True)
        key = (capture[graph] << _ID_BITS) | graphs.arbitration_id
        identities, identity = key.unique(return_inverse=True)
        return cls(
            graph=graph,
            capture=capture[graph],
            identity=identity,
            lead_in=lead_in[graph],
            num_captures=captures.numel(),
            num_identities=identities.numel(),
        )


def _largest(values: Tensor, group: Tensor) -> Tensor:
    """Largest of ``values`` ``[N]`` in each group; groups are numbered without gaps ``[N]``."""
    size = int(group.max()) + 1 if group.numel() else 0
    return values.new_zeros(size).scatter_reduce_(0, group, values, "amax", include_self=False)


def _means(values: Tensor, group: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Number of rows ``[S]`` and mean of ``values`` ``[N, F]`` in each group ``[S, F]``.

    The mean of no row is 0.
    """
    count = torch.bincount(group, minlength=size).double()
    total = values.new_zeros((size, values.shape[1])).index_add_(0, group, values)
    return count, total / count.clamp_min(1)[:, None]
