"""Encoders of arbitration ids."""

from graphids.core.models.id_encoding.base import IdEncoder, build_encoder
from graphids.core.models.id_encoding.config import IdEncodingCfg, LookupEncodingCfg, encoding_cfg
from graphids.core.models.id_encoding.lookup import UNK_INDEX, LookupIdEncoder

__all__ = [
    "UNK_INDEX",
    "IdEncoder",
    "IdEncodingCfg",
    "LookupEncodingCfg",
    "LookupIdEncoder",
    "build_encoder",
    "encoding_cfg",
]
