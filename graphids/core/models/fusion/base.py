"""Bases of the fusion heads under one name: supervised heads and heads that choose an arm."""

from __future__ import annotations

from graphids.core.models.fusion.features import feature_keys, flatten_features
from graphids.core.models.fusion.head import FusionModuleBase, build_mlp, build_mlp_body
from graphids.core.models.fusion.rl import RLFusionBase

__all__ = [
    "FusionModuleBase",
    "RLFusionBase",
    "build_mlp",
    "build_mlp_body",
    "feature_keys",
    "flatten_features",
]
