"""Heads that fuse what several detectors say of a window."""

from graphids.core.models.fusion.base import FusionModuleBase, build_mlp_body
from graphids.core.models.fusion.features import feature_keys, flatten_features
from graphids.core.models.fusion.mlp import MLPFusionConfig, MLPFusionModule
from graphids.core.models.fusion.weighted_avg import WeightedAvgConfig, WeightedAvgModule

__all__ = [
    "FusionModuleBase",
    "MLPFusionConfig",
    "MLPFusionModule",
    "WeightedAvgConfig",
    "WeightedAvgModule",
    "build_mlp_body",
    "feature_keys",
    "flatten_features",
]
