"""DGI: honest negatives, a centre that is fitted each time, a validation loss without attacks."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from model_samples import Batches, Metrics, Windows, part, quiet_trainer, random_graphs

from graphids.core.batch import GraphBatch
from graphids.core.losses import CrossEntropy
from graphids.core.metrics import auroc
from graphids.core.models import (
    eval_mode,
    model_from_checkpoint_tensors,
    safe_load_checkpoint,
    save_checkpoint,
)
from graphids.core.models.autoencoder import DGI, DGIConfig
from graphids.core.models.autoencoder.corruption import CORRUPTIONS, corrupt
from graphids.core.models.checkpoint import checkpoint_tensors

SIZES = {"num_ids": 20, "in_channels": 35}
MakeBatch = Callable[..., GraphBatch]


@pytest.fixture
def benign() -> Windows:
    """60 windows, none an attack."""
    return Windows([random_graphs(20, seed=seed, attack_share=0.0) for seed in range(3)])


@pytest.fixture
def model(benign: Windows) -> DGI:
    """With a centre, untrained."""
    torch.manual_seed(0)
    found = DGI(**SIZES)
    found.on_test_setup(benign, "cpu")
    return found


@pytest.mark.parametrize("scale", ["small", "large", "student", "medium"])
@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_every_option_trains(scale: str, corruption: str, make_batch: MakeBatch) -> None:
    torch.manual_seed(0)
    model = DGI(**SIZES, scale=scale)
    model.corruption = corruption
    model.compute_loss(make_batch()).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    assert model(make_batch()).shape == (make_batch().num_nodes, model.net.form.shape[0])


def parameters(**settings: object) -> int:
    model = DGIConfig(**settings).build(num_ids=100, in_channels=35)  # type: ignore[arg-type]
    return sum(p.numel() for p in model.parameters())


def test_sizes_of_the_presets() -> None:
    counts = {scale: parameters(scale=scale) for scale in ("small", "large", "student", "teacher")}
    assert counts == {"small": 31_152, "large": 75_616, "student": 86_724, "teacher": 1_708_776}
    assert counts["student"] == pytest.approx(86_000, rel=0.03)
    assert counts["teacher"] == pytest.approx(1_710_000, rel=0.03)
    assert parameters(scale="small", latent_dim=96, embedding_dim=64, heads=8) == counts["large"]


def test_values_that_do_not_exist_are_named() -> None:
    for settings in ({"conv": "gcn"}, {"corruption": "none"}, {"scale": "huge"}, {"heads": 0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            DGIConfig(**settings)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="conv_type 'gcn'"):
        DGI(conv_type="gcn")
    with pytest.raises(ValueError, match="own loss"):
        DGIConfig().build(**SIZES, loss_fn=CrossEntropy())
    with pytest.raises(ValueError, match="corruption 'rows'"):
        DGI(**SIZES).corruption = "rows"


def test_the_loss_is_the_published_one_and_survives_saturation(model: DGI) -> None:
    generator = torch.Generator().manual_seed(3)
    batch = torch.tensor([0, 0, 0, 1, 1])
    pos, neg = torch.randn(2, 5, 48, generator=generator, dtype=torch.float64)
    model.double()
    summary = model.summarize(pos, batch)
    real, fake = model.discriminate(pos, summary, batch), model.discriminate(neg, summary, batch)
    expected = -(real + 1e-6).log().mean() - (1 - fake + 1e-6).log().mean()
    assert model.dgi_loss(pos, neg, summary, batch).item() == pytest.approx(expected.item())
    loud = (1e6 * neg).float().requires_grad_()
    model.float()
    loss = model.dgi_loss(loud, -loud, summary.float(), batch)
    loss.backward()
    assert loss.isfinite()
    assert loud.grad is not None
    assert loud.grad.isfinite().all()


def test_the_summary_is_that_of_each_window(model: DGI, make_batch: MakeBatch) -> None:
    batch = make_batch()
    z = model(batch)
    found = model.summarize(z, batch.batch)
    for graph in range(batch.num_graphs):
        own = torch.sigmoid(z[batch.batch == graph].mean(0))
        assert torch.allclose(found[graph], own, atol=1e-6)
    node = 40
    probability = torch.sigmoid(z[node] @ model.net.form @ found[batch.batch[node]])
    assert torch.allclose(model.discriminate(z, found, batch.batch)[node], probability, atol=1e-5)


def rows(batch: GraphBatch, keep: torch.Tensor) -> list[tuple[float, ...]]:
    """What the chosen nodes say, features and ids together, in no order."""
    content = torch.cat((batch.x, batch.node_id.unsqueeze(1), batch.arbitration_id.unsqueeze(1)), 1)
    return sorted(tuple(row) for row in content[keep].tolist())


def test_d40_ids_move_with_the_features(make_batch: MakeBatch) -> None:
    batch = make_batch()
    everywhere = torch.ones(batch.num_nodes, dtype=torch.bool)
    found = {kind: corrupt(batch, kind, torch.Generator().manual_seed(1)) for kind in CORRUPTIONS}
    for kind in ("graph", "batch"):
        assert not torch.equal(found[kind].x, batch.x)
        assert rows(found[kind], everywhere) == rows(batch, everywhere)
        assert torch.equal(found[kind].edge_index, batch.edge_index)
        assert torch.equal(found[kind].batch, batch.batch)
    own = [batch.batch == graph for graph in range(batch.num_graphs)]
    assert all(rows(found["graph"], keep) == rows(batch, keep) for keep in own)
    assert any(rows(found["batch"], keep) != rows(batch, keep) for keep in own)
    assert torch.equal(found["reference"].node_id, batch.node_id)
    assert torch.equal(found["reference"].x, found["batch"].x)


def test_a_checkpoint_restores_the_corruption(tmp_path: Path, make_batch: MakeBatch) -> None:
    model = DGIConfig(corruption="batch").build(**SIZES)
    trainer = quiet_trainer(max_epochs=1, num_sanity_val_steps=0)
    trainer.fit(model, Batches(make_batch()), Batches(make_batch()))
    trainer.save_checkpoint(tmp_path / "dgi.ckpt")
    save_checkpoint(model, tmp_path / "dgi.safetensors")
    for file in ("dgi.ckpt", "dgi.safetensors"):
        loaded = safe_load_checkpoint("dgi", tmp_path / file)
        assert isinstance(loaded, DGI)
        assert loaded.corruption == "batch"
        assert loaded.hparams == model.hparams
        with eval_mode(model):
            assert torch.equal(loaded(make_batch()), model(make_batch()))
    tensors, header = checkpoint_tensors(model)
    header["hyper_parameters"] = header["hyper_parameters"].replace('"batch"', '"rows"')
    with pytest.raises(ValueError, match="corruption 'rows'"):
        model_from_checkpoint_tensors(tensors, header)


def test_the_centre_is_the_mean_over_benign_windows_and_is_fitted_each_time(
    model: DGI, benign: Windows
) -> None:
    with torch.no_grad(), eval_mode(model):
        windows = [model(b)[b.batch == g].mean(0) for b in benign.batches for g in range(20)]
    assert torch.allclose(model.svdd_center, torch.stack(windows).mean(0), atol=1e-5)
    before = model.svdd_center.clone()
    attacks = random_graphs(20, seed=8, attack_share=1.1, shift=50.0)
    model.on_test_setup(Windows([*benign.batches, attacks]), "cpu")
    assert torch.allclose(model.svdd_center, before, atol=1e-6)
    model.on_test_setup(Windows([random_graphs(9, seed=60, attack_share=0.0)]), "cpu")
    assert not torch.allclose(model.svdd_center, before, atol=1e-4)
    assert model.training
    with pytest.raises(ValueError, match="there is none"):
        model.on_test_setup(Windows([attacks]), "cpu")
    with pytest.raises(RuntimeError, match="on_test_setup"):
        model.score(attacks)


def test_scores_are_distances_and_do_not_depend_on_the_batch(
    model: DGI, make_batch: MakeBatch
) -> None:
    batch = make_batch(10, seed=7)
    together = model.score(batch)
    torch.manual_seed(99)
    assert torch.equal(model.score(batch), together)
    for graph in range(10):
        alone = part(batch, torch.arange(10) == graph)
        assert torch.allclose(model.score(alone), together[graph], rtol=1e-4, atol=1e-6)
        with torch.no_grad(), eval_mode(model):
            gap = model(alone).mean(0) - model.svdd_center
        assert together[graph].item() == pytest.approx(float(gap.square().sum()), rel=1e-4)


def test_no_centre_is_an_error_and_a_checkpoint_has_none(model: DGI, make_batch: MakeBatch) -> None:
    assert "svdd_center" not in model.state_dict()
    for fresh in (DGI(**SIZES), model_from_checkpoint_tensors(*checkpoint_tensors(model))):
        assert isinstance(fresh, DGI)
        with pytest.raises(RuntimeError, match="on_test_setup"):
            fresh.score(make_batch())
        with pytest.raises(RuntimeError, match="not calibrated"):
            fresh.calibration()
    fresh.load_calibration(model.calibration())
    assert torch.equal(fresh.score(make_batch()), model.score(make_batch()))


def test_a_collapsed_encoder_is_named(model: DGI, benign: Windows) -> None:
    with torch.no_grad():
        model.net.z_proj.weight.zero_()
        model.net.z_proj.bias.zero_()
    with pytest.raises(ValueError, match="collapsed"):
        model.on_test_setup(benign, "cpu")
    with pytest.raises(ValueError, match="collapsed"):
        model.load_calibration({"svdd_center": torch.zeros(48)})
    assert not model.calibrated


def test_d09_what_is_monitored_is_logged_and_reads_no_attack(make_batch: MakeBatch) -> None:
    batch = make_batch(30, shift=100.0)
    torch.manual_seed(0)
    model = DGI(**SIZES)
    said = []
    for given in (batch, part(batch, batch.y == 0), batch):
        keep = Metrics()
        quiet_trainer(callbacks=[keep]).validate(model, Batches(given), verbose=False)
        said.append(keep.epochs[0]["val_loss"])
    assert said[0] == said[2]
    assert said[0] == pytest.approx(said[1], rel=1e-6)
    state = torch.get_rng_state()
    keep = Metrics()
    attacks = part(batch, batch.y == 1)
    quiet_trainer(callbacks=[keep]).validate(model, Batches(batch, attacks), verbose=False)
    assert torch.equal(torch.get_rng_state(), state)
    assert keep.epochs[0]["val_loss"] == said[0]


def test_features_of_a_window(model: DGI, make_batch: MakeBatch) -> None:
    batch = make_batch()
    found = model.extract_features(batch, "cpu")
    widths = {key: tuple(value.shape) for key, value in found.items()}
    assert widths == {"pos_stats": (12, 3), "conf": (12, 1), "z_stats": (12, 4)}
    with torch.no_grad(), eval_mode(model):
        z = model(batch)
        belongs = model.discriminate(z, model.summarize(z, batch.batch), batch.batch)
    for graph in range(12):
        own = belongs[batch.batch == graph]
        expected = [1 - own.mean(), own.mean(), own.std(correction=0)]
        assert found["pos_stats"][graph].tolist() == pytest.approx(
            [float(v) for v in expected], abs=1e-5
        )
    assert torch.allclose(found["conf"], 1 / (1 + found["pos_stats"][:, :1]))
    again = DGI(**SIZES)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.extract_features(batch, "cpu")["z_stats"], found["z_stats"])


def test_d05_testing_fits_the_centre_and_attacks_score_above_benign_windows(
    benign: Windows, make_batch: MakeBatch
) -> None:
    torch.manual_seed(0)
    keep = Metrics()
    # A norm over each window would hide how loud it is.
    model = DGIConfig(batch_norm=False).build(**SIZES)
    trainer = quiet_trainer(max_epochs=6, callbacks=[keep], num_sanity_val_steps=0)
    trainer.fit(model, datamodule=benign)
    assert keep.epochs[-1]["val_loss"] < keep.epochs[0]["val_loss"]
    unseen = benign.tested = make_batch(60, seed=21, shift=3.0)
    (tested,) = trainer.test(model, datamodule=benign, verbose=False)
    assert tested["test/known/auroc"] > 0.9
    model.on_test_setup(benign, "cpu")
    assert auroc(model.score(unseen), unseen.y) == pytest.approx(tested["test/known/auroc"])
    trainer.fit(model, datamodule=benign)
    assert not model.calibrated


def test_the_constructor_takes_what_is_promised() -> None:
    found = list(inspect.signature(DGI).parameters.values())
    assert all(p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for p in found)
    assert [p.name for p in found[:3]] == ["conv_type", "hidden_dims", "latent_dim"]
