"""Opens a prepared data set in a process of its own, so that its memory is its own.

Run as ``open_child.py packed|tensors|list FILE``; prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import torch
from report import timed
from torch import Tensor
from torch_geometric.data import Data

from graphids.data.packed import PackedGraphs

Opened = PackedGraphs | dict[str, Tensor] | list[Data]


def resident(name: str) -> int:
    """Bytes that this process holds: ``VmRSS`` in all, ``RssAnon`` those that no file backs."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if name in line) * 1024


def read_whole(opened: Opened) -> Tensor:
    """The sum of everything, so that every page is read."""
    if isinstance(opened, PackedGraphs):
        opened = opened.tensors()
    if isinstance(opened, dict):
        return torch.stack([tensor.double().sum() for tensor in opened.values()]).sum()
    return torch.stack([tensor.double().sum() for graph in opened for _, tensor in graph]).sum()


def open_file(kind: str, path: str) -> Opened:
    """The data set in one of its forms."""
    return PackedGraphs.load(path) if kind == "packed" else torch.load(path, weights_only=False)


def main(kind: str, path: str) -> None:
    """Opens, reads everything, opens again, and prints seconds and bytes."""
    torch.set_num_threads(1)
    before, own_before = resident("VmRSS"), resident("RssAnon")
    opened, cold = timed(lambda: open_file(kind, path))
    held = resident("VmRSS") - before
    _, reading = timed(partial(read_whole, opened))
    own = resident("RssAnon") - own_before
    del opened
    _, warm = timed(lambda: open_file(kind, path))
    found = {
        "cold_s": cold,
        "warm_s": warm,
        "read_s": cold + reading,
        "resident": held,
        "own_after_reading": own,
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
