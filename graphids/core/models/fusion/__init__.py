"""Heads that fuse what several detectors say of a window."""

from __future__ import annotations

from graphids.core.models.fusion.bandit import BanditFusionConfig, BanditFusionModule
from graphids.core.models.fusion.base import (
    FusionModuleBase,
    RLFusionBase,
    build_mlp_body,
    feature_keys,
    flatten_features,
)
from graphids.core.models.fusion.dqn import DQNFusionConfig, DQNFusionModule
from graphids.core.models.fusion.mlp import MLPFusionConfig, MLPFusionModule
from graphids.core.models.fusion.moe import MoEFusionConfig, MoEFusionModule
from graphids.core.models.fusion.reward import (
    FusionRewardCalculator,
    MinimalReward,
    MinimalRewardConfig,
    RewardConfig,
    build_reward,
)
from graphids.core.models.fusion.weighted_avg import WeightedAvgConfig, WeightedAvgModule

FusionConfig = (
    MLPFusionConfig | WeightedAvgConfig | MoEFusionConfig | DQNFusionConfig | BanditFusionConfig
)
"""Settings of any head; each has ``build(state_dim)``."""

__all__ = [
    "BanditFusionConfig",
    "BanditFusionModule",
    "DQNFusionConfig",
    "DQNFusionModule",
    "FusionConfig",
    "FusionModuleBase",
    "FusionRewardCalculator",
    "MLPFusionConfig",
    "MLPFusionModule",
    "MinimalReward",
    "MinimalRewardConfig",
    "MoEFusionConfig",
    "MoEFusionModule",
    "RLFusionBase",
    "RewardConfig",
    "WeightedAvgConfig",
    "WeightedAvgModule",
    "build_mlp_body",
    "build_reward",
    "feature_keys",
    "flatten_features",
]
