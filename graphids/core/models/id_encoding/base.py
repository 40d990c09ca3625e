"""What a model asks of an encoder of arbitration ids, and how it gets one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor, nn

from graphids.core.batch import GraphBatch
from graphids.core.models.registry import resolve_encoder

HIDDEN_ID = -1
"""Id of a hidden node where the encoder reads ids of the bus, none of which is negative."""


class IdEncoder(nn.Module, ABC):
    """Turns ids ``[V]`` (int64) into vectors ``[V, out_dim]``.

    Unknown and hidden ids have rows of their own. An encoder calls ``drop_unknown`` on its ids
    first, so that the row of unknown ids is trained.
    """

    reads: ClassVar[Literal["node_id", "arbitration_id"]] = "node_id"
    """Attribute of the batch that holds the ids of this encoder."""
    unknown_value: ClassVar[int]
    """Id that reads as unknown."""
    mask_value: int = HIDDEN_ID
    """Id that a model gives to a node that it hides."""
    p_unk_drop: float = 0.0
    """Probability that an id reads as unknown while training."""

    @property
    @abstractmethod
    def out_dim(self) -> int:
        """Length of a vector."""

    @abstractmethod
    def forward(self, ids: Tensor) -> Tensor:
        """Vectors ``[V, out_dim]`` of ``ids [V]``."""

    @classmethod
    @abstractmethod
    def from_vocab_size(cls, num_ids: int, *, embedding_dim: int) -> Self:
        """An encoder for a vocabulary of ``num_ids``, unknown and hidden ids included."""

    def reserve(self, *, p_unk_drop: float = 0.0, mask_index: int | None = None) -> None:
        """Says how often ids read as unknown, and which index of the vocabulary is the hidden one.

        An encoder that reads arbitration ids has no vocabulary: its hidden id is ``HIDDEN_ID``,
        whatever ``mask_index`` is.

        Raises:
            ValueError: A probability outside ``[0, 1)``.
        """
        if not 0.0 <= p_unk_drop < 1.0:
            raise ValueError(f"p_unk_drop must lie in [0, 1) (got {p_unk_drop})")
        self.p_unk_drop = p_unk_drop
        if mask_index is not None and self.reads == "node_id":
            self.mask_value = mask_index

    def drop_unknown(self, ids: Tensor) -> Tensor:
        """``ids [V]``, of which some that are not hidden read as unknown while training."""
        if not self.training or self.p_unk_drop == 0.0:
            return ids
        dropped = torch.rand(ids.shape, device=ids.device) < self.p_unk_drop
        return ids.masked_fill(dropped & (ids != self.mask_value), self.unknown_value)

    def ids_of(self, batch: GraphBatch) -> Tensor:
        """The ids ``[V]`` of a batch that this encoder reads."""
        return batch.node_id if self.reads == "node_id" else batch.arbitration_id


def build_encoder(class_path: str, num_ids: int, embedding_dim: int, **kwargs: object) -> IdEncoder:
    """The encoder at ``class_path`` for a vocabulary of ``num_ids``.

    Args:
        class_path: A registered dotted path.
        num_ids: Rows of the vocabulary, those of unknown and hidden ids included.
        embedding_dim: Length of a vector.
        **kwargs: Further settings: ``p_unk_drop`` and ``mask_index`` as in ``IdEncoder.reserve``,
            which every encoder has, and those of the encoder's ``from_vocab_size``.

    Raises:
        ValueError: The path is not registered, and nothing is imported; or a value is out of range.
    """
    reserved = {name: kwargs.pop(name) for name in ("p_unk_drop", "mask_index") if name in kwargs}
    encoder = resolve_encoder(class_path).from_vocab_size(  # type: ignore[attr-defined]
        num_ids, embedding_dim=embedding_dim, **kwargs
    )
    assert isinstance(encoder, IdEncoder), class_path
    encoder.reserve(**reserved)  # type: ignore[arg-type]
    return encoder
