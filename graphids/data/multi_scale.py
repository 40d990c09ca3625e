"""Windows of several lengths over the same messages, each a graph of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import polars as pl
import torch

from graphids.data.graph_tensors import graph_tensors
from graphids.data.packed import PackedGraphs, concatenate
from graphids.data.vocabulary import Vocabulary
from graphids.data.windows import Capture, check_window, overlap_reach


def check_scales(windows: Sequence[int], stride: int) -> None:
    """Refuses scales that cannot be cut.

    A window shorter than the stride is allowed beside one that sees the messages it leaves out.

    Raises:
        ValueError: if there is no window, one twice, one too short or too long, or if the stride
            exceeds all of them.
    """
    if not windows or len(set(windows)) < len(windows):
        raise ValueError(f"windows must be distinct lengths, at least one (got {tuple(windows)})")
    for window in windows:
        check_window(window, min(window, stride))
    check_window(max(windows), stride)


def scales_reach(windows: Sequence[int], stride: int) -> int:
    """How many units before a unit share messages with it: the most over the scales."""
    return max(overlap_reach(window, stride) for window in windows)


def multi_scale_graphs(
    messages: pl.DataFrame,
    windows: Sequence[int] = (50, 100, 200),
    stride: int = 100,
    vocabulary: Vocabulary | None = None,
) -> PackedGraphs:
    """Window graphs of one capture at every scale, in order of their first message.

    Of graphs that start together the shorter window comes first; a window has one message more than
    its graph has edges.

    Args:
        messages: message table of one capture.
        windows: messages in a window, at each scale.
        stride: messages between the starts of two windows, at every scale.
        vocabulary: indices of arbitration ids; by default those of this capture.

    Raises:
        ValueError: if windows or stride cannot be cut.
    """
    check_scales(windows, stride)
    capture = Capture.from_messages(messages)
    scales = [
        PackedGraphs.from_tensors(graph_tensors(capture, window, stride), 0)
        for window in sorted(windows)
    ]
    graphs = concatenate(scales, vocabulary)
    order = graphs.first_message.argsort(stable=True)
    return replace(graphs.select(order), capture=torch.zeros_like(order))
