"""Statistics of benign windows as an artefact of their own, beside a checkpoint."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from model_samples import Batches, FakeData, quiet_trainer

from graphids.core.batch import GraphBatch
from graphids.core.models import VGAE, ScoreBasedDetectorMixin
from graphids.core.models.autoencoder import DGI

SIZES = {"num_ids": 20, "in_channels": 35}
MakeBatch = Callable[..., GraphBatch]


@pytest.fixture
def model(calibration: FakeData) -> VGAE:
    torch.manual_seed(0)
    found = VGAE(**SIZES)
    found.on_test_setup(calibration, "cpu")
    return found


def test_a_calibration_makes_another_model_score_the_same(
    model: VGAE, calibration: FakeData, make_batch: MakeBatch
) -> None:
    artefact = model.calibration()
    assert artefact.keys() == {"mu_mean", "mu_std", "score_mean", "score_std"}
    other = VGAE(**SIZES)
    other.net.load_state_dict(model.net.state_dict())
    with pytest.raises(RuntimeError, match="not calibrated"):
        other.calibration()
    other.load_calibration(artefact)
    batch = make_batch()
    assert torch.equal(other.score(batch), model.score(batch))
    distances = [each.extract_features(batch, "cpu")["errors"] for each in (other, model)]
    assert torch.equal(distances[0], distances[1])
    other.on_test_setup(FakeData([make_batch(200, seed=5, attack_share=0.0)]), "cpu")
    assert torch.equal(other.score_mean, model.score_mean)


def test_an_artefact_is_a_copy(model: VGAE, make_batch: MakeBatch) -> None:
    before = model.score(make_batch())
    for tensor in model.calibration().values():
        tensor.zero_()
    artefact = model.calibration()
    model.load_calibration(artefact)
    for tensor in artefact.values():
        tensor.zero_()
    assert torch.equal(model.score(make_batch()), before)


def test_what_does_not_fit_is_named_and_changes_nothing(model: VGAE, make_batch: MakeBatch) -> None:
    artefact = model.calibration()
    before = model.score(make_batch())
    missing = {name: value for name, value in artefact.items() if name != "mu_std"}
    with pytest.raises(KeyError, match="mu_std is missing"):
        model.load_calibration(missing)
    for change, words in (
        ({"svdd_center": torch.ones(48)}, "svdd_center belongs elsewhere"),
        ({"score_std": torch.ones(3)}, r"score_std has shape \(3,\).*\(4,\)"),
        ({"mu_mean": torch.full((64,), torch.nan)}, "mu_mean is not finite"),
    ):
        with pytest.raises(ValueError, match=words):
            model.load_calibration(artefact | change)
    with pytest.raises(KeyError, match="svdd_center"):
        DGI(**SIZES).load_calibration(artefact)
    with pytest.raises(RuntimeError, match="no layers yet"):
        VGAE().load_calibration(artefact)
    assert torch.equal(model.score(make_batch()), before)


def test_further_training_forgets_the_calibration(model: VGAE, make_batch: MakeBatch) -> None:
    trainer = quiet_trainer(max_epochs=1, num_sanity_val_steps=0)
    trainer.fit(model, Batches(make_batch()), Batches(make_batch()))
    with pytest.raises(RuntimeError, match="load_calibration"):
        model.score(make_batch())


@pytest.mark.parametrize("name", ["calibration", "load_calibration", "on_test_setup", "score"])
def test_every_detector_of_this_kind_promises_the_same(name: str) -> None:
    assert name in vars(ScoreBasedDetectorMixin)
