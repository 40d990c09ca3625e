"""Random draws for a part of a batch that are the draws of the whole batch.

A chunk that drew for itself would train on other noise than the batch it was cut from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.checkpoint import get_device_states, set_device_states


@dataclass(frozen=True, slots=True)
class RandomState:
    """State of torch's own generators: that of the CPU and that of one device."""

    cpu: Tensor
    """State of the CPU's generator."""
    devices: list[int]
    """Index of the device, where it is not the CPU."""
    device_states: list[Tensor]
    """State of its generator."""
    device_type: str
    """Kind of the device."""

    @classmethod
    def beside(cls, tensor: Tensor) -> RandomState:
        """The state now, with that of the device on which ``tensor`` lies."""
        return cls(torch.get_rng_state(), *get_device_states(tensor), tensor.device.type)

    def restore(self) -> None:
        """Makes the generators go on from here."""
        torch.set_rng_state(self.cpu)
        if self.devices:
            set_device_states(self.devices, self.device_states, device_type=self.device_type)

    def key(self) -> bytes:
        """The same for equal states."""
        return b"".join(bytes(state.numpy()) for state in (self.cpu, *self.device_states))


class Rows(NamedTuple):
    """Where a chunk's rows of one kind, such as its nodes, stand among those of the batch."""

    start: int
    """First row of the chunk."""
    stop: int
    """Row after its last."""
    total: int
    """Rows of the whole batch."""


@dataclass(slots=True)
class Draw:
    """Noise of the whole batch."""

    kinds: list[str]
    """What its rows may be; the first is what they were taken for."""
    noise: Tensor
    """What was drawn."""
    after: RandomState
    """State of the generators after it."""


class WholeBatchDraws(TorchFunctionMode):
    """Within ``chunk(i)`` all noise is drawn for the whole batch, and chunk ``i`` gets its rows.

    Every chunk must start from one ``RandomState``; it then ends in the one that the whole batch
    leaves. The state tells which draw it is: what a chunk drew is kept for the others, dropout in a
    byte for each value. What the rows of a draw are, say nodes, shows in their number. Where a
    chunk has as many edges as nodes and other chunks have not, a guess may be wrong, and a later
    chunk tells: ``misread`` is then true, and the chunks must be run again, with what was learnt.

    Sees the calls that Python code makes, so draws of compiled code escape it.
    """

    def __init__(self, layouts: Sequence[Mapping[str, Rows]]) -> None:
        """Takes the rows of every kind for each chunk; of kinds that fit alike, the first wins."""
        super().__init__()
        self.misread = False
        self._layouts = layouts
        self._layout = layouts[0]
        self._drawn: dict[bytes, Draw] = {}

    @contextmanager
    def chunk(self, index: int) -> Iterator[None]:
        """Draws for chunk ``index`` within the block."""
        self._layout = self._layouts[index]
        with self:
            yield

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in DRAWS and kwargs.get("generator") is None:
            return DRAWS[func](self._rows_of_noise, *args, **kwargs)
        if func in DRAWS or func in REFUSED:
            raise NotImplementedError(
                f"a chunk cannot draw by {func.__name__} (with a generator of its own) as its "
                "whole batch would: draw before the network and hand it in, add the function to "
                "graphids.core.models.draws, or train with a batch that fits without a split"
            )
        return func(*args, **kwargs)

    def _rows_of_noise(
        self, shape: Sequence[int], beside: Tensor, draw: Callable[[int], Tensor]
    ) -> Tensor:
        """The chunk's rows, as many as ``shape`` has, of what ``draw(rows of the batch)`` gives."""
        if shape[0] == 0 and any(rows.total == 0 for rows in self._layout.values()):
            # The batch has none of a kind, say edges: the state stays for the next draw.
            return draw(0)
        state = RandomState.beside(beside)
        known = self._drawn.get(state.key())
        expected = known.kinds if known else [*self._layout]
        counts = {kind: rows.stop - rows.start for kind, rows in self._layout.items()}
        fitting = [kind for kind in expected if counts[kind] == shape[0]]
        if not fitting:
            there = ", ".join(f"{count} {kind}" for kind, count in counts.items())
            raise ValueError(
                f"noise of shape {list(shape)} is drawn for a chunk of {there}: a batch can be "
                "split where noise has one row for each of one kind; train with a batch that fits "
                "without a split"
            )
        rows = self._layout[fitting[0]]
        if known and fitting[0] == known.kinds[0]:
            known.kinds = fitting
            known.after.restore()
            return known.noise[rows.start : rows.stop]
        self.misread |= known is not None
        noise = draw(rows.total)
        self._drawn[state.key()] = Draw(fitting, noise, RandomState.beside(beside))
        return noise[rows.start : rows.stop]


Source = Callable[[Sequence[int], Tensor, Callable[[int], Tensor]], Tensor]
"""``WholeBatchDraws._rows_of_noise``."""


def _whole(part: Tensor, total: int) -> Tensor:
    """Ones for ``total`` rows, laid out in memory as ``part`` is: noise follows that order."""
    order = sorted(range(part.dim()), key=part.stride, reverse=True)
    shape = (total, *part.shape[1:])
    return torch.empty_permuted(shape, order, dtype=part.dtype, device=part.device).fill_(1)


def _dropout(
    source: Source, given: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """``given`` without some of its values."""
    if not training or p in {0.0, 1.0}:
        return functional.dropout(given, p, training, inplace)
    kept = source(
        given.shape, given, lambda total: functional.dropout(_whole(given, total), p) != 0
    )
    scale = 1.0 / (1.0 - p)
    return given.mul_(kept).mul_(scale) if inplace else given * kept * scale


def _noise_like(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Of a function that makes noise in the shape of a tensor."""

    def draw(source: Source, part: Tensor, **settings: Any) -> Tensor:
        noise = source(
            part.shape, part, lambda total: function(_whole(part.detach(), total), **settings)
        )
        return noise.clone()

    return draw


def _noise_of(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Of a function that makes noise of a size, given as one sequence or number by number."""

    def draw(source: Source, *size: Any, **settings: Any) -> Tensor:
        shape = size if isinstance(size[0], int) else size[0]
        beside = torch.empty(0, device=settings.get("device"))
        noise = source(shape, beside, lambda total: function(total, *shape[1:], **settings))
        return noise.clone()

    return draw


DRAWS: Mapping[Callable[..., Any], Callable[..., Tensor]] = {
    functional.dropout: _dropout,
    torch.rand_like: _noise_like(torch.rand_like),
    torch.randn_like: _noise_like(torch.randn_like),
    torch.rand: _noise_of(torch.rand),
    torch.randn: _noise_of(torch.randn),
}
"""How each function draws for a part of a batch."""
REFUSED: frozenset[Callable[..., Any]] = frozenset(
    {
        functional.alpha_dropout, functional.feature_alpha_dropout, functional.dropout1d,
        functional.dropout2d, functional.dropout3d, functional.gumbel_softmax, functional.rrelu,
        torch.bernoulli, torch.multinomial, torch.normal, torch.poisson, torch.randint,
        torch.randint_like, torch.randperm, Tensor.bernoulli_, Tensor.cauchy_, Tensor.exponential_,
        Tensor.geometric_, Tensor.log_normal_, Tensor.normal_, Tensor.random_, Tensor.uniform_,
    }
)  # fmt: skip
"""Functions that draw and that no network here calls."""
