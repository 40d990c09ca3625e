"""Matrix products by oneDNN, which on some processors is twice as fast as the BLAS behind ``mm``.

torch multiplies 32-bit matrices with MKL, which leaves half of the vector width of an AMD processor
unused. oneDNN, which torch carries as well, uses it, but compiles code for each new shape: so it
gets pieces of one size, and the BLAS what is left over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

LEFT_OVER = 224
"""Rows of a piece for the BLAS. Their number then depends on the batch as that of full pieces does,
so a trace of memory takes none of their operations for one that every step has alike.
"""


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a batch, and how they are multiplied.

    Whatever a product makes takes the memory of ``room`` rows, so that a step's peak tells that of
    a larger one. Products have no gradient: they are for the two passes of a function.
    """

    rows: slice
    """Which."""
    room: int
    """Most rows of a piece."""
    onednn: bool
    """Whether oneDNN multiplies."""

    @property
    def size(self) -> int:
        """Rows."""
        return int(self.rows.stop - self.rows.start)

    def product(self, left: Tensor, right: Tensor, added: Tensor | None = None) -> Tensor:
        """``left @ right.t() + added``.

        Args:
            left: A row for each of the piece ``[n, k]``.
            right: ``[m, k]``.
            added: One row for all ``[m]``, or a contiguous ``[n, m]``; none is 0.
        """
        if self.onednn:
            return _by_onednn(left, right, added)
        out = left.new_empty(self.room, right.shape[0])[: self.size]
        if added is None:
            return torch.mm(left, right.t(), out=out)
        return torch.addmm(added, left, right.t(), out=out)

    def over_rows(self, left: Tensor, right: Tensor, added: Tensor | None = None) -> Tensor:
        """``left.t() @ right + added``: the gradient of weights.

        Args:
            left: A row for each of the piece ``[n, k]``.
            right: The same ``[n, m]``.
            added: Contiguous ``[k, m]``; none is 0.
        """
        if self.onednn:
            return _by_onednn(left.t(), right.t(), added)
        if added is None:
            return torch.mm(left.t(), right)
        return torch.addmm(added, left.t(), right)


def pieces(nodes: Tensor, room: int) -> Iterator[Piece]:
    """The rows of ``nodes [V, any]``: ``room`` at a time, then what is left in smaller pieces."""
    backend = torch.backends.mkldnn
    suited = nodes.dtype == torch.float32 and backend.is_available() and bool(backend.enabled)
    first, count = 0, nodes.shape[0]
    while first < count:
        full = count - first >= room
        last = min(count, first + (room if full else min(room, LEFT_OVER)))
        yield Piece(slice(first, last), room, suited and full)
        first = last


def _by_onednn(left: Tensor, right: Tensor, added: Tensor | None) -> Tensor:
    """``left @ right.t() + added``; the operations are those of torch's own compiler."""
    operation = torch.ops.mkldnn._linear_pointwise
    if added is None or added.dim() == 1:
        found: Tensor = operation.default(left, right, added, "none", [], "")
    else:
        found = operation.binary(left, added, right, None, "add")
    return found
