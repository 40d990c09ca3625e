"""Typed settings of the id encoders, and their plain form in a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

from graphids.core.models.checks import require_at_least_one, require_share
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
    p_unk_drop: float = 0.0
    """Probability that an id reads as unknown while training; replaces the model's own."""

    def __post_init__(self) -> None:
        require_at_least_one(self, "embedding_dim")
        require_share(self, "p_unk_drop")

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


@dataclass(frozen=True, kw_only=True)
class HashEncodingCfg(IdEncodingCfg):
    """Settings of the hash embedding."""

    kind: ClassVar[str] = "hash"
    class_path: ClassVar[str] = "graphids.core.models.id_encoding.HashIdEncoder"

    k: int = 2
    """Buckets of an id."""
    seed: int = 42
    """Seed of the hash functions."""
    num_buckets_factor: int = 4
    """Buckets for each id of the vocabulary, before rounding up to a power of two."""
    num_buckets: int | None = None
    """Buckets; none takes them from the vocabulary."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least_one(self, "k", "num_buckets_factor")
        if self.num_buckets is not None and self.num_buckets < 2:
            raise ValueError(f"num_buckets must be at least 2 (got {self.num_buckets})")


KINDS: Mapping[str, type[IdEncodingCfg]] = {
    cfg.kind: cfg for cfg in (LookupEncodingCfg, HashEncodingCfg)
}
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


def plain_encoding(
    value: IdEncodingCfg | Mapping[str, object] | None,
) -> dict[str, object] | None:
    """The plain form of settings in either form, as a checkpoint holds them; none of none.

    Raises:
        ValueError: The plain form names no known kind.
        TypeError: The kind has no such setting.
    """
    cfg = encoding_cfg(value)
    return None if cfg is None else cfg.to_plain()
