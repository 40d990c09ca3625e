"""How many bytes of tensors live after each operation of a step: its trace, whose top is its peak.

A step of a model does much the same operations whatever the batch, so traces of several batches can
be compared operation by operation. Only allocations that are tensors count: what a kernel takes and
gives back within itself does not show.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

CUDA_BLOCK = 512
"""Bytes to whose multiple CUDA's allocator rounds up."""


class MemoryTrace(TorchDispatchMode):
    """Watches the tensors of one device while it is entered.

    A tensor counts from the operation that makes it until its storage is freed. One that is only
    read was there before, and counts from the beginning.
    """

    def __init__(self, device: torch.device, alive: Iterable[Tensor] = ()) -> None:
        """Prepares a trace.

        Args:
            device: Only its tensors count.
            alive: Tensors that exist before, in addition to those that the step reads.
        """
        super().__init__()
        self.device = torch.device(device)
        self._made: list[tuple[str, int]] = []
        self._live = 0
        self._before = 0
        self._storages: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        for tensor in alive:
            self._before += self._watch(tensor)
        self._live = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Runs an operation and notes what lives after it."""
        for tensor in _tensors((args, kwargs)):
            size = self._watch(tensor)
            self._live -= size
            self._before += size
        result = func(*args, **(kwargs or {}))
        for tensor in _tensors(result):
            self._watch(tensor)
        self._made.append((str(func), self._live))
        return result

    @property
    def before(self) -> int:
        """Bytes that lived before the step."""
        return self._before

    @property
    def moments(self) -> list[tuple[str, int]]:
        """Each operation's name and the bytes that live after it."""
        return [(name, self._before + made) for name, made in self._made]

    @property
    def peak(self) -> int:
        """Most bytes that lived at once."""
        return self._before + max((made for _, made in self._made), default=0)

    def _watch(self, tensor: Tensor) -> int:
        """Counts a storage that was not seen before; its bytes, 0 for one that was."""
        if tensor.device.type != self.device.type:
            return 0
        storage = tensor.untyped_storage()
        # The key is an address, which a later storage may have again.
        known = self._storages.get(storage._cdata)
        if known is not None and known() is not None:
            return 0
        size = storage.nbytes()
        if self.device.type == "cuda":
            size = math.ceil(size / CUDA_BLOCK) * CUDA_BLOCK
        self._storages[storage._cdata] = weakref.ref(storage, lambda _: self._freed(size))
        self._live += size
        return size

    def _freed(self, size: int) -> None:
        self._live -= size


def live_tensors(module: nn.Module, optimizer: torch.optim.Optimizer | None = None) -> list[Tensor]:
    """Parameters, buffers and gradients of a module, and what its optimiser remembers."""
    found = [*module.parameters(), *module.buffers()]
    found += [p.grad for p in module.parameters() if p.grad is not None]
    if optimizer is not None:
        found += _tensors([list(state.values()) for state in optimizer.state.values()])
    return found


def _tensors(tree: Any) -> list[Tensor]:
    """Every tensor of a nest of lists, tuples and dictionaries, which is all that operations take.

    Written out, because the trees of torch would take half of a trace's time.
    """
    if isinstance(tree, Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, list | tuple):
        return []
    return [tensor for branch in tree for tensor in _tensors(branch)]
