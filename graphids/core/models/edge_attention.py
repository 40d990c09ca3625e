"""GATv2 attention in pieces that stay in the cache, with a backward pass of its own.

The plain way makes some twenty tensors of the size edges times width in a step and keeps most of
them for the backward pass; on a CPU their memory, fresh from the system each time, costs as much as
the arithmetic. Here only nodes and one number per edge and head are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional
from torch_geometric.nn import GATv2Conv

from graphids.core.models.eager import eager_on_cpu

PIECE = 1 << 17
"""Numbers in a work array: a few of them fit into the second-level cache."""
FEW_EDGES = 256
"""Edges of a window or two on a bus, which are not worth pieces without a gradient. Few enough that
a probe seldom traces such a batch: what it took would say nothing of larger ones."""


class EdgeAttention(GATv2Conv):
    """PyG's GATv2 (Brody et al. 2022) with its parameters and results, by ``attend`` on a CPU.

    Elsewhere, compiled, where weights are asked for and where edge features are trained it is PyG's
    own. It adds no loops: the edges come with them.
    """

    def __init__(
        self, in_dim: int, channels: int, heads: int, *, edge_dim: int, concat: bool = True
    ) -> None:
        super().__init__(
            in_dim, channels, heads, concat=concat, add_self_loops=False, edge_dim=edge_dim
        )

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor,
        return_attention_weights: bool | None = None,
    ) -> Any:
        """``[V, H * C]``, or the mean of the heads ``[V, C]``, of nodes, edges and their features.

        With ``return_attention_weights`` beside it the edges and their weights, as PyG has them.
        """
        plain = return_attention_weights is not None or edge_attr.requires_grad
        if plain or not eager_on_cpu(x):
            return super().forward(x, edge_index, edge_attr, return_attention_weights)
        out = attend(
            self.lin_l(x),
            self.lin_r(x),
            edge_index,
            edge_attr,
            self.lin_edge.weight,
            self.att[0],
            self.negative_slope,
        )
        if not self.concat:
            out = out.view(-1, self.heads, self.out_channels).mean(dim=1)
        return out + self.bias


def attend(
    left: Tensor,
    right: Tensor,
    edge_index: Tensor,
    edge_attr: Tensor,
    edge_weight: Tensor,
    att: Tensor,
    slope: float,
) -> Tensor:
    """Attention of each node over the edges that enter it (Brody et al. 2022, eq. 7).

    ``e_h = att_h . leaky_relu(left[source] + right[target] + edge_weight edge_attr)``, a softmax
    over the edges into a node, and the sum of ``left[source]`` with these weights; 0 for a node
    that no edge enters.

    Args:
        left: Nodes where edges begin ``[V, H * C]``.
        right: Nodes where edges end ``[V, H * C]``.
        edge_index: Edges ``[2, E]``.
        edge_attr: Edge features ``[E, D]``, which get no gradient.
        edge_weight: Their projection ``[H * C, D]``.
        att: Direction of each head ``[H, C]``.
        slope: Slope of the leaky ReLU below 0.

    Returns:
        Nodes ``[V, H * C]``.
    """
    if torch.is_grad_enabled() or edge_index.shape[1] > FEW_EDGES:
        out: Tensor = _Attention.apply(left, right, edge_weight, att, edge_index, edge_attr, slope)
        return out
    source, target = edge_index.unbind()
    message = left.index_select(0, source)
    hidden = right.index_select(0, target).add_(message).addmm_(edge_attr, edge_weight.t())
    by_head = functional.leaky_relu_(hidden, slope).view(-1, *att.shape)
    weights = by_head.mul_(att).sum(dim=-1)
    _softmax_(weights, target, left.shape[0])
    message.view(-1, *att.shape).mul_(weights.unsqueeze(-1))
    return torch.zeros_like(left).scatter_add_(0, target.unsqueeze(-1).expand_as(message), message)


class _Attention(torch.autograd.Function):
    """``attend``; whatever is as long as the edges and as wide as the nodes runs in pieces."""

    @staticmethod
    def forward(
        ctx: Any,
        left: Tensor,
        right: Tensor,
        edge_weight: Tensor,
        att: Tensor,
        edge_index: Tensor,
        edge_attr: Tensor,
        slope: float,
    ) -> Tensor:
        """Nodes ``[V, H * C]``; arguments as in ``attend``."""
        source, target = edge_index
        weights = left.new_empty(source.numel(), att.shape[0])
        work, by_head = _Work(left, source.numel(), 2), _ByHead(att)
        for rows in work.pieces():
            hidden = work.take(0, left, source[rows]).add_(work.take(1, right, target[rows]))
            hidden.addmm_(edge_attr[rows], edge_weight.t())
            functional.leaky_relu_(hidden, slope)
            hidden.mul_(att.reshape(-1))
            by_head.sum(hidden, out=weights[rows])
        _softmax_(weights, target, left.shape[0])
        out = torch.zeros_like(left)
        for rows in work.pieces():
            message = work.take(0, left, source[rows])
            message.mul_(by_head.spread(weights[rows], out=work.arrays[1, : len(message)]))
            out.index_add_(0, target[rows], message)
        ctx.save_for_backward(
            left, right, edge_weight, att, source, target, edge_attr, weights, out
        )
        ctx.slope = slope
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the nodes, the projection and the directions."""
        left, right, edge_weight, att, source, target, edge_attr, weights, out = ctx.saved_tensors
        heads, width = att.shape
        grad = grad.contiguous()
        # What the softmax takes off: the mean over a node's edges is a product of nodes.
        mean = (grad * out).view(-1, heads, width).sum(dim=-1)
        to_left, to_right = torch.zeros_like(left), torch.zeros_like(right)
        to_edge = edge_weight.new_zeros(edge_weight.shape[::-1])
        to_att = att.new_zeros(heads * width)
        work, by_head = _Work(left, source.numel(), 4), _ByHead(att)
        ones = torch.ones_like(work.arrays[0])
        for rows in work.pieces():
            begin, end, weight = source[rows], target[rows], weights[rows]
            hidden, passed = work.take(0, left, begin), work.take(1, grad, end)
            other = torch.mul(hidden, passed, out=work.arrays[2, : end.numel()])
            gain = by_head.sum(other).sub_(mean.index_select(0, end)).mul_(weight)
            passed.mul_(by_head.spread(weight, out=other))
            gains = by_head.spread(gain, out=work.arrays[3, : end.numel()])
            hidden.add_(work.take(2, right, end)).addmm_(edge_attr[rows], edge_weight.t())
            torch.ops.aten.leaky_relu_backward.grad_input(
                ones[: end.numel()], hidden, ctx.slope, False, grad_input=other
            )
            to_att += hidden.mul_(other).mul_(gains).sum(dim=0)
            other.mul_(gains).mul_(att.reshape(-1))
            to_edge.addmm_(edge_attr[rows].t(), other)
            to_right.index_add_(0, end, other)
            to_left.index_add_(0, begin, other.add_(passed))
        return to_left, to_right, to_edge.t(), to_att.view_as(att), None, None, None


class _ByHead:
    """Sums over the numbers of a head, and numbers of heads for each of these.

    By products of matrices, because sums and products over a few neighbours are slow.
    """

    def __init__(self, att: Tensor) -> None:
        """Takes heads and width of ``att [H, C]``."""
        heads, width = att.shape
        self.ones = att.new_ones(width)
        self.heads = torch.eye(heads, dtype=att.dtype).repeat_interleave(width, dim=1)

    def sum(self, rows: Tensor, out: Tensor | None = None) -> Tensor:
        """Sums ``[n, H]`` of contiguous ``rows [n, H * C]``."""
        out = rows.new_empty(len(rows), len(self.heads)) if out is None else out
        torch.mv(rows.view(-1, self.ones.numel()), self.ones, out=out.view(-1))
        return out

    def spread(self, numbers: Tensor, out: Tensor) -> Tensor:
        """``numbers [n, H]``, each as often as a head is wide, in ``out [n, H * C]``."""
        return torch.mm(numbers, self.heads, out=out)


class _Work:
    """Work arrays of one pass over the edges, used again for every piece."""

    def __init__(self, nodes: Tensor, num_edges: int, count: int) -> None:
        """Makes ``count`` arrays as wide as ``nodes [V, W]``."""
        self.num_edges = num_edges
        self.size = max(1, min(num_edges, PIECE // nodes.shape[1]))
        self.arrays = nodes.new_empty(count, self.size, nodes.shape[1])

    def pieces(self) -> Iterator[slice]:
        """The edges of each piece."""
        for first in range(0, self.num_edges, self.size):
            yield slice(first, min(first + self.size, self.num_edges))

    def take(self, which: int, nodes: Tensor, index: Tensor) -> Tensor:
        """Rows ``index [n]`` of ``nodes [V, W]``, in array ``which``."""
        return torch.index_select(nodes, 0, index, out=self.arrays[which, : index.numel()])


def _softmax_(scores: Tensor, target: Tensor, num_nodes: int) -> None:
    """Makes of ``scores [E, H]`` weights that add up to 1 over the edges into each node."""
    at = target.unsqueeze(-1).expand_as(scores)
    top = scores.new_full((num_nodes, scores.shape[1]), float("-inf"))
    top.scatter_reduce_(0, at, scores, "amax")
    scores.sub_(top.index_select(0, target)).exp_()
    total = torch.zeros_like(top).scatter_add_(0, at, scores)
    scores.div_(total.index_select(0, target))
