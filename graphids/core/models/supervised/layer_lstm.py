"""A bidirectional LSTM over the layers of a network, forward and backward on pieces of nodes.

``tanh(a) = 2 sigmoid(2 a) - 1`` takes a fifth of the time of torch's ``tanh``. The weights of the
new cell are doubled, so one sigmoid serves all gates; and cells and states stand with their sign
turned, because ``-i tanh(a) = i - 2 i sigmoid(2 a)`` is a single operation. The two ways through
the layers lie side by side, so what is no product of matrices is called once for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphids.core.models.supervised.products import Piece

SWAPPED = (1, 0, 2, 3)
"""Torch's gates (input, forget, new cell, output) with the first two in each other's place. The
first step has nothing to forget and takes the last three.
"""
_sigmoid_backward = torch.ops.aten.sigmoid_backward.grad_input


class Weights(NamedTuple):
    """What one way multiplies with, its gates in the order of ``SWAPPED``."""

    inputs: Tensor
    """``[4 C, H]``."""
    states: Tensor
    """``[4 C, C]``, for states of turned sign."""
    bias: Tensor
    """``[4 C]``."""
    att: Tensor
    """What a state of turned sign adds to the logit of its layer ``[C]``."""

    @classmethod
    def of(cls, lstm: Sequence[Tensor], att: Tensor) -> list[Weights]:
        """Those of both ways, from torch's eight and the weights of the attention ``[1, 2 C]``."""
        found = []
        for (inputs, states, *biases), part in zip(
            (lstm[:4], lstm[4:]), att[0].chunk(2), strict=True
        ):
            bias = _reordered(biases[0] + biases[1])
            found.append(cls(_reordered(inputs), _reordered(states).neg_(), bias, -part))
        return found


class Work(NamedTuple):
    """Work arrays of a pass, the same for any number of nodes; both ways lie side by side."""

    cells: Tensor
    """Cell of each step, of turned sign ``[steps, 2, n, C]``."""
    tops: Tensor
    """``sigmoid(2 c)`` of each cell ``c`` ``[steps, 2, n, C]``."""
    states: Tensor
    """State after each step, of turned sign ``[steps, 2, n, C]``."""
    gradients: Tensor
    """Of states, cells and squashed cells ``[3, 2, n, C]``."""

    @classmethod
    def empty(cls, like: Tensor, room: int, width: int, steps: int) -> Work:
        """Arrays for ``room`` nodes."""
        return cls(*(like.new_empty(count, 2, room, width) for count in (steps, steps, steps, 3)))

    def rows(self, size: int) -> Work:
        """Their first ``size`` nodes."""
        return Work(*(array[:, :, :size] for array in self))

    def follow(self, step: int, gates: Sequence[Tensor]) -> None:
        """Makes cell, squashed cell and state of a step from its gates ``[2, n, C]`` each."""
        *forget, enter, new, leave = gates
        cell, top = self.cells[step], self.tops[step]
        torch.addcmul(enter, enter, new, value=-2.0, out=cell)
        for share in forget:
            cell.addcmul_(share, self.cells[step - 1])
        torch.mul(cell, -2.0, out=top).sigmoid_()
        torch.addcmul(leave, leave, top, value=-2.0, out=self.states[step])


def forward(
    piece: Piece,
    xs: Sequence[Tensor],
    ways: Sequence[Weights],
    gates: Sequence[Tensor],
    logits: Sequence[Tensor],
    work: Work,
) -> None:
    """Goes over a piece of the layers, both ways.

    Args:
        piece: Which nodes.
        xs: Layers ``[n, H]``.
        ways: Weights from the first layer to the last, and back.
        gates: Takes the gates of each step ``[2, n, 4 C]``, without the first in the first step.
        logits: Of each layer ``[n]``, to which is added what the states say.
        work: Work arrays.
    """
    orders = (xs, logits), (xs[::-1], logits[::-1])
    for step, of_step in enumerate(gates):
        size = of_step.shape[2]
        for way, ((layers, _), weights, out) in enumerate(
            zip(orders, ways, of_step.unbind(), strict=True)
        ):
            sums = piece.product(layers[step], weights.inputs[-size:], weights.bias[-size:])
            if step:
                sums = piece.product(work.states[step - 1, way], weights.states, sums)
            torch.sigmoid(sums, out=out)
        work.follow(step, of_step.split(work.cells.shape[3], dim=2))
        for (_, of_layers), weights, state in zip(
            orders, ways, work.states[step].unbind(), strict=True
        ):
            of_layers[step].addmv_(state, weights.att)


class Gradients:
    """The way back through the steps, and the gradients of the weights, added up over pieces."""

    def __init__(self, ways: Sequence[Weights], room: int, *, of_xs: bool, of_lstm: bool) -> None:
        """Begins with gradients of 0; tells whether those of layers and LSTM are wanted."""
        self.ways, self.of_xs, self.of_lstm = ways, of_xs, of_lstm
        inputs, states, bias, att = ways[0]
        self.width = att.shape[0]
        zeros = inputs.new_zeros
        # Of what products make, transposed; of inputs, those of the first step apart.
        self.to_first = [zeros(inputs.shape[1], 3 * self.width) for _ in ways]
        self.to_inputs = [zeros(inputs.shape[::-1]) for _ in ways]
        self.to_states = [zeros(states.shape[::-1]) for _ in ways]
        self.to_bias, self.to_att = zeros(2, len(bias)), [zeros(self.width) for _ in ways]
        self.of_gates = inputs.new_empty(2 * room * 4 * self.width)

    def backward(
        self,
        piece: Piece,
        xs: Sequence[Tensor],
        gates: Sequence[Tensor],
        of_logits: Sequence[Tensor],
        work: Work,
    ) -> list[Tensor | None]:
        """Adds a piece's part to the gradients of the weights.

        Args:
            piece: Which nodes.
            xs: Layers ``[n, H]``.
            gates: Those of each step, as in ``forward``.
            of_logits: Gradients of the logits of each layer ``[n]``.
            work: Work arrays.

        Returns:
            Gradients of ``xs`` ``[n, H]`` by way of the LSTM, none where they are not wanted.
        """
        parts = [of_step.split(self.width, dim=2) for of_step in gates]
        for step, of_step in enumerate(parts):
            work.follow(step, of_step)
        of_xs: list[Tensor | None] = [None] * len(xs)
        work.gradients[1].zero_()
        of_gates = self.of_gates
        for step in reversed(range(len(xs))):
            layers = step, len(xs) - 1 - step
            of_logit = [of_logits[layer] for layer in layers]
            self._of_states(piece, of_logit, step, of_gates if step + 1 < len(xs) else None, work)
            of_gates = self._of_gates(step, gates[step], parts[step], work)
            if self.of_lstm:
                self._add(piece, [xs[layer] for layer in layers], of_gates)
            if self.of_xs:
                for layer, weights, part in zip(layers, self.ways, of_gates, strict=True):
                    rows = weights.inputs[-part.shape[1] :]
                    of_xs[layer] = piece.product(part, rows.t(), of_xs[layer])
        return of_xs

    def _of_states(
        self,
        piece: Piece,
        of_logit: Sequence[Tensor],
        step: int,
        of_next: Tensor | None,
        work: Work,
    ) -> None:
        """Gradients of the states after a step, from logits and from the gates of the next step."""
        for way, (weights, state, out) in enumerate(
            zip(self.ways, work.states[step], work.gradients[0], strict=True)
        ):
            self.to_att[way].addmv_(state.t(), of_logit[way])
            column = of_logit[way].unsqueeze(1)
            if of_next is None:
                torch.mul(column, weights.att, out=out)
                continue
            if self.of_lstm:
                self.to_states[way] = piece.over_rows(state, of_next[way], self.to_states[way])
            through = piece.product(of_next[way], weights.states.t())
            torch.addcmul(through, column, weights.att, out=out)

    def _of_gates(self, step: int, gates: Tensor, parts: Sequence[Tensor], work: Work) -> Tensor:
        """Gradient of what the gates of a step are the sigmoid of ``[2, n, 3 C or 4 C]``.

        Makes of the gradient of the cell after the step that of the cell before it.
        """
        *forget, enter, new, leave = parts
        top, (of_state, of_cell, of_top) = work.tops[step], work.gradients
        torch.mul(of_state, leave, out=of_top)
        of_cell.add_(_sigmoid_backward(of_top, top, grad_input=of_top), alpha=4.0)
        of_gates = self.of_gates[: gates.numel()].view(gates.shape)
        *of_forget, of_enter, of_new, of_leave = of_gates.split(self.width, dim=2)
        torch.addcmul(of_state, of_state, top, value=-2.0, out=of_leave)
        torch.addcmul(of_cell, of_cell, new, value=-2.0, out=of_enter)
        torch.mul(of_cell, enter, out=of_new).mul_(-2.0)
        for part, share in zip(of_forget, forget, strict=True):
            torch.mul(of_cell, work.cells[step - 1], out=part)
            of_cell.mul_(share)
        found: Tensor = _sigmoid_backward(of_gates, gates, grad_input=of_gates)
        return found

    def _add(self, piece: Piece, xs: Sequence[Tensor], of_gates: Tensor) -> None:
        """Adds to the gradients of biases and inputs."""
        size = of_gates.shape[2]
        self.to_bias[:, -size:] += of_gates.sum(dim=1)
        into = self.to_inputs if size == self.to_bias.shape[1] else self.to_first
        for way, (x, part) in enumerate(zip(xs, of_gates, strict=True)):
            into[way] = piece.over_rows(x, part, into[way])

    def to_lstm(self) -> list[Tensor | None]:
        """Gradients of torch's eight weights, none where they are not wanted."""
        if not self.of_lstm:
            return [None] * 8
        found: list[Tensor | None] = []
        for inputs, first, states, bias in zip(
            self.to_inputs, self.to_first, self.to_states, self.to_bias, strict=True
        ):
            inputs[:, self.width :] += first
            of_bias = _reordered(bias)
            found += [_reordered(inputs.t()), _reordered(states.t()).neg_(), of_bias]
            found.append(of_bias.clone())
        return found


def _reordered(weight: Tensor) -> Tensor:
    """Rows ``[4 C, ...]`` in the order of ``SWAPPED``, those of the new cell doubled.

    Of a gradient it is the way back: the order is its own inverse, and the gradient of a doubled
    weight counts twice.
    """
    gates = weight.unflatten(0, (4, -1))
    return torch.cat([gates[i] * (2.0 if i == 2 else 1.0) for i in SWAPPED])
