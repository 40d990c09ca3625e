"""Callables that other programs use have exactly the parameters and defaults promised."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable
from types import ModuleType

import pytest

from graphids.core import budget, models
from graphids.core.losses import distillation
from graphids.core.models import autoencoder, fusion, id_encoding, supervised

SIGNATURES = {
    "graphids.core.models.fusion.bandit:BanditFusionModule.__init__": (
        "(self, state_dim=18, alpha_steps=21, ucb_alpha=1.0, lambda_reg=1.0, hidden_dim=128, "
        "num_layers=3, backbone_lr=0.001, backbone_retrain_freq=50, backbone_epochs=5, "
        "buffer_size=100000, batch_size=128, decision_threshold=0.5, reward_kwargs=None)"
    ),
    "graphids.core.models.base:GraphModuleBase.compute_budget": (
        "(self, train_dataset, dataset_name, min_steps=None)"
    ),
    "graphids.core.models.base:GraphModuleBase.configure_optimizers": "(self)",
    "graphids.core.models.base:GraphModuleBase.on_validation_epoch_end": "(self)",
    "graphids.core.models.base:GraphModuleBase.prepare_from_datamodule": "(self, dm)",
    "graphids.core.models.autoencoder.dgi:DGI.__init__": (
        "(self, conv_type='gatv2', hidden_dims=None, latent_dim=None, heads=None, "
        "embedding_dim=None, dropout=0.15, edge_dim=11, proj_dim=0, gradient_checkpointing=True, "
        "compile_model=False, batch_norm=True, id_encoder_cfg=None, "
        "id_encoder_class_path='graphids.core.models.id_encoding.LookupIdEncoder', "
        "id_encoder_kwargs=None, lr=0.001, weight_decay=0.0001, scale='small', model_type='dgi', "
        "dataset='', seed=42, num_ids=0, in_channels=0, num_classes=2)"
    ),
    "graphids.core.models.autoencoder.dgi:DGI.dgi_loss": (
        "(self, pos_z, neg_z, summary, batch_idx)"
    ),
    "graphids.core.models.autoencoder.dgi:DGI.discriminate": "(self, z, summary, batch)",
    "graphids.core.models.autoencoder.dgi:DGI.encode": (
        "(self, x, edge_index, edge_attr=None, batch=None, node_id=None)"
    ),
    "graphids.core.models.autoencoder.dgi:DGI.extract_features": "(self, batch, device)",
    "graphids.core.models.autoencoder.dgi:DGI.on_test_setup": "(self, datamodule, device)",
    "graphids.core.models.autoencoder.dgi:DGI.score": "(self, batch)",
    "graphids.core.models.autoencoder.dgi:DGI.summarize": "(self, z, batch)",
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
    "graphids.core.models.fusion.moe:MoEFusionModule.__init__": (
        "(self, state_dim=18, num_experts=3, expert_hidden=(64, 32), gate_hidden=(32,), lr=0.001, "
        "decision_threshold=0.5, aux_weight=0.01)"
    ),
    "graphids.core.models.fusion.base:RLFusionBase.__init__": (
        "(self, *, buffer_size, batch_size, **kw)"
    ),
    "graphids.core.models.fusion.base:RLFusionBase.select_action_batch": (
        "(self, features_td, training=True)"
    ),
    "graphids.core.models.fusion.weighted_avg:WeightedAvgModule.__init__": (
        "(self, lr=0.01, decision_threshold=0.5, state_dim=18)"
    ),
    "graphids.core.models.fusion.base:flatten_features": "(td)",
    "graphids.core.models.fusion.base:build_mlp_body": "(state_dim, hidden_dim, num_layers)",
    "graphids.core.models.fusion.reward:FusionRewardCalculator.__init__": (
        "(self, *, vgae_weights, correct, incorrect, confidence_weight, combined_conf_weight, "
        "disagreement_penalty, overconf_penalty, balance_weight)"
    ),
    "graphids.core.models.fusion.reward:FusionRewardCalculator.compute": (
        "(self, td, preds, labels, alphas)"
    ),
    "graphids.core.models.fusion.reward:FusionRewardCalculator.derive_scores": "(self, td)",
    "graphids.core.models.fusion.reward:FusionRewardCalculator.normalize": "(self, td)",
    "graphids.core.models.id_encoding.hash_embedding:HashIdEncoder.__init__": (
        "(self, num_buckets, embedding_dim, *, k=2, seed=42)"
    ),
    "graphids.core.models.id_encoding.hash_embedding:HashIdEncoder.from_vocab_size": (
        "(cls, num_ids, *, embedding_dim, k=2, seed=42, num_buckets_factor=4, num_buckets=None)"
    ),
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
    # A class method is bound already, and the contract names its class as well.
    signature = inspect.signature(function.__func__ if inspect.ismethod(function) else function)
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


@pytest.mark.parametrize("path", SIGNATURES)
def test_signature_is_the_contract(path: str) -> None:
    assert plain(pkgutil.resolve_name(path)) == SIGNATURES[path]


RE_EXPORTED = {
    autoencoder: ("VGAE", "DGI"),
    supervised: ("GAT",),
    fusion: (
        "FusionModuleBase",
        "RLFusionBase",
        "MLPFusionModule",
        "MoEFusionModule",
        "WeightedAvgModule",
        "DQNFusionModule",
        "BanditFusionModule",
        "FusionRewardCalculator",
        "flatten_features",
    ),
    id_encoding: (
        "IdEncoder",
        "LookupIdEncoder",
        "HashIdEncoder",
        "build_encoder",
        "IdEncodingCfg",
        "LookupEncodingCfg",
        "HashEncodingCfg",
    ),
}


@pytest.mark.parametrize("package", RE_EXPORTED, ids=lambda package: package.__name__)
def test_packages_re_export(package: ModuleType) -> None:
    for name in RE_EXPORTED[package]:
        assert vars(package)[name] is vars(models)[name]
        assert name in models.__all__


def test_bases_and_constants_are_public() -> None:
    for name in ("GraphModuleBase", "ScoreBasedDetectorMixin", "eval_mode", "safe_load_checkpoint"):
        assert name in vars(models)
    assert id_encoding.UNK_INDEX == 0
    lookup = inspect.signature(models.LookupIdEncoder).parameters
    assert lookup["p_unk_drop"].default == 0.0
    for loss in ("SoftLabelDistillation", "FeatureDistillation"):
        assert loss in vars(distillation)


HOOKS = (
    "(self, td, training)", "(self, sample)", "(self, actions, obs, rewards)", "(self)", "(self)",
    "(self)", "(self)",
)  # fmt: skip


def test_reinforced_heads_have_the_hooks() -> None:
    names = (
        "_score_actions", "_compute_loss", "_after_act", "_should_learn", "_after_optim_step",
        "_after_learn", "_extra_metrics",
    )  # fmt: skip
    assert tuple(plain(vars(models.RLFusionBase)[name]) for name in names) == HOOKS


def test_node_budget() -> None:
    assert plain(budget.node_budget) == "(dataset_name, *, model, train_dataset, min_steps=None)"
