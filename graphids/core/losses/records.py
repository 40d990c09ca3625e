"""Where the windows of a batch stand in what was recorded of a whole dataset."""

from __future__ import annotations

import torch
from torch import Tensor

from graphids.core.batch import GraphBatch


def recorded_rows(
    graph: GraphBatch, num_windows: int, record: str, device: torch.device | str
) -> Tensor:
    """Row of each window ``[G]``, int64, on ``device``.

    Args:
        graph: The batch; ``graph_index`` names its windows.
        num_windows: Windows that were recorded.
        record: What was recorded and of what, for the message, such as ``teacher's logits``.
        device: Where the record lies.

    Raises:
        ValueError: A window of the batch was not recorded.
    """
    rows = graph.graph_index.to(device)
    outside = (rows < 0) | (rows >= num_windows)
    if bool(outside.any()):
        raise ValueError(
            f"window {int(rows[outside][0])} is outside the {num_windows} recorded windows: the "
            f"{record} were recorded on another dataset; record them on the packed dataset that "
            "these batches come from"
        )
    return rows
