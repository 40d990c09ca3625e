"""Which windows train, which stop training, which calibrate: by blocks of time, never at random.

Each capture is split by itself. The windows beside a block are left out (embargo), so that no
message is seen on both sides of a border.
"""

from __future__ import annotations

from enum import IntEnum
from itertools import combinations

import torch
from torch import Tensor

from graphids.data.packed import PackedGraphs

VALIDATION_PERCENT = 20
"""Share of a capture's windows in its validation block."""
ATTACK_PERCENT = 10
"""Share of a capture's attack windows that its validation block should hold at least."""


class Part(IntEnum):
    """What a window of a training capture is used for."""

    TRAIN = 0
    STOP = 1
    CALIBRATION = 2
    EMBARGO = 3


def split(graphs: PackedGraphs, reach: int) -> Tensor:
    """Part of every window ``[G]``, int64, values of ``Part``.

    Args:
        graphs: windows of training captures, those of a capture together and in order of time.
        reach: how many windows before a window share messages with it (``windows.overlap_reach``).
    """
    embargo = max(1, reach)
    _, sizes = graphs.capture.unique_consecutive(return_counts=True)
    blocks = [split_capture(y, embargo) for y in graphs.y.split(sizes.tolist())]
    return torch.cat(blocks) if blocks else torch.empty(0, dtype=torch.int64)


def split_capture(y: Tensor, embargo: int) -> Tensor:
    """Part of each window of one capture ``[n]``, from its labels ``y`` ``[n]`` in order of time.

    The validation block is halved by time, with the same embargo between the halves.
    """
    n, length = y.numel(), y.numel() * VALIDATION_PERCENT // 100
    part = torch.full((n,), int(Part.TRAIN))
    if length == 0:
        return part
    start = _block_start(y, length)
    end = start + length
    part[max(0, start - embargo) : end + embargo] = Part.EMBARGO
    usable = max(0, length - embargo)
    first = max(usable - usable // 2, int(length <= embargo))
    part[start : start + first] = Part.STOP
    part[end - usable // 2 : end] = Part.CALIBRATION
    return part


def _block_start(y: Tensor, length: int) -> int:
    """First window of the validation block.

    The latest block with enough attack windows and a benign one; where a class is missing
    altogether the last block; where no block will do the one with most attack windows, then with a
    benign one, then the latest.
    """
    last = y.numel() - length
    total = int(y.sum())
    if total in (0, y.numel()):
        return last
    running = torch.cat((y.new_zeros(1), y.cumsum(0)))
    attacks = running[length:] - running[:-length]
    has_benign = attacks < length
    good = (100 * attacks >= ATTACK_PERCENT * total) & has_benign
    rank = torch.where(good, 2 * length + 2, 2 * attacks + has_benign)
    return int((rank == rank.max()).nonzero().max())


def audit(graphs: PackedGraphs, part: Tensor) -> dict[str, dict[str, int]]:
    """What two parts share: windows, and messages that windows of both hold. All must be 0.

    Read from the rows that the windows really hold, not from the rule that split them.

    Returns:
        ``{"train-stop": {"windows": 0, "messages": 0}, ...}`` for each pair of parts in use.
    """
    used = (Part.TRAIN, Part.STOP, Part.CALIBRATION)
    shared = {
        f"{a.name}-{b.name}".lower(): {"windows": 0, "messages": 0}
        for a, b in combinations(used, 2)
    }
    for capture in graphs.capture.unique().tolist():
        inside = graphs.capture == capture
        first = graphs.first_message[inside]
        end = first + graphs.num_edges[inside] + 1
        members = part[inside]
        covered = {p: _covered(first[members == p], end[members == p], end.max()) for p in used}
        for a, b in combinations(used, 2):
            both = shared[f"{a.name}-{b.name}".lower()]
            both["messages"] += int((covered[a] & covered[b]).sum())
            both["windows"] += int(torch.isin(first[members == a], first[members == b]).sum())
    return shared


def _covered(first: Tensor, end: Tensor, num_messages: Tensor) -> Tensor:
    """Whether any of the row intervals ``first .. end`` ``[n]`` holds each message ``[N]``."""
    size = int(num_messages) + 1
    edges = torch.bincount(first, minlength=size) - torch.bincount(end, minlength=size)
    return edges.cumsum(0)[:-1] > 0


def class_counts(graphs: PackedGraphs, part: Tensor) -> dict[str, dict[str, int]]:
    """Benign and attack windows of each part: ``{"train": {"benign": 8, "attack": 2}, ...}``."""
    return {
        p.name.lower(): {
            "benign": int(((part == p) & (graphs.y == 0)).sum()),
            "attack": int(((part == p) & (graphs.y == 1)).sum()),
        }
        for p in Part
    }


def class_notes(counts: dict[str, dict[str, int]]) -> tuple[str, ...]:
    """A sentence for each part in use that lacks a class, from ``class_counts``."""
    return tuple(
        f"{part}: no {label} window"
        for part in ("train", "stop", "calibration")
        for label, count in counts[part].items()
        if count == 0
    )
