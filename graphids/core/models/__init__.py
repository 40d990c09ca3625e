"""Detectors of intrusions in window graphs, and the heads that fuse them."""

from graphids.core.models.autoencoder import VGAE, VGAEConfig
from graphids.core.models.base import (
    GraphModuleBase,
    ScoreBasedDetectorMixin,
    eval_mode,
    safe_load_checkpoint,
    strip_orig_mod_prefix,
    try_compile,
)
from graphids.core.models.checkpoint import (
    checkpoint_tensors,
    model_from_checkpoint_tensors,
    save_checkpoint,
)
from graphids.core.models.fusion import (
    FusionModuleBase,
    MLPFusionConfig,
    MLPFusionModule,
    WeightedAvgConfig,
    WeightedAvgModule,
    build_mlp_body,
    flatten_features,
)
from graphids.core.models.id_encoding import (
    IdEncoder,
    IdEncodingCfg,
    LookupEncodingCfg,
    LookupIdEncoder,
    build_encoder,
)
from graphids.core.models.supervised import GAT, GATConfig

__all__ = [
    "GAT",
    "VGAE",
    "FusionModuleBase",
    "GATConfig",
    "GraphModuleBase",
    "IdEncoder",
    "IdEncodingCfg",
    "LookupEncodingCfg",
    "LookupIdEncoder",
    "MLPFusionConfig",
    "MLPFusionModule",
    "ScoreBasedDetectorMixin",
    "VGAEConfig",
    "WeightedAvgConfig",
    "WeightedAvgModule",
    "build_encoder",
    "build_mlp_body",
    "checkpoint_tensors",
    "eval_mode",
    "flatten_features",
    "model_from_checkpoint_tensors",
    "safe_load_checkpoint",
    "save_checkpoint",
    "strip_orig_mod_prefix",
    "try_compile",
]
