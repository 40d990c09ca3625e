"""One trained vector per known arbitration id; unknown ids share row 0."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from graphids.core.models.id_encoding.base import IdEncoder

UNK_INDEX = 0
"""Row of ids outside the vocabulary."""


class LookupIdEncoder(IdEncoder):
    """Embedding table whose unknown row is trained by dropping known ids.

    Without dropping the unknown row never sees a gradient, so it starts at 0: a neutral vector, not
    a random one. The data decides the index, the table only has to hold it.
    """

    unknown_value = UNK_INDEX

    def __init__(
        self,
        num_ids: int,
        embedding_dim: int,
        p_unk_drop: float = 0.0,
        mask_index: int | None = None,
    ) -> None:
        """Builds the table.

        Args:
            num_ids: Rows, those of unknown and hidden ids included.
            embedding_dim: Length of a vector.
            p_unk_drop: Probability that an id reads as unknown while training.
            mask_index: Row of hidden ids, which never read as unknown; none where no id is hidden.

        Raises:
            ValueError: A size below 1, or a probability outside ``[0, 1)``.
        """
        super().__init__()
        if num_ids < 1 or embedding_dim < 1:
            raise ValueError(
                f"num_ids and embedding_dim must be at least 1 (got {num_ids} and {embedding_dim})"
            )
        self.reserve(p_unk_drop=p_unk_drop, mask_index=mask_index)
        self.table = nn.Embedding(num_ids, embedding_dim)
        with torch.no_grad():
            self.table.weight[UNK_INDEX].zero_()

    @property
    def out_dim(self) -> int:
        """Length of a vector."""
        return self.table.embedding_dim

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors ``[V, out_dim]`` of ``ids [V]``, which lie in the table."""
        return self.table(self.drop_unknown(ids))

    @classmethod
    def from_vocab_size(
        cls,
        num_ids: int,
        *,
        embedding_dim: int,
        p_unk_drop: float = 0.0,
        mask_index: int | None = None,
    ) -> Self:
        """A table of ``num_ids`` rows."""
        return cls(num_ids, embedding_dim, p_unk_drop, mask_index)
