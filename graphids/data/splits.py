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


def split(graphs: PackedGraphs, reach: int, *, unit: int = 1) -> Tensor:
    """Part of every window ``[G]``, int64, values of ``Part``.

    Windows of a capture that start in the same ``unit`` messages go to one part and count as one,
    which is an attack where any of them is.

    Args:
        graphs: windows of training captures, those of a capture together and in order of time.
        reach: how many units before a unit share messages with it: ``windows.overlap_reach``,
            ``sequences.sequence_reach`` or ``multi_scale.scales_reach``.
        unit: messages of a unit: with 1 each window by itself; the stride for windows of several
            lengths.

    Raises:
        ValueError: if ``reach`` is negative or ``unit`` below 1.
    """
    if reach < 0 or unit < 1:
        raise ValueError(f"reach must be at least 0 and unit 1 (got {reach} and {unit})")
    key = torch.stack((graphs.capture, graphs.first_message // unit))
    units, member = key.unique_consecutive(dim=1, return_inverse=True)
    y = torch.zeros(units.shape[1], dtype=torch.int64)
    y.scatter_reduce_(0, member, graphs.y, "amax")
    _, sizes = units[0].unique_consecutive(return_counts=True)
    blocks = [split_capture(block, max(1, reach)) for block in y.split(sizes.tolist())]
    return torch.cat(blocks)[member] if blocks else member


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
    """What two parts share: windows, and messages that graphs of both hold. All must be 0.

    Read from the rows that the graphs really hold, not from the rule that split them: a sequence
    holds those from the first of its first window to the last of its last one.

    Returns:
        ``{"train-stop": {"windows": 0, "messages": 0}, ...}`` for each pair of parts in use.
    """
    used = (Part.TRAIN, Part.STOP, Part.CALIBRATION)
    shared = {
        f"{a.name}-{b.name}".lower(): {"windows": 0, "messages": 0}
        for a, b in combinations(used, 2)
    }
    rows = _rows(graphs)
    for capture in graphs.capture.unique().tolist():
        inside = graphs.capture == capture
        first, end = rows[:, inside]
        members = part[inside]
        covered = {p: _covered(first[members == p], end[members == p], end.max()) for p in used}
        for a, b in combinations(used, 2):
            both = shared[f"{a.name}-{b.name}".lower()]
            both["messages"] += int((covered[a] & covered[b]).sum())
            targets = graphs.first_message[inside]
            both["windows"] += int(torch.isin(targets[members == a], targets[members == b]).sum())
    return shared


def source_boundaries(graphs: PackedGraphs, window_stride: int) -> int:
    """Graphs whose windows are not consecutive windows of one capture. Must be 0.

    A single window never crosses into another capture, since captures are cut one by one.

    Args:
        graphs: single windows or sequences.
        window_stride: messages between the starts of two windows.
    """
    if graphs.covered_from is None:
        return 0
    expected = (_num_steps(graphs) - 1) * window_stride
    return int((graphs.first_message - graphs.covered_from != expected).sum())


def _num_steps(graphs: PackedGraphs) -> Tensor:
    """Windows of each graph ``[G]``."""
    if graphs.step is None:
        return torch.ones_like(graphs.y)
    return graphs.step[graphs.node_offsets[1:] - 1] + 1


def _rows(graphs: PackedGraphs) -> Tensor:
    """First row of each graph in its capture, and the row after its last ``[2, G]``."""
    first = graphs.first_message if graphs.covered_from is None else graphs.covered_from
    # Windows of a graph are equally long, and each has one message more than edges.
    window = graphs.num_edges // _num_steps(graphs) + 1
    return torch.stack((first, graphs.first_message + window))


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
