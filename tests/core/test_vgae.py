"""The autoencoder: deterministic scores, benign calibration, a validation loss without attacks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from model_samples import Batches, FakeData, Metrics, part, quiet_trainer, random_graphs

from graphids.core.batch import GraphBatch
from graphids.core.losses import VGAETaskLoss
from graphids.core.metrics import auroc
from graphids.core.models import VGAE, VGAEConfig, eval_mode
from graphids.core.models.id_encoding import HashEncodingCfg, IdEncodingCfg, LookupEncodingCfg
from graphids.core.models.layers import CONV_TYPES

SIZES = {"num_ids": 20, "in_channels": 35}
MakeBatch = Callable[..., GraphBatch]


@pytest.fixture
def model(calibration: FakeData) -> VGAE:
    """Calibrated, untrained."""
    torch.manual_seed(0)
    found = VGAE(**SIZES)
    found.on_test_setup(calibration, "cpu")
    return found


@pytest.mark.parametrize("conv", CONV_TYPES)
@pytest.mark.parametrize(
    "shape", [{}, {"scale": "large"}, {"hidden_dims": (40, 16), "latent_dim": 16}]
)
def test_every_option_trains(conv: str, shape: dict[str, object], make_batch: MakeBatch) -> None:
    batch = make_batch()
    model = VGAEConfig(conv=conv, **shape).build(**SIZES)  # type: ignore[arg-type]
    loss, _ = model.compute_loss(batch)
    loss.backward()
    grads = {name: p.grad for name, p in model.named_parameters()}
    assert not [name for name, grad in grads.items() if grad is None or not grad.isfinite().all()]
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


def test_sizes_of_the_presets() -> None:
    counts = {}
    for scale in ("small", "large", "student", "teacher"):
        model = VGAEConfig(scale=scale).build(num_ids=100, in_channels=35)
        counts[scale] = sum(p.numel() for p in model.parameters())
    assert counts == {"small": 54_236, "large": 161_948, "student": 86_148, "teacher": 1_702_716}
    assert counts["student"] == pytest.approx(86_000, rel=0.03)
    assert counts["teacher"] == pytest.approx(1_710_000, rel=0.03)


def test_settings_reach_the_model() -> None:
    ids = HashEncodingCfg(embedding_dim=7)
    config = VGAEConfig(conv="gat", self_loops="keep", ids=ids, scale="student")
    model = config.build(**SIZES)
    assert model.hparams["conv_type"] == "gat+keep"
    assert model.net.input.id_encoder.out_dim == 7
    assert model.net.z_mean.out_features == config.latent_width == 32
    assert VGAEConfig(latent_dim=5).latent_width == 5
    table = VGAEConfig(embedding_dim=9, p_unk_drop=0.2).build(**SIZES).net.input.id_encoder
    assert (table.out_dim, table.p_unk_drop, table.mask_value) == (9, 0.2, 20)


@pytest.mark.parametrize("settings", [{"conv_type": "gcn"}, {"mask_rate": 0.0}, {"mask_rate": 1.0}])
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


@pytest.mark.parametrize("ids", [LookupEncodingCfg(), HashEncodingCfg()])
def test_a_hidden_node_is_hidden_whatever_the_encoder_reads(
    ids: IdEncodingCfg, make_batch: MakeBatch
) -> None:
    batch = make_batch()
    model = VGAEConfig(ids=ids).build(**SIZES).eval()
    mask = torch.arange(batch.num_nodes) == 4
    other = replace(
        batch,
        x=batch.x + 5.0 * mask.unsqueeze(1),
        node_id=batch.node_id.masked_fill(mask, 9),
        arbitration_id=batch.arbitration_id.masked_fill(mask, 777),
    )
    with torch.no_grad():
        seen, unseen = model(batch, mask), model(other, mask)
        assert torch.equal(seen.canid_logits, unseen.canid_logits)
        assert seen.canid_logits.shape == (batch.num_nodes, 20)
        assert not torch.allclose(model(batch).z, model(other).z)


class Spy(VGAETaskLoss):
    """Keeps what it is called with."""

    def forward(self, outputs, batch, mask=None, mu=None):
        self.seen = (outputs, batch, mask, mu)
        return super().forward(outputs, batch, mask, mu)

    def components(self) -> dict[str, torch.Tensor]:
        return {"own": torch.tensor(2.0)}


def test_a_loss_is_given_the_mean_latent_of_what_was_seen(make_batch: MakeBatch) -> None:
    batch = make_batch(30)
    spy = Spy()
    model = VGAE(**SIZES, loss_fn=spy)
    loss, terms = model.compute_loss(batch)
    outputs, _, mask, mu = spy.seen
    assert terms.keys() == {"own"}
    assert not torch.allclose(outputs.z, mu)
    assert outputs.canid_logits.shape[0] == int(mask.sum())
    loss.backward()
    quiet_trainer().validate(model, Batches(batch), verbose=False)
    outputs, judged, mask, mu = spy.seen
    assert (judged.y == 0).all()
    assert torch.equal(outputs.z, mu)
    with torch.no_grad(), eval_mode(model):
        assert torch.allclose(model.net.encode_batch(judged, mask)[2], mu, atol=1e-5)


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
