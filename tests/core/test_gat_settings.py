"""The classifier's settings: sizes, options that act, values that are refused, what it returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from graphids.core.batch import GraphBatch
from graphids.core.losses import CrossEntropy, SoftLabelDistillation
from graphids.core.models import GAT, GATConfig, eval_mode, safe_load_checkpoint, save_checkpoint
from graphids.core.models.id_encoding import HashEncodingCfg
from graphids.core.models.layers import CONV_TYPES
from graphids.core.models.supervised.gat import SCALES
from graphids.core.models.supervised.pooling import POOLINGS, SEQUENCE_POOLS

SIZES = {"num_ids": 20, "in_channels": 35}


def parameters(scale: str) -> int:
    """Parameters at 100 ids; the meta device holds none."""
    with torch.device("meta"):
        model = GAT(num_ids=100, in_channels=35, scale=scale)
    return sum(p.numel() for p in model.parameters())


def test_sizes_of_the_scales() -> None:
    assert parameters("small") == 200_707
    assert parameters("large") == 9_529_923
    assert parameters("student") == pytest.approx(55_000, rel=0.03)
    assert parameters("teacher") == pytest.approx(1_100_000, rel=0.03)


@pytest.mark.parametrize("scale", SCALES)
def test_scales_are_the_same_through_the_settings(scale: str) -> None:
    with torch.device("meta"):
        model = GATConfig(scale=scale).build(num_ids=100, in_channels=35)
    assert sum(p.numel() for p in model.parameters()) == parameters(scale)


def test_an_unknown_scale_falls_back() -> None:
    model = GAT(**SIZES, scale="medium")
    assert len(model.net.convs) == 3
    assert model.net.jump.att.in_features == 2 * (3 * 48 * 8 // 2)


@pytest.mark.parametrize("conv", CONV_TYPES)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_every_option_trains(
    conv: str, pooling: str, make_batch: Callable[..., GraphBatch]
) -> None:
    batch = make_batch()
    model = GATConfig(conv=conv, pooling=pooling, proj_dim=8, hidden=8).build(**SIZES)
    loss, logits = model.compute_loss(batch)
    loss.backward()
    assert logits.shape == (batch.num_graphs, 2)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("setting", "value", "allowed"),
    [
        ("conv_type", "cnov", "gat, gatv2, transformer, gps, gat.keep"),
        ("conv_type", "gatv2+none", "gat, gatv2, transformer, gps, gat.keep"),
        ("sequence_pool", "lstm", "auto, flat, mean, attention, gru"),
    ],
)
def test_a_value_that_does_not_exist_is_named(setting: str, value: str, allowed: str) -> None:
    with pytest.raises(ValueError, match=rf"{setting} '.*use one of {allowed}"):
        GAT(**{setting: value})


@pytest.mark.parametrize(
    "settings",
    [
        {"conv": "gatv2+keep"},
        {"self_loops": "none"},
        {"dropout": 1.0},
        {"layers": 0},
        {"lr": 0.0},
        {"pooling": "sum"},
        {"scale": "tiny"},
        {"sequence_pool": "lstm"},
    ],
)
def test_settings_are_checked(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        GATConfig(**settings)  # type: ignore[arg-type]


OTHER = {
    "conv": "gat",
    "self_loops": "keep",
    "scale": "large",
    "hidden": 7,
    "layers": 3,
    "heads": 2,
    "dropout": 0.3,
    "fc_layers": 1,
    "embedding_dim": 5,
    "pooling": "multi",
    "sequence_pool": "gru",
    "proj_dim": 6,
    "p_unk_drop": 0.2,
    "ids": HashEncodingCfg(k=3),
    "lr": 0.5,
    "weight_decay": 0.5,
    "gradient_checkpointing": True,
    "compile_model": True,
}


def test_d17_every_setting_reaches_the_model() -> None:
    """One field at a time: exactly one hyper-parameter of the model changes, and all do."""
    assert OTHER.keys() == {field.name for field in fields(GATConfig)}
    # A model without sizes has its hyper-parameters and no layers yet.
    plain = dict(GATConfig().build(num_ids=0, in_channels=0).hparams)
    reached = set()
    for name, value in OTHER.items():
        changed = GATConfig(**{name: value}).build(num_ids=0, in_channels=0)  # type: ignore[arg-type]
        differ = {key for key, old in plain.items() if changed.hparams[key] != old}
        assert len(differ) == 1, (name, differ)
        reached |= differ
    of_data = {"num_ids", "in_channels", "num_classes", "edge_dim"}
    labels = {"dataset", "seed", "model_type", "variational", "loss_fn", "id_encoder_class_path"}
    assert reached == inspect.signature(GAT).parameters.keys() - of_data - labels


def test_self_loops_are_a_part_of_the_convolution_s_name() -> None:
    model = GATConfig(conv="gps", self_loops="keep").build(**SIZES)
    assert model.hparams["conv_type"] == "gps+keep"
    assert not any(block.conv.gps.conv.add_self_loops for block in model.net.convs)


def test_settings_of_the_ids_win() -> None:
    cfg = GATConfig(embedding_dim=64, p_unk_drop=0.1, ids=HashEncodingCfg(p_unk_drop=0.2))
    model = cfg.build(**SIZES)
    encoder = model.net.input.id_encoder
    assert (encoder.out_dim, encoder.p_unk_drop, encoder.reads) == (16, 0.2, "arbitration_id")
    assert model.hparams["id_encoder_cfg"] == {**cfg.ids.to_plain(), "kind": "hash"}


@pytest.mark.parametrize(
    "cfg",
    [
        GATConfig(conv="gps", self_loops="keep", hidden=4),
        GATConfig(conv="transformer", sequence_pool="gru", hidden=4),
        GATConfig(sequence_pool="attention", ids=HashEncodingCfg(k=3, seed=1), hidden=4),
    ],
)
def test_d11_a_checkpoint_holds_plain_settings_and_the_whole_model(
    cfg: GATConfig, make_batch: Callable[..., GraphBatch], tmp_path: Path
) -> None:
    model, batch = cfg.build(**SIZES), make_batch()
    save_checkpoint(model, tmp_path / "gat.safetensors")
    loaded = safe_load_checkpoint("gat", tmp_path / "gat.safetensors")
    assert loaded.hparams == model.hparams
    assert torch.equal(loaded.predict_scores(batch), model.predict_scores(batch))


@pytest.mark.parametrize("conv", CONV_TYPES)
def test_checkpointed_gradients_are_the_same(
    conv: str, make_batch: Callable[..., GraphBatch]
) -> None:
    batch = make_batch()
    settings = {**SIZES, "conv_type": conv, "hidden": 8}
    plain = GAT(**settings, gradient_checkpointing=False)
    saving = GAT(**settings, gradient_checkpointing=True)
    saving.load_state_dict(plain.state_dict())
    losses = []
    for model in (plain, saving):
        torch.manual_seed(3)
        losses.append(model.compute_loss(batch)[0])
        losses[-1].backward()
    assert torch.equal(*losses)
    for one, other in zip(plain.parameters(), saving.parameters(), strict=True):
        assert torch.allclose(one.grad, other.grad, atol=1e-6)


def test_what_is_asked_for_comes_in_a_fixed_order(make_batch: Callable[..., GraphBatch]) -> None:
    batch = make_batch()
    model = GAT(**SIZES)
    with eval_mode(model):
        logits = model(batch)
        same, embedding = model(batch, return_embedding=True)
        found = model(
            batch, return_attention_weights=True, return_intermediate=True, return_embedding=True
        )
        (_, layers), (_, attention) = (
            model(batch, return_intermediate=True),
            model(batch, return_attention_weights=True),
        )
    assert torch.equal(same, logits)
    assert torch.equal(found[0], logits)
    assert torch.equal(found[1], embedding)
    for ours, alone in zip(found[2], layers, strict=True):
        assert torch.equal(ours, alone)
    for (edges, weights), (same_edges, same_weights) in zip(found[3], attention, strict=True):
        assert torch.equal(edges, same_edges)
        assert torch.equal(weights, same_weights)


@pytest.mark.parametrize("conv", CONV_TYPES)
def test_d38_attention_exists_for_every_convolution(
    conv: str, make_batch: Callable[..., GraphBatch]
) -> None:
    batch = make_batch()
    model = GAT(**SIZES, conv_type=conv).eval()
    for edges, weights in model.attention_weights(batch):
        incoming = torch.zeros(batch.num_nodes, 4).index_add_(0, edges[1], weights)
        entered = torch.zeros(batch.num_nodes, 4).index_fill_(0, edges[1], 1.0)
        assert torch.allclose(incoming, entered, atol=1e-5)
    assert len(model.attention_weights(batch)) == 2


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("conv", ["gat", "gatv2", "gatv2+keep", "transformer"])
def test_d04_compile_model_compiles(conv: str) -> None:
    compiled = GAT(**SIZES, conv_type=conv, compile_model=True)
    assert any("_orig_mod" in key for key in compiled.state_dict())
    assert not any("_orig_mod" in key for key in GAT(**SIZES, conv_type=conv).state_dict())


@pytest.mark.parametrize("conv", ["gps", "gps+keep"])
def test_gps_is_not_compiled(conv: str) -> None:
    model = GAT(**SIZES, conv_type=conv, compile_model=True)
    assert not any("_orig_mod" in key for key in model.state_dict())


def test_parts_of_the_loss_are_logged(
    make_batch: Callable[..., GraphBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = make_batch()
    logged: dict[str, torch.Tensor] = {}
    monkeypatch.setattr(GAT, "log_epoch", lambda self, values, graphs: logged.update(values))
    GAT(**SIZES).training_step(batch, 0)
    assert logged.keys() == {"train_loss", "train_acc"}
    teacher = GAT(**SIZES)
    loss = SoftLabelDistillation(CrossEntropy(), lambda graph: teacher(graph))
    GAT(**SIZES, loss_fn=loss).training_step(batch, 0)
    assert logged.keys() == {"train_loss", "train_acc", "train_hard_loss", "train_soft_loss"}


@pytest.mark.parametrize("kind", SEQUENCE_POOLS)
def test_layers_are_built_only_where_they_are_asked_for(kind: str) -> None:
    auto = set(GAT(**SIZES).state_dict())
    own = set(GAT(**SIZES, sequence_pool=kind).state_dict()) - auto
    assert bool(own) is (kind in {"attention", "gru"})
    assert all(key.startswith("net.pool.") for key in own)
