"""Encoders of arbitration ids."""

from graphids.core.models.id_encoding.base import HIDDEN_ID, IdEncoder, build_encoder
from graphids.core.models.id_encoding.config import (
    HashEncodingCfg,
    IdEncodingCfg,
    LookupEncodingCfg,
    encoding_cfg,
    plain_encoding,
)
from graphids.core.models.id_encoding.hash_embedding import UNKNOWN_ID, HashIdEncoder
from graphids.core.models.id_encoding.lookup import UNK_INDEX, LookupIdEncoder

__all__ = [
    "HIDDEN_ID",
    "UNKNOWN_ID",
    "UNK_INDEX",
    "HashEncodingCfg",
    "HashIdEncoder",
    "IdEncoder",
    "IdEncodingCfg",
    "LookupEncodingCfg",
    "LookupIdEncoder",
    "build_encoder",
    "encoding_cfg",
    "plain_encoding",
]
