"""The networks of several seeds side by side, each with the bits that it would have alone.

Networks are run seed by seed, since a batched product rounds otherwise than a single one; what
works element by element is done for all seeds at once. That a seed's bits do not depend on the
number of seeds holds on one thread: among several, a kernel is split by the size of all seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphids.core.models.fusion.head import DROPOUT

LANE = 64
"""What a seed has of a tensor is padded to a multiple of this many numbers. It then starts on a
cache line and leaves no odd rest, which a vectorised kernel computes by other instructions."""
INT16_SPAN = 65_536
INT16_MIN = -32_768


def padded(count: int) -> int:
    """The next multiple of ``LANE``."""
    return -(-count // LANE) * LANE


def unpadded(rows: Tensor, shape: torch.Size) -> Tensor:
    """What the rows ``[K, width]`` begin with, as a view ``[K, *shape]``."""
    return rows[:, : shape.numel()].view(len(rows), *shape)


def _like(values: Tensor) -> Tensor:
    """Room for as many values ``[K, ...]``, in which every seed starts on a lane."""
    shape = values.shape[1:]
    return unpadded(values.new_empty(len(values), padded(shape.numel())), shape)


class StackedTensors:
    """Tensors of K seeds, equal in number and shapes: those of one seed are one row.

    The optimiser sees ``rows`` alone. It is exact for all seeds at once where it works element by
    element, as Adam does.

    Args:
        seeds: The tensors of each seed, which ``store`` fills.
    """

    def __init__(self, seeds: Sequence[Sequence[Tensor]]) -> None:
        self.seeds = [list(tensors) for tensors in seeds]
        sizes = [padded(tensor.numel()) for tensor in self.seeds[0]]
        self.rows = nn.Parameter(torch.zeros(len(self.seeds), sum(sizes)))
        """All tensors ``[K, width]``; the padding stays 0."""
        self.rows.grad = torch.zeros_like(self.rows)
        self.layers = self._views(self.rows.detach(), sizes)
        """Each tensor of all seeds ``[K, ...]``: leaves on the memory of ``rows``."""
        self.gradients = self._views(self.rows.grad, sizes)
        """Gradient of each ``[K, ...]``, on the memory of the gradient of ``rows``."""
        for view, tensors in zip(self.layers, zip(*self.seeds, strict=True), strict=True):
            view.copy_(torch.stack(tensors).detach())
            view.requires_grad_()

    def _views(self, rows: Tensor, sizes: Sequence[int]) -> list[Tensor]:
        parts = rows.split(list(sizes), dim=1)
        return [unpadded(part, like.shape) for part, like in zip(parts, self.seeds[0], strict=True)]

    def backward(self, losses: Tensor) -> None:
        """Replaces the gradients by those of the seeds' losses ``[K]``."""
        found = torch.autograd.grad(losses.sum(), self.layers)
        for view, gradient in zip(self.gradients, found, strict=True):
            view.copy_(gradient)

    def clip(self, max_norm: float) -> None:
        """Shortens the gradient of each seed to at most this length."""
        rows = self.rows.grad
        assert rows is not None
        norms = torch.stack([torch.linalg.vector_norm(row) for row in rows])
        rows *= (max_norm / (norms + 1e-6)).clamp(max=1.0).unsqueeze(1)

    @torch.no_grad()
    def store(self, k: int) -> None:
        """Copies what seed ``k`` has now into its own tensors."""
        for view, tensor in zip(self.layers, self.seeds[k], strict=True):
            tensor.copy_(view[k])


class _Perceptron(torch.autograd.Function):
    """One seed after the other, so that what a seed needs stays in the cache; see ``perceptron``.

    Kept for the gradient are the outputs of the hidden layers: where one of them is positive, its
    unit was neither cut off by the ReLU nor dropped.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, masks: Sequence[Tensor], *layers: Tensor) -> Tensor:
        weights, biases = layers[::2], [bias.unbind() for bias in layers[1::2]]
        outputs = [x.new_empty(*x.shape[:2], weight.shape[1]) for weight in weights]
        turned, rooms = [w.mT.unbind() for w in weights], [out.unbind() for out in outputs]
        for k, h in enumerate(x.unbind()):
            for depth, (bias, weight, room) in enumerate(zip(biases, turned, rooms, strict=True)):
                h = torch.addmm(bias[k], h, weight[k], out=room[k])
                if depth < len(weights) - 1:
                    h.relu_()
                    if masks:
                        h.mul_(masks[depth][k])
        ctx.save_for_backward(*weights, x, *outputs[:-1], *masks)
        return outputs[-1]

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | Sequence[Tensor] | None, ...]:
        depths = len(ctx.needs_input_grad[2:]) // 2
        saved = [tensor.unbind() for tensor in ctx.saved_tensors]
        weights, inputs, masks = saved[:depths], saved[depths : 2 * depths], saved[2 * depths :]
        like = ctx.saved_tensors[:depths]
        to_weights, to_biases = [_like(w) for w in like], [_like(w[:, :, 0]) for w in like]
        to_x = torch.empty_like(ctx.saved_tensors[depths]) if ctx.needs_input_grad[0] else None
        rooms = [(w.unbind(), b.unbind()) for w, b in zip(to_weights, to_biases, strict=True)]
        for k, grad in enumerate(gradients[0].contiguous().unbind()):
            for depth in reversed(range(depths)):
                to_weight, to_bias = rooms[depth]
                torch.mm(grad.T, inputs[depth][k], out=to_weight[k])
                torch.sum(grad, 0, out=to_bias[k])
                if depth > 0:
                    grad = torch.mm(grad, weights[depth][k]).mul_(inputs[depth][k].sign())
                    if masks:
                        grad.mul_(masks[depth - 1][k])
                elif to_x is not None:
                    torch.mm(grad, weights[0][k], out=to_x[k])
        pairs = zip(to_weights, to_biases, strict=True)
        return to_x, None, *(tensor for pair in pairs for tensor in pair)


def perceptron(x: Tensor, layers: Sequence[Tensor], masks: Sequence[Tensor] = ()) -> Tensor:
    """Linear layers with ReLU between them ``[K, R, out]``, as ``build_mlp`` has them.

    Args:
        x: Inputs ``[K, R, F]``, contiguous.
        layers: Weight ``[K, H, F]`` and bias ``[K, H]`` of each layer in turn.
        masks: Factors ``[K, R, H]`` of each hidden layer's output, not negative; none leaves
            dropout out.
    """
    out: Tensor = _Perceptron.apply(x, masks, *layers)
    return out


class Dropout:
    """Dropout of ``DROPOUT`` with random numbers of each seed's own, 16 bits for each unit.

    Args:
        widths: Width of each layer that it follows.
        generators: One of each seed.
    """

    def __init__(self, widths: Sequence[int], generators: Sequence[torch.Generator]) -> None:
        self.widths = list(widths)
        self.generators = list(generators)
        self.cut = INT16_MIN + round(DROPOUT * INT16_SPAN)

    def masks(self, rows: int) -> list[Tensor]:
        """Factors ``[K, rows, width]`` of each layer: 0, or what keeps the mean.

        Args:
            rows: Rows of a batch, a multiple of ``LANE``.
        """
        sizes = [rows * width for width in self.widths]
        bits = torch.empty(len(self.generators), sum(sizes) // 4, dtype=torch.int64)
        for row, generator in zip(bits, self.generators, strict=True):
            row.random_(-(2**63), None, generator=generator)
        kept = (bits.view(torch.int16) >= self.cut).float().mul_(1.0 / (1.0 - DROPOUT))
        parts = kept.split(sizes, dim=1)
        return [part.view(-1, rows, width) for part, width in zip(parts, self.widths, strict=True)]
