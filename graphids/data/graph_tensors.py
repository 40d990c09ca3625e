"""The tensors of all window graphs of one capture, computed in chunks that stay in the cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from graphids.data.features import WindowArrays, window_graphs
from graphids.data.windows import Capture, window_labels, window_rows

_CHUNK_MESSAGES = 32_768  # work arrays of a chunk stay in the cache, whatever the capture's length


def graph_tensors(capture: Capture, window: int, stride: int) -> dict[str, Tensor]:
    """Tensors of ``PackedGraphs`` by name, for one capture; ``node_id`` holds arbitration ids.

    A stride beyond the window leaves messages out; callers refuse it unless other windows hold
    them.
    """
    y, attack_type = window_labels(capture, window, stride)
    columns = (capture.time_ns, capture.arbitration_id, capture.payload)
    time_ns, arbitration_id, payload = (window_rows(c, window, stride) for c in columns)
    step = max(1, _CHUNK_MESSAGES // window)
    chunks = [
        window_graphs(time_ns[i : i + step], arbitration_id[i : i + step], payload[i : i + step])
        for i in range(0, len(y), step)
    ] or [WindowArrays.empty()]
    ids = torch.from_numpy(np.concatenate([c.arbitration_id for c in chunks]))
    graphs = torch.arange(len(y))
    # Copies: the columns are views into the times of the whole capture.
    first, last = torch.from_numpy(time_ns[:, 0].copy()), torch.from_numpy(time_ns[:, -1].copy())
    return {
        "x": torch.from_numpy(np.concatenate([c.x for c in chunks])),
        "node_id": ids,
        "arbitration_id": ids,
        "edge_index": torch.from_numpy(np.concatenate([c.edge_index for c in chunks], axis=1)),
        "edge_attr": torch.from_numpy(np.concatenate([c.edge_attr for c in chunks])),
        "node_offsets": offsets_of([torch.from_numpy(c.num_nodes) for c in chunks]),
        "edge_offsets": torch.arange(len(y) + 1) * (window - 1),
        "y": torch.from_numpy(y),
        "attack_type": torch.from_numpy(attack_type),
        "capture": torch.zeros_like(graphs),
        "first_message": graphs * stride,
        "start_ns": first - first[:1],
        "span_ns": last - first,
    }


def offsets_of(counts: Sequence[Tensor]) -> Tensor:
    """Where each segment begins, and the end ``[n + 1]``, from the lengths of all ``[n]``."""
    return torch.cat((torch.zeros(1, dtype=torch.int64), *counts)).cumsum(0)
