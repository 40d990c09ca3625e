"""What a model asks of an encoder of arbitration ids, and how it gets one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, Self

from torch import Tensor, nn

from graphids.core.models.registry import resolve_encoder


class IdEncoder(nn.Module, ABC):
    """Turns ids ``[V]`` (int64) into vectors ``[V, out_dim]``."""

    reads: ClassVar[Literal["node_id", "arbitration_id"]] = "node_id"
    """Attribute of the batch that holds the ids of this encoder."""

    @property
    @abstractmethod
    def out_dim(self) -> int:
        """Length of a vector."""

    @abstractmethod
    def forward(self, ids: Tensor) -> Tensor:
        """Vectors ``[V, out_dim]`` of ``ids [V]``."""

    @classmethod
    @abstractmethod
    def from_vocab_size(
        cls, num_ids: int, *, embedding_dim: int, mask_index: int | None = None
    ) -> Self:
        """An encoder for ids ``0 .. num_ids - 1``, of which ``mask_index`` stands for hidden ones.

        Where ``mask_index`` is given, no other id may read as hidden, nor a hidden one as another.
        """


def build_encoder(class_path: str, num_ids: int, embedding_dim: int, **kwargs: object) -> IdEncoder:
    """The encoder at ``class_path`` for a vocabulary of ``num_ids``.

    Args:
        class_path: A registered dotted path.
        num_ids: Rows of the vocabulary, those of unknown and hidden ids included.
        embedding_dim: Length of a vector.
        **kwargs: Further settings of that encoder.

    Raises:
        ValueError: The path is not registered; nothing is imported then.
    """
    encoder = resolve_encoder(class_path).from_vocab_size(  # type: ignore[attr-defined]
        num_ids, embedding_dim=embedding_dim, **kwargs
    )
    assert isinstance(encoder, IdEncoder), class_path
    return encoder
