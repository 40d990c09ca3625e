"""The state of a window as a fusion head reads it: what the models said, in one row."""

from __future__ import annotations

import torch
from tensordict import TensorDict
from torch import Tensor


def feature_keys(td: TensorDict) -> list[tuple[str, ...]]:
    """Keys of the features, sorted: nested leaves. Plain string keys are metadata."""
    keys = td.keys(include_nested=True, leaves_only=True)
    return sorted(key for key in keys if isinstance(key, tuple))


def flatten_features(td: TensorDict) -> Tensor:
    """Features side by side ``[N, state_dim]``, in lexicographic order of their keys.

    Args:
        td: Leaves ``[N]`` or ``[N, C]`` under keys such as ``("vgae", "errors")``; leaves under
            plain string keys (labels, attack codes) are left out.

    Raises:
        ValueError: There is no feature.
    """
    keys = feature_keys(td)
    if not keys:
        raise ValueError(
            "the state has no features; give leaves under keys such as ('vgae', 'errors')"
        )
    rows = td.batch_size[0]
    return torch.cat([td[key].reshape(rows, -1) for key in keys], dim=-1)
