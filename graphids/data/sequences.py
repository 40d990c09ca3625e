"""Sequences of consecutive windows of one capture, each joined into one disconnected graph.

A sequence is labelled by its last window, the target; earlier windows are context. None bridges a
window that is missing, a part of the split, or two captures.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from graphids.data.graph_tensors import offsets_of
from graphids.data.packed import PackedGraphs
from graphids.data.splits import Part
from graphids.data.windows import overlap_reach


def check_sequences(length: int, stride: int) -> None:
    """Refuses sequences that cannot be cut.

    Raises:
        ValueError: if ``length`` is below 2 or ``stride`` below 1.
    """
    if length < 2:
        raise ValueError(f"sequence_length must be at least 2 windows (got {length})")
    if stride < 1:
        raise ValueError(f"sequence_stride must be at least 1 window (got {stride})")


def sequence_reach(length: int, stride: int, window: int, window_stride: int) -> int:
    """Windows of embargo between parts (reference 1.9): those of a sequence and its overlap."""
    return (length - 1) * stride + overlap_reach(window, window_stride)


def sequence_windows(
    graphs: PackedGraphs, length: int, stride: int, *, window_stride: int
) -> Tensor:
    """Positions of the windows of each sequence ``[S, length]``, int64.

    Args:
        graphs: single windows, in order of time inside each capture.
        length: windows of a sequence.
        stride: windows between the starts of two sequences: one starts at each window whose number
            in its capture is a multiple of it, where all its windows exist.
        window_stride: messages between the starts of two windows.

    Raises:
        ValueError: if ``length`` or ``stride`` is too small, if the graphs are sequences already or
            if their windows do not start at multiples of ``window_stride``.
    """
    check_sequences(length, stride)
    if graphs.step is not None:
        raise ValueError("the graphs are sequences already; give the single windows")
    if window_stride < 1:
        raise ValueError(f"window_stride must be at least 1 message (got {window_stride})")
    if bool((graphs.first_message % window_stride != 0).any()):
        raise ValueError(
            f"some windows do not start at a multiple of window_stride ({window_stride} messages); "
            "pass the stride that they were cut with"
        )
    number = graphs.first_message // window_stride
    follows = (number.diff() == 1) & (graphs.capture.diff() == 0)
    links = torch.cat((torch.zeros(1, dtype=torch.int64), follows.cumsum(0)))
    first = torch.arange(max(0, len(graphs) - length + 1))
    whole = links[first + length - 1] - links[first] == length - 1
    starts = first[whole & (number[first] % stride == 0)]
    return starts[:, None] + torch.arange(length)


def sequence_part(part: Tensor, windows: Tensor) -> Tensor:
    """Part of each sequence ``[S]``: that of all its windows, else ``EMBARGO``.

    Args:
        part: part of each window ``[G]``.
        windows: windows of each sequence ``[S, length]``.
    """
    parts = part[windows]
    same = (parts == parts[:, :1]).all(dim=1)
    return torch.where(same, parts[:, 0], int(Part.EMBARGO))


def join_windows(graphs: PackedGraphs, windows: Tensor) -> PackedGraphs:
    """The windows of each row joined into one disconnected graph.

    Labels, position and times are those of the last window; ``step`` tells the windows of a graph
    apart and ``covered_from`` where the first of them begins.

    Args:
        graphs: single windows.
        windows: positions of the windows of each sequence ``[S, length]``.

    Raises:
        ValueError: if a row holds windows of several captures.
    """
    length = windows.shape[1]
    captures = graphs.capture[windows]
    if bool((captures != captures[:, :1]).any()):
        raise ValueError("a sequence holds windows of several captures; give each capture its own")
    flat = graphs.select(windows.flatten())
    nodes, edges = flat.num_nodes, flat.num_edges
    shift = flat.node_offsets[:-1] - flat.node_offsets[:-1:length].repeat_interleave(length)
    target = windows[:, -1]
    return replace(
        flat,
        edge_index=flat.edge_index + shift.repeat_interleave(edges),
        node_offsets=offsets_of([nodes.view(windows.shape).sum(1)]),
        edge_offsets=offsets_of([edges.view(windows.shape).sum(1)]),
        y=graphs.y[target],
        attack_type=graphs.attack_type[target],
        capture=graphs.capture[target],
        first_message=graphs.first_message[target],
        start_ns=graphs.start_ns[target],
        span_ns=graphs.span_ns[target],
        step=torch.arange(length).repeat(len(windows)).repeat_interleave(nodes),
        covered_from=graphs.first_message[windows[:, 0]],
    )


def sequence_graphs(
    graphs: PackedGraphs, part: Tensor, length: int, stride: int, *, window_stride: int
) -> tuple[PackedGraphs, Tensor]:
    """Sequences of training captures and the part of each.

    For test captures, which have no parts, ``join_windows(graphs, sequence_windows(...))``.

    Args:
        graphs: single windows, as for :func:`sequence_windows`.
        part: part of each window ``[G]``, split with :func:`sequence_reach`.
        length: windows of a sequence.
        stride: windows between the starts of two sequences.
        window_stride: messages between the starts of two windows.
    """
    windows = sequence_windows(graphs, length, stride, window_stride=window_stride)
    return join_windows(graphs, windows), sequence_part(part, windows)
