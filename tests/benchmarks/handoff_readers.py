"""Processes that read the outputs of a stage: through the node's keeper, or from files."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from graphids.runner.handoffs import fetch
from graphids.stages.handoff import TensorFile
from graphids.store.outputs import OutputStore

FILE = "features"
PAGE_BYTES = 4096


class Reader:
    """One reader, in a process of its own; each method returns what ``touch`` gives."""

    def __init__(self, root: str, run: str) -> None:
        torch.set_num_threads(1)
        self.store = OutputStore(Path(root))
        self.run = run

    def nothing(self, _: str) -> float:
        """What a call costs by itself."""
        return 0.0

    def read_handoff(self, fingerprint: str) -> float:
        """Reads a committed output as a trial does."""
        return touch(self._file(fingerprint).tensors)

    def read_file(self, path: str) -> float:
        """Reads what ``torch.save`` wrote."""
        return touch(torch.load(path))

    def read_mapped_file(self, path: str) -> float:
        """Maps what ``torch.save`` wrote."""
        return touch(torch.load(path, mmap=True))

    def differing(self, fingerprint: str, path: str) -> list[str]:
        """Names of the tensors that are not the same in both."""
        ours, theirs = self._file(fingerprint).tensors, torch.load(path)
        return [
            name
            for name in {**ours, **theirs}
            if name not in ours or name not in theirs or not torch.equal(ours[name], theirs[name])
        ]

    def _file(self, fingerprint: str) -> TensorFile:
        return fetch(self.store, self.run, fingerprint).files[FILE]


def touch(tensors: dict[str, Tensor]) -> float:
    """Sum of one value of each page, so that every page is there."""
    return sum(
        tensor.flatten()[:: PAGE_BYTES // tensor.element_size()].double().sum().item()
        for tensor in tensors.values()
    )
