"""Mean over the layers of a network, weighed by an LSTM, with a backward pass of its own.

It works on pieces of nodes that stay in the cache and keeps the gates of each step alone: autograd
keeps more than twice as much, and whatever it works on is as long as the nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphids.core.models.supervised.layer_lstm import Gradients, Weights, Work, forward
from graphids.core.models.supervised.products import Piece, pieces

PIECE = 1 << 17
"""Most numbers of one gate in a piece."""
NODES = 864
"""Most nodes in a piece: a step of windows of 100 messages, which has at most 16,384 edges, fills
four and leaves few nodes over.
"""


def layer_mean(
    xs: Sequence[Tensor], att_weight: Tensor, att_bias: Tensor, lstm: Sequence[Tensor]
) -> Tensor:
    """Mean of the layers, weighed for each node by a bidirectional LSTM (Xu et al. 2018, 4.1).

    Args:
        xs: Two layers or more, ``[V, H]`` each.
        att_weight: Makes the logit of a layer from the states of both directions ``[1, 2 C]``.
        att_bias: Added to every logit ``[1]``, so it changes nothing, and its gradient is 0.
        lstm: Weights of the inputs ``[4 C, H]`` and of the states ``[4 C, C]`` and two biases
            ``[4 C]``, and then the same of the direction from the last layer to the first.

    Returns:
        Nodes ``[V, H]``.
    """
    if torch.is_grad_enabled():
        found: Tensor = _LayerMean.apply(len(xs), *xs, att_weight, att_bias, *lstm)
        return found
    return _Pass(_Given(xs, att_weight, lstm), keep=False).forward()


class _Given(NamedTuple):
    """What a pass reads."""

    xs: Sequence[Tensor]
    """Layers ``[V, H]``."""
    att: Tensor
    """Weights of the attention ``[1, 2 C]``."""
    lstm: Sequence[Tensor]
    """Weights of both directions."""


class _LayerMean(torch.autograd.Function):
    """``layer_mean``, to be differentiated once."""

    @staticmethod
    def forward(ctx: Any, num_layers: int, *given: Tensor) -> Tensor:
        """Nodes ``[V, H]``; ``given`` are the layers and the arguments after them."""
        xs, (att, _, *lstm) = given[:num_layers], given[num_layers:]
        run = _Pass(_Given(xs, att, lstm), keep=True)
        out = run.forward()
        ctx.num_layers = num_layers
        ctx.save_for_backward(*given, run.shares, *run.gates)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the layers, the attention and the LSTM."""
        wanted, num = ctx.needs_input_grad[1:], ctx.num_layers
        saved = ctx.saved_tensors  # a checkpoint hands them out once
        given, (shares, *gates) = saved[: len(wanted)], saved[len(wanted) :]
        xs, (att, att_bias, *lstm) = given[:num], given[num:]
        run = _Pass(_Given(xs, att, lstm), keep=True, kept=(shares, gates))
        of_xs, of_lstm = any(wanted[:num]), any(wanted[num + 2 :])
        to_xs, to_att, to_lstm = run.backward(grad, of_xs=of_xs, of_lstm=of_lstm)
        return None, *to_xs, to_att, torch.zeros_like(att_bias), *to_lstm


class _Pass:
    """A pass over all nodes, forward or backward, and its work arrays."""

    def __init__(
        self,
        given: _Given,
        *,
        keep: bool,
        kept: tuple[Tensor, Sequence[Tensor]] | None = None,
    ) -> None:
        """Prepares the weights and the memory.

        Args:
            given: What the pass reads.
            keep: Whether a backward pass follows or this is one; what is kept is of a piece, else.
            kept: For the backward pass, ``shares`` and ``gates`` of the forward pass.
        """
        self.xs, self.keep, nodes = given.xs, keep, given.xs[0]
        steps, width = len(given.xs), given.lstm[1].shape[1]
        # Fewer operations follow each other where nothing is kept, so smaller pieces pay.
        self.room = max(1, min(NODES, PIECE // width) // (1 if keep else 2))
        if kept is None:
            rows = nodes.shape[0] if keep else self.room
            sizes = [(4 if step else 3) * width for step in range(steps)]
            kept = nodes.new_empty(steps, rows), [nodes.new_empty(2, rows, n) for n in sizes]
        self.shares, self.gates = kept
        self.work = Work.empty(nodes, self.room, width, steps)
        self.logits = nodes.new_empty(steps, self.room)
        self.ways = Weights.of(given.lstm, given.att)

    def forward(self) -> Tensor:
        """Nodes ``[V, H]``."""
        out = torch.empty_like(self.xs[0], memory_format=torch.contiguous_format)
        for piece in pieces(out, self.room):
            rows = piece.rows if self.keep else slice(0, piece.size)
            xs, work = [x[piece.rows] for x in self.xs], self.work.rows(piece.size)
            sums = self.logits[:, : piece.size].zero_()
            gates = [array[:, rows] for array in self.gates]
            forward(piece, xs, self.ways, gates, sums.unbind(), work)
            shares = torch.softmax(sums, dim=0, out=self.shares[:, rows])
            mean = torch.mul(xs[0], shares[0].unsqueeze(1), out=out[piece.rows])
            for x, share in zip(xs[1:], shares[1:], strict=True):
                mean.addcmul_(x, share.unsqueeze(1))
        return out

    def backward(
        self, grad: Tensor, *, of_xs: bool, of_lstm: bool
    ) -> tuple[Sequence[Tensor | None], Tensor, Sequence[Tensor | None]]:
        """Gradients of layers, attention ``[1, 2 C]`` and LSTM; none where they are not wanted."""
        to_xs = [grad.new_empty(grad.shape) for _ in self.xs] if of_xs else []
        gradients = Gradients(self.ways, self.room, of_xs=of_xs, of_lstm=of_lstm)
        scratch = grad.new_empty(self.room, grad.shape[1])
        for piece in pieces(grad, self.room):
            self._back(piece, grad[piece.rows], gradients, to_xs, scratch[: piece.size])
        to_att = torch.cat(gradients.to_att).neg_().unsqueeze(0)
        return to_xs or [None] * len(self.xs), to_att, gradients.to_lstm()

    def _back(
        self,
        piece: Piece,
        given: Tensor,
        gradients: Gradients,
        to_xs: Sequence[Tensor],
        scratch: Tensor,
    ) -> None:
        """The part of a piece, from the gradient of its mean ``given`` ``[n, H]``.

        It is a method so that what it makes is gone before the next piece begins.
        """
        xs, shares = [x[piece.rows] for x in self.xs], self.shares[:, piece.rows]
        sums, work = self.logits[:, : piece.size], self.work.rows(piece.size)
        for x, of_share in zip(xs, sums, strict=True):
            torch.sum(torch.mul(given, x, out=scratch), dim=1, out=of_share)
        sums.sub_(torch.linalg.vecdot(sums, shares, dim=0)).mul_(shares)
        gates = [array[:, piece.rows] for array in self.gates]
        through = gradients.backward(piece, xs, gates, sums.unbind(), work)
        for to_x, more, share in zip(to_xs, through, shares, strict=False):
            if more is not None:
                torch.addcmul(more, given, share.unsqueeze(1), out=to_x[piece.rows])
