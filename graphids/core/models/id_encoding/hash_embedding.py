"""Vectors of arbitration ids by hashing: ids that training never saw have vectors of their own."""

from __future__ import annotations

import random
from typing import Self

import torch
from torch import Tensor, nn

from graphids.core.models.id_encoding.base import HIDDEN_ID, IdEncoder

UNKNOWN_ID = -2
"""Id that reads as unknown; no id on a bus is negative."""
WORD = 0xFFFF_FFFF
SPREAD = 0x9E37_79B1
"""2^32 over the golden ratio, odd."""


class HashIdEncoder(IdEncoder):
    """Hash embeddings (Svenstrup et al. 2017) without importance weights: ``k`` buckets, summed.

    It reads the id as it stood on the bus, not its index in a vocabulary, so an id outside the
    vocabulary falls into buckets of its own. The buckets are the high bits of products with ``k``
    different odd numbers (multiply-shift, Dietzfelbinger et al. 1997), after one fixed product
    whose high bits are folded into its low ones: without the fold, an unlucky multiplier puts ids
    at one distance from each other into one bucket, whatever the other ids are.

    Unknown and hidden ids have rows outside the buckets. No id of a bus is unknown to a hash:
    ``UNKNOWN_ID`` is what dropped ids read as while training, and neutral (0) without dropping.
    """

    reads = "arbitration_id"
    unknown_value = UNKNOWN_ID

    multipliers: Tensor

    def __init__(self, num_buckets: int, embedding_dim: int, *, k: int = 2, seed: int = 42) -> None:
        """Builds the table.

        Args:
            num_buckets: Rows of the table.
            embedding_dim: Length of a vector.
            k: Buckets of an id.
            seed: Seed of the multipliers, thus of which ids share buckets.

        Raises:
            ValueError: Fewer than 2 buckets, or ``k`` or the length of a vector below 1.
        """
        super().__init__()
        for name, value, least in (
            ("num_buckets", num_buckets, 2),
            ("k", k, 1),
            ("embedding_dim", embedding_dim, 1),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least} (got {value})")
        self.num_buckets = num_buckets
        odd = random.Random(seed).sample(range(2**31 + 1, 2**32, 2), k)
        self.register_buffer("multipliers", torch.tensor(odd))
        self.table = nn.Embedding(num_buckets, embedding_dim)
        # A sum of k vectors is as long as one vector of a look-up.
        nn.init.normal_(self.table.weight, std=k**-0.5)
        self.special = nn.Embedding(2, embedding_dim)
        with torch.no_grad():
            self.special.weight[0].zero_()

    @property
    def out_dim(self) -> int:
        """Length of a vector."""
        return self.table.embedding_dim

    def buckets(self, ids: Tensor) -> Tensor:
        """Buckets ``[V, k]`` of ``ids [V]`` below 2^31."""
        # Counted from 1, as 0 times anything is 0.
        spread = ((ids + 1) * SPREAD) & WORD
        spread = spread ^ (spread >> 15)
        hashed = (spread.unsqueeze(-1) * self.multipliers) & WORD
        return (hashed * self.num_buckets) >> 32

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors ``[V, out_dim]`` of arbitration ids ``[V]``, ``HIDDEN_ID`` or ``UNKNOWN_ID``."""
        ids = self.drop_unknown(ids)
        hashed = self.table(self.buckets(ids)).sum(dim=-2)
        special = self.special((ids == HIDDEN_ID).long())
        return torch.where((ids < 0).unsqueeze(-1), special, hashed)

    @classmethod
    def from_vocab_size(
        cls,
        num_ids: int,
        *,
        embedding_dim: int,
        k: int = 2,
        seed: int = 42,
        num_buckets_factor: int = 4,
        num_buckets: int | None = None,
    ) -> Self:
        """A table of ``num_buckets`` rows.

        Without them, of the next power of two from ``max(8, num_buckets_factor * num_ids)`` on.
        """
        if num_buckets is None:
            num_buckets = 1 << (max(8, num_buckets_factor * num_ids) - 1).bit_length()
        return cls(num_buckets, embedding_dim, k=k, seed=seed)
