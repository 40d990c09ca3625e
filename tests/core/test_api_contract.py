"""Callables that other programs use have exactly the parameters and defaults promised."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable

import pytest

from graphids.core import models
from graphids.core.models import autoencoder, fusion, id_encoding, supervised

SIGNATURES = {
    "graphids.core.models.base:GraphModuleBase.compute_budget": (
        "(self, train_dataset, dataset_name, min_steps=None)"
    ),
    "graphids.core.models.base:GraphModuleBase.configure_optimizers": "(self)",
    "graphids.core.models.base:GraphModuleBase.on_validation_epoch_end": "(self)",
    "graphids.core.models.base:GraphModuleBase.prepare_from_datamodule": "(self, dm)",
    "graphids.core.models.autoencoder.vgae:VGAE.__init__": (
        "(self, *, loss_fn=None, conv_type='gatv2', hidden_dims=None, latent_dim=None, heads=4, "
        "embedding_dim=32, dropout=0.1, edge_dim=11, proj_dim=0, gradient_checkpointing=True, "
        "compile_model=False, batch_norm=True, mlp_hidden=None, id_encoder_cfg=None, "
        "id_encoder_class_path='graphids.core.models.id_encoding.LookupIdEncoder', "
        "id_encoder_kwargs=None, lr=0.003, weight_decay=0.0001, mask_rate=0.15, "
        "score_recon_weight=1.0, score_mahal_weight=1.0, score_kl_weight=1.0, scale='small', "
        "model_type='vgae', dataset='', seed=42, num_ids=0, in_channels=0, num_classes=2)"
    ),
    "graphids.core.models.autoencoder.vgae:VGAE.encode": (
        "(self, x, edge_index, edge_attr=None, batch=None, node_id=None)"
    ),
    "graphids.core.models.autoencoder.vgae:VGAE.extract_features": "(self, batch, device)",
    "graphids.core.models.autoencoder.vgae:VGAE.on_test_setup": "(self, datamodule, device)",
    "graphids.core.models.autoencoder.vgae:VGAE.score": "(self, batch)",
    "graphids.core.models.base:ScoreBasedDetectorMixin.__init__": "(self)",
    "graphids.core.models.base:ScoreBasedDetectorMixin.score": "(self, batch)",
    "graphids.core.models.base:eval_mode": "(model)",
    "graphids.core.models.base:safe_load_checkpoint": (
        "(model_type, ckpt_path, *, map_location='cpu')"
    ),
    "graphids.core.models.base:strip_orig_mod_prefix": "(state)",
    "graphids.core.models.base:try_compile": "(model, *, conv_type=None, **kwargs)",
    "graphids.core.models.fusion.mlp:MLPFusionModule.__init__": (
        "(self, state_dim=18, hidden_dims=(64, 32), lr=0.001, decision_threshold=0.5)"
    ),
    "graphids.core.models.fusion.weighted_avg:WeightedAvgModule.__init__": (
        "(self, lr=0.01, decision_threshold=0.5, state_dim=18)"
    ),
    "graphids.core.models.fusion.base:flatten_features": "(td)",
    "graphids.core.models.fusion.base:build_mlp_body": "(state_dim, hidden_dim, num_layers)",
    "graphids.core.models.id_encoding.base:build_encoder": (
        "(class_path, num_ids, embedding_dim, **kwargs)"
    ),
    "graphids.core.models.supervised.gat:GAT.__init__": (
        "(self, *, loss_fn=None, hidden=None, layers=None, heads=None, dropout=0.2, fc_layers=3, "
        "embedding_dim=16, conv_type='gatv2', edge_dim=11, pool_aggrs=None, sequence_pool='auto', "
        "proj_dim=0, gradient_checkpointing=True, compile_model=False, id_encoder_cfg=None, "
        "id_encoder_class_path='graphids.core.models.id_encoding.LookupIdEncoder', "
        "id_encoder_kwargs=None, lr=0.001, weight_decay=0.0001, scale='small', model_type='gat', "
        "dataset='', seed=42, variational=True, num_ids=0, in_channels=0, num_classes=2)"
    ),
    "graphids.core.models.supervised.gat:GAT.extract_features": "(self, batch, device)",
}


def plain(function: Callable[..., object]) -> str:
    """The signature without annotations."""
    signature = inspect.signature(function)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


@pytest.mark.parametrize("path", SIGNATURES)
def test_signature_is_the_contract(path: str) -> None:
    assert plain(pkgutil.resolve_name(path)) == SIGNATURES[path]


def test_packages_re_export() -> None:
    assert autoencoder.VGAE is models.VGAE
    assert supervised.GAT is models.GAT
    for name in ("MLPFusionModule", "WeightedAvgModule", "FusionModuleBase", "flatten_features"):
        assert vars(fusion)[name] is vars(models)[name]
    for name in (
        "IdEncoder",
        "LookupIdEncoder",
        "build_encoder",
        "IdEncodingCfg",
        "LookupEncodingCfg",
    ):
        assert vars(id_encoding)[name] is vars(models)[name]
    for name in ("GraphModuleBase", "ScoreBasedDetectorMixin"):
        assert name in vars(models)
