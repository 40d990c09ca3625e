"""Every stage on simulated traffic: what it hands on, what it may look at, and that it repeats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from stage_runs import AUTOENCODE, CLASSIFY, EXTRACT, FUSE, run, value

from graphids.core.budget import Budget
from graphids.core.models.fusion.weighted_avg import WeightedAvgConfig
from graphids.data.splits import Part
from graphids.grid.trial import Trial
from graphids.stages import Autoencode, Classify, Extract, FitConfig, Fuse, Prepare
from graphids.stages.dataset import Prepared
from graphids.stages.evaluation import VALIDATION, Scored, evaluate
from graphids.stages.extract import FUSION_TRAIN, FUSION_VALIDATION
from graphids.stages.handoff import Handoff, TensorFile, read_handoff, write_handoff
from graphids.stages.protocol import Stage
from graphids.store.outputs import OutputStore


def test_parts_share_no_window_and_no_message(prepared: Handoff) -> None:
    audit = prepared.meta["audit"]
    assert set(audit) == {"train-stop", "train-calibration", "stop-calibration"}
    assert all(shared == {"windows": 0, "messages": 0} for shared in audit.values())


def test_both_halves_of_validation_calibrate_an_autoencoder(prepared: Handoff) -> None:
    for half in ("stop", "calibration"):
        assert prepared.meta["windows"][half]["benign"] >= 100
        assert prepared.meta["windows"][half]["attack"] > 0


def test_vocabulary_knows_training_windows_alone(prepared: Handoff) -> None:
    data = Prepared.of(prepared)
    training = data.train.select(data.index(Part.TRAIN))
    assert sorted(training.arbitration_id.unique().tolist()) == prepared.meta["vocabulary"]["ids"]
    assert int(training.node_id.min()) > 0
    assert any(int(graphs.node_id.min()) == 0 for graphs in data.tests.values())


def test_captures_that_changed_since_the_plan_are_refused() -> None:
    trial = Trial(
        fingerprint="0",
        stage=Prepare(),
        dataset="sim_small",
        dataset_digest="x",
        seed=None,
        label="",
    )
    with pytest.raises(ValueError, match="changed since the plan was made"):
        Prepare().run(trial, {}, lambda metrics: None)


def test_a_handoff_survives_the_disk(
    prepared: Handoff, classified: Handoff, tmp_path: Path
) -> None:
    store = OutputStore(tmp_path)
    for handoff in (prepared, classified):
        key = str(len(handoff.files)) * 64
        folder = store.begin(key)
        write_handoff(handoff, folder)
        folder = store.commit(folder, key, "label", {"meta": dict(handoff.meta)})
        found = read_handoff(folder, store.verify(folder))
        assert found.meta == handoff.meta
        assert set(found.files) == set(handoff.files)
        for name, file in handoff.files.items():
            assert found.files[name].header == file.header
            for key, tensor in file.tensors.items():
                assert torch.equal(found.files[name].tensors[key], tensor)
        assert {p.suffix for p in folder.iterdir()} <= {".safetensors", ".parquet", ".json"}


@pytest.mark.parametrize("stage", [CLASSIFY, AUTOENCODE], ids=lambda stage: stage.name)
def test_the_same_seed_gives_the_same_scores_and_another_seed_others(
    stage: Stage, prepared: Handoff, request: pytest.FixtureRequest
) -> None:
    first = request.getfixturevalue("classified" if stage is CLASSIFY else "autoencoded")
    # What ran before in the process must not matter: workers are reused.
    torch.manual_seed(99)
    torch.rand(7)
    again, other = run(stage, {"data": prepared}), run(stage, {"data": prepared}, seed=1)
    assert again.scores.equals(first.scores)
    assert not other.scores.equals(first.scores)
    assert all(
        torch.equal(again.files["model"].tensors[k], t)
        for k, t in first.files["model"].tensors.items()
    )


def test_every_window_has_a_score(prepared: Handoff, classified: Handoff) -> None:
    data = Prepared.of(prepared)
    assert classified.scores is not None
    counts = dict(classified.scores.group_by("split").len().iter_rows())
    assert counts == {
        VALIDATION: len(data.index(Part.CALIBRATION)),
        **{name: len(graphs) for name, graphs in data.tests.items()},
    }
    assert classified.scores["score"].is_finite().all()
    for split in counts:
        key = classified.scores.filter(split=split).select("capture", "first_message")
        assert key.is_unique().all()


def test_d21_single_class_subsets_are_null_not_zero(classified: Handoff) -> None:
    """Suppression leaves no attack window, so nothing that needs one is defined."""
    for metric in ("f1", "mcc", "auroc", "ap", "recall"):
        assert value(classified, "test_05_suppress", metric) is None
    assert value(classified, "test_05_suppress", "n_attacks") == 0
    assert value(classified, "test_05_suppress", "n_windows") > 0


def test_d25_the_threshold_never_sees_a_test_label(prepared: Handoff) -> None:
    """With every test label turned round, the threshold stays."""
    data = Prepared.of(prepared)
    windows = data.part_windows(Part.CALIBRATION)
    scores = torch.rand(len(windows.label), generator=torch.Generator().manual_seed(0)).double()
    validation = Scored(windows=windows, scores=scores)
    thresholds = []
    for turned in (False, True):
        tests = {}
        for name, graphs in data.tests.items():
            where = data.windows(name)
            label = 1 - where.label if turned else where.label
            tests[name] = Scored(
                windows=replace(where, label=label), scores=graphs.x.new_ones(len(label))
            )
        thresholds.append(evaluate("key", validation, tests, data.attack_names).threshold)
    assert thresholds[0] == thresholds[1]


def test_a_score_that_is_not_finite_fails_the_trial(prepared: Handoff) -> None:
    data = Prepared.of(prepared)
    windows = data.part_windows(Part.CALIBRATION)
    scores = torch.zeros(len(windows.label)).double()
    scores[3] = torch.nan
    with pytest.raises(FloatingPointError, match=r"1 of .* scores of split 'validation'"):
        evaluate("key", Scored(windows=windows, scores=scores), {}, {})


def test_d35_fusion_states_are_windows_that_no_detector_trained_on(
    prepared: Handoff, extracted: Handoff
) -> None:
    """States of training windows would be over-confident."""
    data = Prepared.of(prepared)
    for name, part in ((FUSION_TRAIN, Part.STOP), (FUSION_VALIDATION, Part.CALIBRATION)):
        tensors = extracted.files[name].tensors
        found = set(
            zip(tensors["capture"].tolist(), tensors["first_message"].tolist(), strict=True)
        )
        expected = data.train.select(data.index(part))
        assert found == set(
            zip(expected.capture.tolist(), expected.first_message.tolist(), strict=True)
        )
        assert torch.equal(tensors["label"], expected.y)


def test_states_say_what_the_classifier_scored(classified: Handoff, extracted: Handoff) -> None:
    """The same window, the same probability, whatever batch it came in."""
    name = "test_01_known_vehicle_known_attack"
    scored = classified.scores.filter(split=name)["score"].to_torch()
    probability = extracted.files[name].tensors["gat.probs"][:, 1].double()
    torch.testing.assert_close(probability, scored, rtol=1e-4, atol=1e-5)


def test_d07_states_say_what_the_autoencoder_scored(
    autoencoded: Handoff, extracted: Handoff
) -> None:
    """The distance of the latent codes is calibrated when states are extracted."""
    name = "test_01_known_vehicle_known_attack"
    errors = extracted.files[name].tensors["vgae.errors"]
    assert errors.shape[1] == 3
    assert float(errors[:, 1].std()) > 0
    header = autoencoded.files["model"].header
    assert "VGAE" in header["class_path"]


@pytest.mark.parametrize("head", [FUSE.head, WeightedAvgConfig()], ids=["mlp", "weighted_avg"])
def test_a_fusion_trains_and_repeats(head: Any, extracted: Handoff) -> None:
    stage = replace(FUSE, head=head)
    first, again = (run(stage, {"states": extracted}) for _ in range(2))
    assert first.scores.equals(again.scores)
    assert first.history is not None
    assert first.history.filter(pl.col("metric") == "train_loss").height == 3
    assert first.scores["score"].is_between(0, 1).all()


def test_a_diverged_model_is_an_error_not_a_row(prepared: Handoff) -> None:
    broken = dict(prepared.files)
    tensors = dict(broken["train"].tensors)
    tensors["x"] = torch.full_like(tensors["x"], torch.nan)
    broken["train"] = TensorFile(tensors, broken["train"].header)
    with pytest.raises(FloatingPointError, match="loss"):
        run(CLASSIFY, {"data": replace(prepared, files=broken)})


def test_detectors_of_different_datasets_are_not_fused() -> None:
    with pytest.raises(ValueError, match="same prepared dataset"):
        Extract(autoencoder=Autoencode(data=Prepare(window=50, stride=50)), classifier=CLASSIFY)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Classify(loss="hinge"), "loss must be one of ce, weighted_ce, focal"),
        (lambda: Prepare(stride=200), "stride"),
        (lambda: Prepare(scaler="minmax"), "scaler"),
        (lambda: FitConfig(max_epochs=0), "max_epochs must be at least 1"),
        (lambda: Budget(nodes=0), "nodes must be at least 1"),
        (lambda: Fuse(states=EXTRACT, epochs=0), "epochs must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
