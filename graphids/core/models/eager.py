"""Where passes that are written out by hand serve."""

from __future__ import annotations

import torch
from torch import Tensor


def eager_on_cpu(nodes: Tensor) -> bool:
    """Whether ``nodes`` are on the CPU, in their own precision, and no compiler looks on."""
    compiling = torch.compiler.is_compiling()
    return not compiling and nodes.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
