"""The autoencoder: deterministic scores, benign calibration, a validation loss without attacks."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from model_samples import Batches, FakeData, Metrics, part, quiet_trainer, random_graphs

from graphids.core.batch import GraphBatch
from graphids.core.metrics import auroc
from graphids.core.models import VGAE, VGAEConfig, eval_mode

SIZES = {"num_ids": 20, "in_channels": 35}
MakeBatch = Callable[..., GraphBatch]


@pytest.fixture
def model(calibration: FakeData) -> VGAE:
    """Calibrated, untrained."""
    torch.manual_seed(0)
    found = VGAE(**SIZES)
    found.on_test_setup(calibration, "cpu")
    return found


@pytest.mark.parametrize("conv", ["gat", "gatv2"])
@pytest.mark.parametrize(
    "shape", [{}, {"scale": "large"}, {"hidden_dims": (40, 16), "latent_dim": 16}]
)
def test_every_option_trains(conv: str, shape: dict[str, object], make_batch: MakeBatch) -> None:
    batch = make_batch()
    model = VGAEConfig(conv=conv, **shape).build(**SIZES)  # type: ignore[arg-type]
    loss, _ = model.compute_loss(batch)
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    outputs = model(batch)
    assert len(outputs) == 6
    assert outputs.reconstruction.shape == batch.x.shape
    assert outputs.canid_logits.shape == (batch.num_nodes, 20)
    assert outputs.neighbourhood.shape == outputs.z.shape
    assert outputs.kl.shape == (batch.num_nodes,)
    assert (outputs.edge_features is None) == (conv == "gat")


def test_an_unknown_scale_falls_back() -> None:
    model = VGAE(**SIZES, scale="medium")
    assert model.net.z_mean.in_features == model.net.z_mean.out_features == 48
    assert len(model.net.encoder.blocks) == 2


@pytest.mark.parametrize("settings", [{"conv_type": "gps"}, {"mask_rate": 0.0}, {"mask_rate": 1.0}])
def test_a_value_that_does_not_exist_is_named(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        VGAE(**settings)  # type: ignore[arg-type]


def test_encode_clamps_and_needs_neither_ids_nor_batch(make_batch: MakeBatch) -> None:
    batch = part(make_batch(), torch.arange(12) == 0)
    model = VGAE(**SIZES).eval()
    with torch.no_grad():
        model.net.z_logvar.bias.fill_(1e6)
        z, kl, mu = model.encode(batch.x, batch.edge_index, batch.edge_attr)
    assert torch.equal(z, mu)
    assert kl.isfinite().all()
    given = model.encode(
        batch.x, batch.edge_index, batch.edge_attr, batch.batch, torch.zeros_like(batch.node_id)
    )
    assert torch.allclose(given[0], z, atol=1e-6)


def test_training_samples_the_latent(make_batch: MakeBatch) -> None:
    batch = make_batch()
    z, _, mu = VGAE(**SIZES).train().net.encode_batch(batch)
    assert not torch.allclose(z, mu)


def test_d08_scores_are_deterministic_and_do_not_depend_on_the_batch(
    model: VGAE, make_batch: MakeBatch
) -> None:
    batch = make_batch(10, seed=7)
    together = model.score(batch)
    torch.manual_seed(99)
    assert torch.equal(model.score(batch), together)
    for graph in range(10):
        alone = part(batch, torch.arange(10) == graph)
        assert torch.allclose(model.score(alone), together[graph], rtol=1e-4, atol=1e-5)


def test_d05_uncalibrated_is_an_error_and_testing_calibrates(
    calibration: FakeData, make_batch: MakeBatch
) -> None:
    model = VGAE(**SIZES)
    for call in (model.score, lambda batch: model.extract_features(batch, "cpu")):
        with pytest.raises(RuntimeError, match="on_test_setup"):
            call(make_batch())
    trainer = quiet_trainer()
    trainer.datamodule = calibration
    model.trainer = trainer
    model.on_test_start()
    assert bool(model.score_norm_fitted)


def test_d07_calibration_fits_latent_moments_that_features_use(
    model: VGAE, calibration: FakeData, make_batch: MakeBatch
) -> None:
    with torch.no_grad(), eval_mode(model):
        mu = torch.cat([model.net.encode_batch(batch)[2] for batch in calibration.batches])
    assert torch.allclose(model.mu_mean, mu.mean(0), atol=1e-5)
    assert torch.allclose(model.mu_std, mu.std(0, correction=0).clamp(min=1e-3), atol=1e-4)
    distance = model.extract_features(calibration.batches[0], "cpu")["errors"][:, 1]
    assert distance.mean() == pytest.approx(64, rel=0.3)


def test_calibration_runs_once_on_benign_windows_and_keeps_the_mode(
    model: VGAE, calibration: FakeData
) -> None:
    before = copy.deepcopy(model.state_dict())
    model.on_test_setup(FakeData([random_graphs(200, seed=50, attack_share=0.0)]), "cpu")
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    torch.manual_seed(0)
    mixed = VGAE(**SIZES)
    attacks = random_graphs(20, seed=8, attack_share=1.1, shift=50.0)
    mixed.on_test_setup(FakeData([*calibration.batches, attacks]), "cpu")
    assert torch.allclose(mixed.score_mean, model.score_mean, atol=1e-5)
    assert mixed.training


def test_too_few_benign_windows_are_counted_and_the_mode_is_restored() -> None:
    model = VGAE(**SIZES)
    few = FakeData([random_graphs(60, attack_share=0.0), random_graphs(30, attack_share=1.1)])
    with pytest.raises(ValueError, match="at least 100 benign windows, found 60 among 90"):
        model.on_test_setup(few, "cpu")
    assert model.training
    assert not bool(model.score_norm_fitted)


def test_score_is_the_largest_normalised_axis(model: VGAE, make_batch: MakeBatch) -> None:
    batch = make_batch()
    with torch.no_grad(), eval_mode(model):
        axes = model.window_axes(batch).axes
    expected = ((axes - model.score_mean) / (model.score_std + 1e-6)).max(dim=-1).values
    assert torch.allclose(model.score(batch), expected, atol=1e-5)


def test_every_node_is_hidden_when_its_error_is_taken(model: VGAE, make_batch: MakeBatch) -> None:
    batch = make_batch(3)
    folds = model.node_folds(batch)
    error = torch.zeros(batch.num_nodes)
    with torch.no_grad(), eval_mode(model):
        for node in range(batch.num_nodes):
            found = model(batch, folds == folds[node]).reconstruction[node]
            error[node] = (found - batch.x[node]).square().mean()
        axes = model.window_axes(batch).axes
    for graph in range(3):
        own = error[batch.batch == graph]
        assert axes[graph, 0] == pytest.approx(float(own.mean()), rel=1e-4)
        assert axes[graph, 1] == pytest.approx(float(own.max()), rel=1e-4)


def test_features_of_a_window(model: VGAE, make_batch: MakeBatch) -> None:
    batch = make_batch()
    found = model.extract_features(batch, "cpu")
    assert {k: tuple(v.shape[1:]) for k, v in found.items()} == {
        "errors": (3,), "conf": (1,), "z_stats": (4,), "spike": (1,), "affinity": (1,), "rq": (1,)
    }  # fmt: skip
    assert torch.allclose(found["conf"], 1 / (1 + found["errors"][:, :1]))
    assert (found["spike"] >= found["errors"][:, :1]).all()
    again = model.extract_features(batch, "cpu")
    assert all(torch.equal(found[key], again[key]) for key in found)


def validation_loss(model: VGAE, batches: list[GraphBatch]) -> dict[str, float]:
    keep = Metrics()
    trainer = quiet_trainer(callbacks=[keep])
    trainer.validate(model, Batches(*batches), verbose=False)
    return keep.epochs[0]


def test_d24_attacks_do_not_move_the_validation_loss(make_batch: MakeBatch) -> None:
    batch = make_batch(30, shift=100.0)
    model = VGAE(**SIZES)
    mixed = validation_loss(model, [batch])
    benign = validation_loss(model, [part(batch, batch.y == 0)])
    assert mixed["val_loss"] == pytest.approx(benign["val_loss"], rel=1e-4)
    assert mixed["val_recon_attack"] > mixed["val_recon_benign"]
    assert "val_recon_attack" not in benign
    assert validation_loss(model, [batch]) == mixed
    assert "val_loss" not in validation_loss(model, [part(batch, batch.y == 1)])


def test_canary_attacks_score_above_benign_windows(
    calibration: FakeData, make_batch: MakeBatch
) -> None:
    torch.manual_seed(0)
    keep = Metrics()
    model = VGAEConfig().build(**SIZES)
    trainer = quiet_trainer(max_epochs=4, callbacks=[keep], num_sanity_val_steps=0)
    trainer.fit(model, Batches(*calibration.batches), Batches(*calibration.batches[:2]))
    terms = {f"train_{name}" for name in ("loss", "recon", "canid", "kl", "nbr", "edge")}
    assert keep.epochs[-1].keys() >= terms | {"val_loss"}
    assert keep.epochs[-1]["val_loss"] < keep.epochs[0]["val_loss"]
    model.on_test_setup(calibration, "cpu")
    unseen = make_batch(60, seed=21, shift=2.0)
    assert auroc(model.score(unseen), unseen.y) > 0.9


def test_one_node_and_no_edge_are_scored(model: VGAE, make_batch: MakeBatch) -> None:
    batch = make_batch(1)
    single = GraphBatch(
        x=batch.x[:1],
        node_id=batch.node_id[:1],
        arbitration_id=batch.arbitration_id[:1],
        edge_index=batch.edge_index[:, :0],
        edge_attr=batch.edge_attr[:0],
        batch=batch.batch[:1],
        ptr=torch.tensor([0, 1]),
        y=batch.y[:1],
        attack_type=batch.attack_type[:1],
        graph_index=batch.graph_index[:1],
    )
    assert model.score(single).isfinite().all()
    assert model.train().compute_loss(single)[0].isfinite()
