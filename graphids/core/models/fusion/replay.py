"""The latest transitions of a head that chooses arms, as part of its state."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

FIELDS = ("obs", "action", "reward")


class ReplayBuffer(nn.Module):
    """A ring of observations, arms and rewards. Each decision ends its episode: no successor.

    Its state is the rows that it holds, oldest first, so that a checkpoint is as long as what was
    seen; a state of any number of rows up to ``capacity`` loads.

    Args:
        capacity: Most transitions; newer ones replace the oldest.
        obs_dim: Width of an observation.
    """

    obs: Tensor
    action: Tensor
    reward: Tensor

    def __init__(self, capacity: int, obs_dim: int) -> None:
        super().__init__()
        if capacity < 1:
            raise ValueError(f"the capacity of a replay buffer must be at least 1 (got {capacity})")
        self.capacity = capacity
        self._pushed = 0
        self.register_buffer("obs", torch.zeros(capacity, obs_dim))
        self.register_buffer("action", torch.zeros(capacity, dtype=torch.long))
        self.register_buffer("reward", torch.zeros(capacity))

    def __len__(self) -> int:
        return min(self._pushed, self.capacity)

    def push(self, obs: Tensor, action: Tensor, reward: Tensor) -> None:
        """Adds transitions: observations ``[N, obs_dim]``, arms and rewards ``[N]``."""
        rows = obs.shape[0]
        kept = min(rows, self.capacity)
        start = self._pushed + rows - kept
        index = torch.arange(start, start + kept, device=self.obs.device) % self.capacity
        for name, values in zip(FIELDS, (obs, action, reward), strict=True):
            ring = self.get_buffer(name)
            ring[index] = values[rows - kept :].to(ring)
        self._pushed += rows

    def contents(self) -> TensorDict:
        """Copies of all transitions held, oldest first."""
        rows = torch.arange(self._pushed - len(self), self._pushed, device=self.obs.device)
        return self._rows(rows % self.capacity)

    def sample(self, num_rows: int, generator: torch.Generator) -> TensorDict:
        """Transitions drawn with replacement, ``obs``, ``action`` and ``reward`` by name.

        Raises:
            ValueError: The buffer is empty.
        """
        if len(self) == 0:
            raise ValueError("the replay buffer is empty; push transitions before sampling")
        drawn = torch.randint(len(self), (num_rows,), generator=generator)
        return self._rows(drawn.to(self.obs.device))

    def _rows(self, index: Tensor) -> TensorDict:
        return TensorDict({name: self.get_buffer(name)[index] for name in FIELDS}, [len(index)])

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        """The rows held instead of the whole ring."""
        for name, values in self.contents().items():
            destination[prefix + name] = values

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Takes any number of rows that fits."""
        missing = [prefix + name for name in FIELDS if prefix + name not in state_dict]
        missing_keys += missing
        if missing:
            return
        rows = [state_dict[prefix + name] for name in FIELDS]
        shapes = [tuple(values.shape) for values in rows]
        count = shapes[0][0]
        if shapes != [(count, self.obs.shape[1]), (count,), (count,)] or count > self.capacity:
            error_msgs.append(
                f"{prefix}: a buffer of at most {self.capacity} transitions with "
                f"{self.obs.shape[1]} features cannot hold {FIELDS} of shapes {shapes}"
            )
            return
        self._pushed = 0
        self.push(*rows)
