"""Typed settings of the id encoders, and their plain form in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

from graphids.core.models.id_encoding.base import IdEncoder, build_encoder


@dataclass(frozen=True, kw_only=True)
class IdEncodingCfg:
    """Settings that every id encoder has."""

    kind: ClassVar[str]
    """Name in the plain form."""
    class_path: ClassVar[str]
    """Registered path of the encoder."""

    embedding_dim: int = 16
    """Length of a vector; replaces the model's own."""

    def __post_init__(self) -> None:
        if self.embedding_dim < 1:
            raise ValueError(f"embedding_dim must be at least 1 (got {self.embedding_dim})")

    def build(self, num_ids: int, *, mask_index: int | None = None) -> IdEncoder:
        """The encoder for a vocabulary of ``num_ids`` rows, ``mask_index`` that of hidden ids."""
        return build_encoder(self.class_path, num_ids, mask_index=mask_index, **asdict(self))

    def to_plain(self) -> dict[str, object]:
        """Plain values that JSON and a weights-only load accept."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class LookupEncodingCfg(IdEncodingCfg):
    """Settings of the embedding table."""

    kind: ClassVar[str] = "lookup"
    class_path: ClassVar[str] = "graphids.core.models.id_encoding.LookupIdEncoder"

    p_unk_drop: float = 0.0
    """Probability that an id reads as unknown while training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0.0 <= self.p_unk_drop < 1.0:
            raise ValueError(f"p_unk_drop must lie in [0, 1) (got {self.p_unk_drop})")


KINDS: Mapping[str, type[IdEncodingCfg]] = {LookupEncodingCfg.kind: LookupEncodingCfg}
"""Settings class of each kind."""


def encoding_cfg(value: IdEncodingCfg | Mapping[str, object] | None) -> IdEncodingCfg | None:
    """Typed settings from themselves, from their plain form, or none from none.

    Raises:
        ValueError: The plain form names no known kind.
        TypeError: The kind has no such setting.
    """
    if value is None or isinstance(value, IdEncodingCfg):
        return value
    fields = dict(value)
    kind = str(fields.pop("kind", None))
    if kind not in KINDS:
        raise ValueError(f"no id encoder is of kind {kind!r}; there are {', '.join(KINDS)}")
    return KINDS[kind](**fields)  # type: ignore[arg-type]
