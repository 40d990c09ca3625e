"""The mean over the layers for few nodes: a window on a bus, whose time is that of the calls.

Both directions of the LSTM go side by side, so each operation is called once for the two.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def mean_of_few(xs: Sequence[Tensor], att: Tensor, lstm: Sequence[Tensor]) -> Tensor:
    """``layer_mean`` without a gradient; arguments as there, but for the bias of the attention.

    Cells and states stand with their sign turned, as in ``graphids.core.models.supervised.\
layer_lstm``.
    """
    inputs, states, *biases = ((lstm[i], lstm[4 + i]) for i in range(4))
    bias = [first + second for first, second in zip(*biases, strict=True)]
    (nodes, _), width = xs[0].shape, states[0].shape[1]
    sums = xs[0].new_empty(2, nodes, 4 * width)
    enter, forget, new, leave = sums.split(width, dim=2)
    of_ways = sums.unbind()
    found = xs[0].new_empty(len(xs), 2, nodes, width)
    cell = before = enter
    for step, pair in enumerate(zip(xs, reversed(xs), strict=True)):
        for way, x in enumerate(pair):
            torch.addmm(bias[way], x, inputs[way].t(), out=of_ways[way])
            if step:
                of_ways[way].addmm_(found[step - 1, way], states[way].t(), alpha=-1.0)
        new.mul_(2.0)
        sums.sigmoid_()
        cell = torch.addcmul(enter, enter, new, value=-2.0)
        if step:
            cell.addcmul_(forget, before)
        top = torch.mul(cell, -2.0).sigmoid_()
        torch.addcmul(leave, leave, top, value=-2.0, out=found[step])
        before = cell
    onward, back = found.matmul(att.view(2, width, 1)).squeeze(3).unbind(1)
    shares = torch.add(onward, back.flip(0)).neg_().softmax(dim=0).unsqueeze(2).unbind()
    mean = xs[0] * shares[0]
    for x, share in zip(xs[1:], shares[1:], strict=True):
        mean.addcmul_(x, share)
    return mean
