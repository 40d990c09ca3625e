"""Which arbitration ids a model knows: those of the training windows; any other has index 0."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

UNK_INDEX = 0
"""Index of every arbitration id that the training windows did not hold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """Arbitration ids in ascending order; the id at position i has index i + 1."""

    ids: tuple[int, ...]
    """Known arbitration ids, strictly ascending."""
    _known: NDArray[np.int64] = field(init=False, repr=False, compare=False)
    """The same and, after them, a number that is no id: any id has a place in it ``[n + 1]``."""

    def __post_init__(self) -> None:
        if any(low >= high for low, high in zip(self.ids, self.ids[1:], strict=False)):
            raise ValueError("vocabulary ids must ascend without repeats; use Vocabulary.from_ids")
        known = np.array([*self.ids, np.iinfo(np.int64).max])
        object.__setattr__(self, "_known", known)

    @classmethod
    def from_ids(cls, arbitration_id: Tensor) -> Vocabulary:
        """The distinct ids of ``arbitration_id`` (any shape, int64)."""
        return cls(ids=tuple(arbitration_id.unique(sorted=True).tolist()))

    @property
    def num_ids(self) -> int:
        """Rows that an embedding needs: the known ids and the unknown one."""
        return len(self.ids) + 1

    @property
    def digest(self) -> str:
        """sha256 of the ids with their indices, as hex."""
        entries = [[str(arbitration_id), i + 1] for i, arbitration_id in enumerate(self.ids)]
        return hashlib.sha256(json.dumps(entries).encode()).hexdigest()

    def encode(self, arbitration_id: Tensor) -> Tensor:
        """Index of each id, ``UNK_INDEX`` for an unknown one; int64, same shape.

        Both are on the CPU, where ids come from.
        """
        ids = arbitration_id.numpy()
        position = self._known.searchsorted(ids)
        is_known = self._known.take(position) == ids
        return torch.from_numpy(np.where(is_known, position + 1, UNK_INDEX))

    def to_json(self) -> dict[str, Any]:
        """A dictionary that ``json`` can write."""
        return {"ids": list(self.ids), "unk_index": UNK_INDEX, "digest": self.digest}

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary that ``to_json`` described.

        Raises:
            ValueError: if the ids do not have the digest that was written beside them.
        """
        vocabulary = cls(ids=tuple(int(i) for i in entry["ids"]))
        if vocabulary.digest != entry["digest"]:
            raise ValueError(
                f"vocabulary of {len(vocabulary.ids)} ids has digest {vocabulary.digest[:12]}, "
                f"its file says {entry['digest'][:12]}: the file was changed; "
                "prepare the data again"
            )
        return vocabulary
