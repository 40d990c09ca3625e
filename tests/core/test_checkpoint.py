"""A checkpoint gives back the same scores, runs no code, and says what is wrong with it."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from model_samples import Batches, FakeData, quiet_trainer, states
from safetensors import safe_open
from safetensors.torch import save_file

from graphids.core.batch import GraphBatch
from graphids.core.losses import CrossEntropy, FocalLoss, build_loss
from graphids.core.models import (
    GAT,
    VGAE,
    GATConfig,
    LookupEncodingCfg,
    MLPFusionModule,
    WeightedAvgModule,
    checkpoint_tensors,
    eval_mode,
    model_from_checkpoint_tensors,
    safe_load_checkpoint,
    save_checkpoint,
    strip_orig_mod_prefix,
    try_compile,
)

SIZES = {"num_ids": 20, "in_channels": 35}
MakeBatch = Callable[..., GraphBatch]


@pytest.fixture
def gat() -> GAT:
    torch.manual_seed(0)
    return GATConfig(pooling="multi").build(**SIZES, loss_fn=build_loss("weighted_ce"))


def test_a_classifier_survives_the_round_trip(
    gat: GAT, make_batch: MakeBatch, tmp_path: Path
) -> None:
    save_checkpoint(gat, tmp_path / "gat.safetensors", test_threshold=0.25)
    loaded = safe_load_checkpoint("gat", tmp_path / "gat.safetensors")
    assert torch.equal(loaded.predict_scores(make_batch()), gat.predict_scores(make_batch()))
    assert loaded.test_threshold == 0.25
    assert loaded.hparams == gat.hparams
    assert not loaded.training


def test_calibration_travels_with_an_autoencoder(
    calibration: FakeData, make_batch: MakeBatch, tmp_path: Path
) -> None:
    model = VGAE(**SIZES, hidden_dims=(40, 16), latent_dim=16)
    model.on_test_setup(calibration, "cpu")
    save_checkpoint(model, tmp_path / "vgae.safetensors")
    loaded = safe_load_checkpoint("vgae", tmp_path / "vgae.safetensors")
    assert torch.equal(loaded.score(make_batch()), model.score(make_batch()))
    assert loaded.test_threshold is None


@pytest.mark.parametrize("kind", ["mlp", "weighted_avg"])
def test_a_fusion_head_survives_the_round_trip(kind: str) -> None:
    head = MLPFusionModule(hidden_dims=(8,)) if kind == "mlp" else WeightedAvgModule()
    head.fit_features(states())
    tensors, header = checkpoint_tensors(head, test_threshold=0.5)
    loaded = model_from_checkpoint_tensors(tensors, header, model_type=kind)
    assert torch.equal(loaded.predict_scores(states()), head.eval().predict_scores(states()))


def test_the_file_holds_tensors_and_plain_values_without_the_loss(gat: GAT, tmp_path: Path) -> None:
    save_checkpoint(gat, tmp_path / "gat.safetensors", test_threshold=0.25)
    with safe_open(tmp_path / "gat.safetensors", framework="pt") as file:
        header = file.metadata()
        assert not [key for key in file.keys() if "loss_fn" in key or "_orig_mod" in key]  # noqa: SIM118
    assert header["class_path"] == "graphids.core.models.supervised.gat.GAT"
    assert json.loads(header["test_threshold"]) == 0.25
    settings = json.loads(header["hyper_parameters"])
    assert settings["pool_aggrs"] == ["mean", "max", "std"]
    assert "loss_fn" not in settings


def test_d11_typed_encoder_settings_are_plain_in_a_checkpoint(
    make_batch: MakeBatch, tmp_path: Path
) -> None:
    model = GAT(**SIZES, id_encoder_cfg=LookupEncodingCfg(embedding_dim=5, p_unk_drop=0.1))
    trainer = quiet_trainer(max_epochs=1)
    trainer.fit(model, Batches(make_batch()), Batches(make_batch()))
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    loaded = safe_load_checkpoint("gat", tmp_path / "own.ckpt")
    assert loaded.net.input.id_encoder.out_dim == 5
    assert torch.equal(loaded.predict_scores(make_batch()), model.predict_scores(make_batch()))


def test_a_lazily_built_model_loads_with_the_sizes_it_was_given(tmp_path: Path) -> None:
    model = GAT()
    model.prepare_from_datamodule(FakeData(num_ids=33))
    save_checkpoint(model, tmp_path / "gat.safetensors")
    loaded = safe_load_checkpoint("gat", tmp_path / "gat.safetensors")
    assert loaded.net.input.id_encoder.table.num_embeddings == 33


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_d04_compiled_and_plain_models_exchange_their_state(make_batch: MakeBatch) -> None:
    plain = GAT(**SIZES)
    tensors, header = checkpoint_tensors(plain)
    settings = {**json.loads(header["hyper_parameters"]), "compile_model": True}
    compiled = model_from_checkpoint_tensors(
        tensors, {**header, "hyper_parameters": json.dumps(settings)}
    )
    again, _ = checkpoint_tensors(compiled)
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[key], tensors[key]) for key in tensors)


def test_d04_the_compiled_module_is_the_one_returned() -> None:
    linear = torch.nn.Linear(3, 3)
    compiled = try_compile(linear, conv_type="gatv2", backend="eager")
    assert compiled is not linear
    assert torch.allclose(compiled(torch.ones(2, 3)), linear(torch.ones(2, 3)))
    assert try_compile(linear, conv_type="gps") is linear


def test_prefixes_are_stripped_wherever_they_stand() -> None:
    state = {"_orig_mod.a": 1, "net._orig_mod.b": 2, "net.c._orig_mod.d._orig_mod.e": 3, "f": 4}
    assert strip_orig_mod_prefix(state) == {"a": 1, "net.b": 2, "net.c.d.e": 3, "f": 4}


def test_a_missing_file_and_a_missing_class_are_named(gat: GAT, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*gone\.safetensors"):
        safe_load_checkpoint("gat", tmp_path / "gone.safetensors")
    tensors, _ = checkpoint_tensors(gat)
    save_file(tensors, tmp_path / "bare.safetensors")
    with pytest.raises(KeyError, match="no class_path"):
        safe_load_checkpoint("gat", tmp_path / "bare.safetensors")
    torch.save({"state_dict": tensors}, tmp_path / "bare.ckpt")
    with pytest.raises(KeyError, match="no class_path"):
        safe_load_checkpoint("gat", tmp_path / "bare.ckpt")


def test_an_unknown_class_imports_nothing(gat: GAT) -> None:
    tensors, header = checkpoint_tensors(gat)
    before = set(sys.modules)
    for path in ("antigravity.fly", "os.system", "graphids.core.models.base.GraphModuleBase"):
        with pytest.raises(ValueError, match="not registered"):
            model_from_checkpoint_tensors(tensors, {**header, "class_path": path})
    assert set(sys.modules) == before


def test_another_model_type_is_refused(gat: GAT, tmp_path: Path) -> None:
    save_checkpoint(gat, tmp_path / "gat.safetensors")
    with pytest.raises(ValueError, match=r"holds a 'gat'.*not a 'vgae'"):
        safe_load_checkpoint("vgae", tmp_path / "gat.safetensors")


def test_a_state_that_does_not_fit_is_refused(gat: GAT) -> None:
    tensors, header = checkpoint_tensors(gat)
    key = next(iter(tensors))
    extra = {**tensors, "net.extra": torch.zeros(1)}
    for state in ({k: v for k, v in tensors.items() if k != key}, extra):
        with pytest.raises(RuntimeError, match="does not fit"):
            model_from_checkpoint_tensors(state, header)


@pytest.mark.parametrize("kept", [0, 5, 100, 4000])
def test_a_truncated_file_is_named(kept: int, gat: GAT, tmp_path: Path) -> None:
    path = tmp_path / "gat.safetensors"
    save_checkpoint(gat, path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"gat\.safetensors is damaged"):
        safe_load_checkpoint("gat", path)


def junk() -> list[bytes]:
    """Bytes that are no checkpoint: none, text, noise, half a one, a pickle of something else."""
    buffer = io.BytesIO()
    torch.save({"class_path": "x", "state_dict": {"a": torch.zeros(500)}}, buffer)
    noise = [random.Random(seed).randbytes(60) for seed in range(15)]
    other = [pickle.dumps(value) for value in ([], 1, {}, "text")]
    return [b"", b"no checkpoint", b"PK\x03\x04", buffer.getvalue()[:700], *noise, *other]


@pytest.mark.parametrize("content", junk())
def test_junk_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "bad.ckpt").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.ckpt"):
        safe_load_checkpoint("gat", tmp_path / "bad.ckpt")


def test_an_incomplete_header_is_named(gat: GAT, tmp_path: Path) -> None:
    tensors, header = checkpoint_tensors(gat)
    path = tmp_path / "gat.safetensors"
    for change in (
        {"hyper_parameters": ""},
        {"hyper_parameters": "[]"},
        {"hyper_parameters": '{"width": 3}'},
        {"test_threshold": '"high"'},
        {"loss": '{"name": "hinge"}'},
        {"loss": "1"},
    ):
        save_file(tensors, path, metadata={**header, **change})
        with pytest.raises(ValueError, match=r"gat\.safetensors"):
            safe_load_checkpoint("gat", path)
    del header["hyper_parameters"]
    save_file(tensors, path, metadata=header)
    with pytest.raises(ValueError, match=r"gat\.safetensors .*hyper_parameters"):
        safe_load_checkpoint("gat", path)
    for part in ("hyper_parameters", "state_dict"):
        content = {**header, "hyper_parameters": {}, "state_dict": {}, "test_threshold": None}
        torch.save(
            {k: v for k, v in content.items() if k not in {part, "loss"}}, path.with_suffix(".ckpt")
        )
        with pytest.raises(ValueError, match=rf"gat\.ckpt .*{part}"):
            safe_load_checkpoint("gat", path.with_suffix(".ckpt"))


LOSS_SETTINGS = [
    ("ce", {"reduction": "sum"}),
    ("weighted_ce", {"class_weights": (1.0, 7.3)}),
    ("focal", {"gamma": 0.5}),
]


@pytest.mark.parametrize(("name", "settings"), LOSS_SETTINGS)
def test_the_loss_of_a_classifier_is_restored(
    name: str, settings: dict[str, object], make_batch: MakeBatch, tmp_path: Path
) -> None:
    model = GAT(**SIZES, loss_fn=build_loss(name, **settings), dropout=0.0)
    model.trainer = quiet_trainer()
    model.trainer.strategy.connect(model)
    save_checkpoint(model, tmp_path / "gat.safetensors")
    model.trainer.save_checkpoint(tmp_path / "gat.ckpt")
    for file in ("gat.safetensors", "gat.ckpt"):
        loaded = safe_load_checkpoint("gat", tmp_path / file)
        assert type(loaded.loss_fn) is type(model.loss_fn)
        found, _ = loaded.compute_loss(make_batch())
        assert torch.equal(found, model.eval().compute_loss(make_batch())[0])


def test_the_loss_of_an_autoencoder_is_restored_and_a_foreign_one_is_the_default() -> None:
    model = VGAE(**SIZES, loss_fn=build_loss("vgae_task", kl_weight=0.5, edge_weight=0.0))
    loaded = model_from_checkpoint_tensors(*checkpoint_tensors(model))
    assert (loaded.loss_fn.kl_weight, loaded.loss_fn.edge_weight) == (0.5, 0.0)

    class Own(FocalLoss):
        """A class of one's own."""

    tensors, header = checkpoint_tensors(GAT(**SIZES, loss_fn=Own()))
    assert "loss" not in header
    assert type(model_from_checkpoint_tensors(tensors, header).loss_fn) is CrossEntropy


class Boom:
    """What a hostile pickle would run."""

    def __reduce__(self) -> tuple[object, ...]:
        return (print, ("run",))


def test_a_pickle_that_runs_code_is_refused(tmp_path: Path) -> None:
    torch.save({"class_path": Boom()}, tmp_path / "bad.ckpt")
    with pytest.raises(ValueError, match="more than tensors and plain values"):
        safe_load_checkpoint("gat", tmp_path / "bad.ckpt")


def test_a_digest_beside_the_file_is_checked(gat: GAT, tmp_path: Path) -> None:
    path = tmp_path / "gat.safetensors"
    save_checkpoint(gat, path)
    sidecar = tmp_path / "gat.safetensors.sha256"
    sidecar.write_text(hashlib.sha256(path.read_bytes()).hexdigest() + "  gat.safetensors\n")
    assert isinstance(safe_load_checkpoint("gat", path), GAT)
    sidecar.write_text("0" * 64)
    with pytest.raises(ValueError, match="sha256"):
        safe_load_checkpoint("gat", path)


def test_modes_are_restored_even_after_an_error(gat: GAT) -> None:
    gat.train()
    gat.net.head.eval()

    def broken() -> None:
        with eval_mode(gat):
            assert not any(module.training for module in gat.modules())
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert gat.training
    assert not gat.net.head.training
    assert not gat.net.head[0].training
