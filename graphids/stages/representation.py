"""How captures become graphs: single windows, sequences of them, or windows of several lengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl
from torch import Tensor

from graphids.data.lead_in import lead_in_features, relative_to_lead_in
from graphids.data.multi_scale import check_scales, multi_scale_graphs, scales_reach
from graphids.data.packed import PackedGraphs, build_graphs, concatenate
from graphids.data.pooling import pool_windows
from graphids.data.scaling import Scaler
from graphids.data.sequences import (
    check_sequences,
    join_windows,
    sequence_part,
    sequence_reach,
    sequence_windows,
)
from graphids.data.splits import split
from graphids.data.vocabulary import Vocabulary
from graphids.data.windows import check_window, overlap_reach

POOLED = "pooled"
"""Name of the features of each window as a whole, unscaled ``[G, P]``."""
LEAD_IN = "lead_in"
"""Name of how each window departs from the lead-in of its capture ``[G, 3]``."""


@dataclass(frozen=True, kw_only=True)
class Representation:
    """What a graph is made of."""

    window: int
    """Messages in a window."""
    stride: int
    """Messages between the starts of two windows."""
    sequence_length: int
    """Windows of a sequence; 1 for windows that stand alone."""
    sequence_stride: int
    """Windows between the starts of two sequences."""
    scales: tuple[int, ...]
    """Messages in a window at each scale; empty for windows of one length."""

    relative_inputs: bool
    """Whether nodes are described relative to their id's profile in the capture's lead-in."""
    lead_in_s: float
    """Length of that lead-in in seconds."""

    def __post_init__(self) -> None:
        if not self.lead_in_s > 0:
            raise ValueError(f"lead_in_s must be positive (got {self.lead_in_s})")
        if self.scales and self.sequence_length != 1:
            raise ValueError(
                "scales and sequence_length exclude one another "
                f"(got {self.scales} and {self.sequence_length}); choose one"
            )
        if self.scales:
            check_scales(self.scales, self.stride)
        else:
            check_window(self.window, self.stride)
        if self.sequence_length != 1 or self.sequence_stride != 1:
            check_sequences(self.sequence_length, self.sequence_stride)

    def windows(self, captures: Sequence[pl.DataFrame]) -> PackedGraphs:
        """Unscaled windows of several captures; none crosses from one into the next."""
        if self.scales:
            return concatenate(
                [multi_scale_graphs(table, self.scales, self.stride) for table in captures]
            )
        return concatenate([build_graphs(table, self.window, self.stride) for table in captures])

    def split(self, windows: PackedGraphs) -> Tensor:
        """Part of every window of the training captures ``[G]``, embargoed by what graphs share."""
        if self.scales:
            return split(windows, scales_reach(self.scales, self.stride), unit=self.stride)
        if self.sequence_length > 1:
            reach = sequence_reach(
                self.sequence_length, self.sequence_stride, self.window, self.stride
            )
            return split(windows, reach)
        return split(windows, overlap_reach(self.window, self.stride))

    def sequences(self, windows: PackedGraphs) -> Tensor | None:
        """Windows of each sequence ``[S, sequence_length]``; none where windows stand alone."""
        if self.sequence_length == 1:
            return None
        return sequence_windows(
            windows, self.sequence_length, self.sequence_stride, window_stride=self.stride
        )

    def build(self, captures: Sequence[pl.DataFrame]) -> Built:
        """Unscaled windows of several captures, given their message tables."""
        windows = self.windows(captures)
        beside: dict[str, Tensor] = {}
        if self.sequence_length == 1 and not self.scales:
            beside = {
                POOLED: pool_windows(windows),
                LEAD_IN: lead_in_features(windows, self.lead_in_s),
            }
        if self.relative_inputs:
            windows = relative_to_lead_in(windows, self.lead_in_s)
        return Built(windows=windows, beside=beside, sequences=self.sequences(windows))


@dataclass(frozen=True, kw_only=True)
class Built:
    """Unscaled windows of a group of captures, and how they are joined."""

    windows: PackedGraphs
    """Windows, each by itself: split, vocabulary and scaler read these."""
    beside: Mapping[str, Tensor]
    """Features of single windows as a whole, before any node is described relatively."""
    sequences: Tensor | None
    """Windows of each sequence ``[S, length]``; none where windows stand alone."""

    def graphs(self, scaler: Scaler, vocabulary: Vocabulary) -> PackedGraphs:
        """What models see: scaled windows, joined where they form sequences."""
        scaled = scaler.apply(self.windows.with_vocabulary(vocabulary))
        return scaled if self.sequences is None else join_windows(scaled, self.sequences)

    def graph_part(self, part: Tensor) -> Tensor:
        """Part of each graph, from that of each window ``[G]``."""
        return part if self.sequences is None else sequence_part(part, self.sequences)
