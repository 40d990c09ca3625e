"""Teachers, curricula, sampling, selection and heads: each setting does what it says it does."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from stage_runs import (
    AUTOENCODE,
    CLASSIFY,
    EXTRACT,
    FIT,
    FUSE,
    TINY_GAT,
    TINY_VGAE,
    run,
    value,
)

from graphids.core.models.autoencoder import DGIConfig
from graphids.core.models.fusion import (
    BanditFusionConfig,
    DQNFusionConfig,
    MoEFusionConfig,
    WeightedAvgConfig,
)
from graphids.core.models.id_encoding import HashEncodingCfg
from graphids.data.splits import Part
from graphids.stages import (
    Classify,
    Curriculum,
    FitConfig,
    Fuse,
    Prepare,
    Record,
    Undersample,
)
from graphids.stages.dataset import Prepared
from graphids.stages.detect import CALIBRATION_FILE, MODEL_FILE, load_detector
from graphids.stages.extract import FUSION_TRAIN, thinned
from graphids.stages.handoff import Handoff
from graphids.stages.record import RECORD_FILE, difficulty, recorded_logits, recorded_nodes
from graphids.stages.sampling import random_difficulty
from graphids.stages.training import MONITORS, KeepBest

STUDENT = replace(CLASSIFY, model=TINY_GAT)
TEST = "test_01_known_vehicle_known_attack"


@pytest.fixture(scope="module")
def said_by_classifier(prepared: Handoff, classified: Handoff) -> Handoff:
    return run(Record(detector=CLASSIFY), {"data": prepared, "detector": classified})


@pytest.fixture(scope="module")
def said_by_autoencoder(prepared: Handoff, autoencoded: Handoff) -> Handoff:
    stage = Record(detector=AUTOENCODE, nodes=True)
    return run(stage, {"data": prepared, "detector": autoencoded})


def test_d30_a_teacher_is_recorded_once_for_every_training_window(
    prepared: Handoff, classified: Handoff, said_by_classifier: Handoff
) -> None:
    data = Prepared.of(prepared)
    logits = said_by_classifier.files[RECORD_FILE].tensors["logits"]
    assert logits.shape == (len(data.train), 2)
    loader = data.data_module(CLASSIFY.batch, seed=3).train_dataloader()
    teacher, model = recorded_logits(said_by_classifier), load_detector(classified)
    batch = next(iter(loader))
    with torch.no_grad():
        torch.testing.assert_close(teacher(batch), model(batch), rtol=1e-4, atol=1e-5)


def test_an_autoencoder_is_recorded_node_by_node(
    prepared: Handoff, autoencoded: Handoff, said_by_autoencoder: Handoff
) -> None:
    data = Prepared.of(prepared)
    batch = next(iter(data.data_module(AUTOENCODE.batch, seed=5).train_dataloader()))
    model = load_detector(autoencoded)
    with torch.no_grad():
        outputs = model(batch)
    said = recorded_nodes(said_by_autoencoder, data)(batch)
    torch.testing.assert_close(said.mu, outputs.z, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(said.reconstruction, outputs.reconstruction, rtol=1e-4, atol=1e-4)


def test_lesson_33_the_loss_that_was_built_is_recorded(
    prepared: Handoff, said_by_classifier: Handoff
) -> None:
    taught = replace(
        STUDENT, loss="focal", sampling=Curriculum(), teacher=Record(detector=CLASSIFY)
    )
    handoff = run(taught, {"data": prepared, "teacher": said_by_classifier})
    assert handoff.meta["loss"] == "CurriculumLoss(SoftLabelDistillation(FocalLoss))"
    alone = run(STUDENT, {"data": prepared})
    assert alone.meta["loss"] == "CrossEntropy"
    assert alone.meta["parameters"] == handoff.meta["parameters"], "a teacher is no part of it"
    assert not alone.scores.equals(handoff.scores)


def test_a_taught_autoencoder_leaves_its_projection_behind(
    prepared: Handoff, said_by_autoencoder: Handoff
) -> None:
    teacher = Record(detector=AUTOENCODE, nodes=True)
    taught = replace(AUTOENCODE, model=TINY_VGAE, teacher=teacher)
    handoff = run(taught, {"data": prepared, "teacher": said_by_autoencoder})
    assert handoff.meta["loss"] == "FeatureDistillation(VGAETaskLoss)"
    assert not [k for k in handoff.files[MODEL_FILE].tensors if k.startswith("loss_fn")]
    assert load_detector(handoff).loss_fn is not None


def test_a_teacher_of_other_windows_is_refused(
    prepared: Handoff, said_by_classifier: Handoff
) -> None:
    with pytest.raises(ValueError, match="another prepared dataset"):
        replace(STUDENT, teacher=Record(detector=Classify(data=Prepare(window=50, stride=50))))
    with pytest.raises(ValueError, match="'autoencode' stage, and a 'classify' stage is needed"):
        replace(STUDENT, teacher=Record(detector=AUTOENCODE))
    with pytest.raises(ValueError, match="nodes=True"):
        replace(AUTOENCODE, teacher=Record(detector=AUTOENCODE))
    file = said_by_classifier.files[RECORD_FILE]
    short = replace(file, tensors={k: v[:100] for k, v in file.tensors.items()})
    cut = replace(said_by_classifier, files={RECORD_FILE: short})
    with pytest.raises(ValueError, match="recorded on another dataset"):
        run(
            replace(STUDENT, teacher=Record(detector=CLASSIFY)),
            {"data": prepared, "teacher": cut},
        )
    with pytest.raises(ValueError, match="the record holds 100 windows"):
        difficulty(cut, Prepared.of(prepared))


def test_undersampling_keeps_every_attack_and_the_hardest_benign_windows(
    prepared: Handoff, said_by_autoencoder: Handoff
) -> None:
    data = Prepared.of(prepared)
    hard = difficulty(said_by_autoencoder, data)
    index = Undersample(benign_per_attack=2.0).index(hard, data)
    training = data.index(Part.TRAIN)
    y = data.train.y
    assert set(index.tolist()) <= set(training.tolist())
    assert y[index].sum() == y[training].sum()
    assert (y[index] == 0).sum() == 2 * y[index].sum()
    left_out = training[~torch.isin(training, index)]
    assert hard[index[y[index] == 0]].min() >= hard[left_out].max()


def test_scorers_and_directions_train_differently(
    prepared: Handoff, said_by_autoencoder: Handoff
) -> None:
    fit = FitConfig(max_epochs=2)
    at_random = replace(STUDENT, sampling=Curriculum(), fit=fit)
    scored = replace(at_random, scorer=Record(detector=AUTOENCODE))
    turned = replace(scored, sampling=Curriculum(start_ratio=10.0, end_ratio=1.0))
    inputs = {"data": prepared, "scorer": said_by_autoencoder}
    found = [run(at_random, {"data": prepared}), run(scored, inputs), run(turned, inputs)]
    assert not found[0].scores.equals(found[1].scores)
    assert not found[1].scores.equals(found[2].scores)
    assert torch.equal(random_difficulty(9, 4), random_difficulty(9, 4))
    with pytest.raises(ValueError, match="a scorer is of no use without sampling"):
        replace(STUDENT, scorer=Record(detector=AUTOENCODE))


def test_tau_norm_changes_the_last_layer_alone(prepared: Handoff) -> None:
    plain, normed = (run(replace(STUDENT, tau_norm=tau), {"data": prepared}) for tau in (0.0, 1.0))
    differ = {
        name
        for name, tensor in plain.files[MODEL_FILE].tensors.items()
        if not torch.equal(tensor, normed.files[MODEL_FILE].tensors[name])
    }
    assert len(differ) == 1
    (name,) = differ
    norms = normed.files[MODEL_FILE].tensors[name].norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(2))


def test_d24_the_default_selection_of_an_autoencoder_sees_no_attack_label(
    prepared: Handoff,
) -> None:
    files = dict(prepared.files)
    tensors = dict(files["train"].tensors)
    stop = tensors["part"] == Part.STOP
    # Attack windows of the stopping half become other attacks of other content.
    attacks = stop & (tensors["y"] == 1)
    tensors["attack_type"] = torch.where(attacks, 3, tensors["attack_type"])
    nodes = attacks.repeat_interleave(tensors["node_offsets"].diff())
    tensors["x"] = torch.where(nodes[:, None], -tensors["x"], tensors["x"])
    files["train"] = replace(files["train"], tensors=tensors)
    stage = replace(AUTOENCODE, model=TINY_VGAE, fit=FitConfig(max_epochs=2))
    first, second = (
        run(stage, {"data": data}) for data in (prepared, replace(prepared, files=files))
    )
    assert first.meta["val_loss"] == second.meta["val_loss"]
    assert first.meta["best_epoch"] == second.meta["best_epoch"]


@pytest.mark.parametrize("monitor", ["val_auroc", "val_margin", "last"])
def test_each_monitor_of_a_classifier_is_measured(prepared: Handoff, monitor: str) -> None:
    fit = FitConfig(max_epochs=2, monitor=monitor)
    facts = run(replace(STUDENT, fit=fit), {"data": prepared}).meta
    assert facts["monitor"] == monitor
    assert ("best_epoch" in facts) == (monitor != "last")


@pytest.mark.parametrize(
    ("monitor", "values", "best"),
    [
        ("val_loss", (0.5, 0.2, 0.9), 1),
        ("val_auroc", (0.5, 0.2, 0.9), 2),
        ("val_margin", (3.0, -1.0, 2.0), 0),
    ],
)
def test_d10_each_monitor_knows_which_way_is_better(
    monitor: str, values: tuple[float, ...], best: int
) -> None:
    keeper, model = KeepBest(monitor), torch.nn.Linear(1, 1)
    for epoch, measured in enumerate(values):
        trainer: Any = SimpleNamespace(callback_metrics={monitor: measured}, current_epoch=epoch)
        keeper.on_validation_end(trainer, model)
    assert (keeper.epoch, keeper.best) == (best, values[best])
    assert set(MONITORS.values()) == {"min", "max"}


def test_d09_a_monitor_that_is_not_logged_is_an_error(prepared: Handoff) -> None:
    fit = FitConfig(max_epochs=1, monitor="val_discrimination_ratio")
    with pytest.raises(ValueError, match="val_discrimination_ratio was not measured: GAT"):
        run(replace(STUDENT, fit=fit), {"data": prepared})
    with pytest.raises(ValueError, match="monitor must be one of"):
        FitConfig(monitor="val_dgi_loss")


@pytest.mark.parametrize(
    "model",
    [
        TINY_VGAE,
        DGIConfig(hidden_dims=(8,), latent_dim=4),
        replace(TINY_VGAE, ids=HashEncodingCfg()),
    ],
    ids=["vgae", "dgi", "hash"],
)
def test_calibration_is_an_artefact_of_its_own(prepared: Handoff, model: Any) -> None:
    handoff = run(replace(AUTOENCODE, model=model), {"data": prepared})
    calibration = handoff.files[CALIBRATION_FILE].tensors
    weights = handoff.files[MODEL_FILE].tensors
    for name, tensor in calibration.items():
        assert name not in weights or not torch.equal(weights[name], tensor)
    data = Prepared.of(prepared)
    batch = data.data_module(AUTOENCODE.batch, seed=0).test_dataloader()[0]
    restored = load_detector(handoff)
    scores = torch.cat([restored.predict_scores(b) for b in batch])
    expected = handoff.scores.filter(split=TEST)["score"].to_torch()
    torch.testing.assert_close(scores, expected, rtol=1e-5, atol=1e-5)
    bare = replace(handoff, files={MODEL_FILE: handoff.files[MODEL_FILE]})
    with pytest.raises(RuntimeError, match="on_test_setup"):
        load_detector(bare).predict_scores(next(iter(batch)))


@pytest.mark.parametrize(
    "head",
    [
        MoEFusionConfig(),
        DQNFusionConfig(),
        DQNFusionConfig(reward="minimal"),
        BanditFusionConfig(),
        WeightedAvgConfig(),
    ],
    ids=["moe", "dqn", "dqn_minimal", "bandit", "weighted_avg"],
)
def test_every_head_trains_repeats_and_says_what_it_does(head: Any, extracted: Handoff) -> None:
    stage = replace(FUSE, head=head)
    first, again = (run(stage, {"states": extracted}) for _ in range(2))
    assert first.scores.equals(again.scores)
    assert not first.scores.equals(run(stage, {"states": extracted}, seed=1).scores) or (
        isinstance(head, WeightedAvgConfig)
    )
    assert first.meta["diagnostics"]
    assert first.history["epoch"].unique().to_list() == [0, 1, 2]
    assert value(first, TEST, "auroc") is not None


def test_in_sample_states_are_an_axis(
    prepared: Handoff, autoencoded: Handoff, classified: Handoff
) -> None:
    stage = replace(EXTRACT, train_on="in_sample", max_train=50)
    inputs = {"data": prepared, "autoencoder": autoencoded, "classifier": classified}
    states = run(stage, inputs).files[FUSION_TRAIN].tensors
    data = Prepared.of(prepared)
    known = data.train.select(data.index(Part.TRAIN))
    keys = set(zip(known.capture.tolist(), known.first_message.tolist(), strict=True))
    found = list(zip(states["capture"].tolist(), states["first_message"].tolist(), strict=True))
    assert len(found) == 50
    assert set(found) <= keys


def test_d32_a_cap_draws_at_random_and_keeps_the_order() -> None:
    index = torch.arange(1000) * 3
    drawn = thinned(index, 100, torch.Generator().manual_seed(0))
    assert len(drawn) == 100
    assert torch.equal(drawn, drawn.sort().values)
    assert set(drawn.tolist()) <= set(index.tolist())
    assert drawn.double().mean() > 1000, "not the first ones"
    assert torch.equal(thinned(index, 1000, torch.Generator()), index)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Classify(tau_norm=2.0), "tau_norm must lie in"),
        (lambda: Curriculum(start_ratio=0.0), "start_ratio and end_ratio must be positive"),
        (lambda: Curriculum(ramp=0.0), "ramp must lie in"),
        (
            lambda: Classify(model=replace(TINY_GAT, sequence_pool="gru")),
            "sequence_pool 'gru' needs sequences",
        ),
        (lambda: Undersample(benign_per_attack=0.0), "benign_per_attack must be positive"),
        (lambda: replace(EXTRACT, train_on="all"), "train_on must be one of"),
        (lambda: replace(EXTRACT, max_train=0), "max_train and max_validation"),
        (
            lambda: replace(EXTRACT, autoencoder=replace(AUTOENCODE, model=DGIConfig())),
            "the fusion reads the errors of a VGAE",
        ),
        (
            lambda: replace(
                AUTOENCODE, model=DGIConfig(), teacher=Record(detector=AUTOENCODE, nodes=True)
            ),
            "a teacher needs a VGAE as its student",
        ),
        (lambda: Fuse(states=EXTRACT, batch_size=0), "batch_size must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
    assert FIT.monitor == "val_loss"


def test_a_curriculum_is_judged_after_its_ramp(prepared: Handoff) -> None:
    """Weights of an earlier epoch would be those of another curriculum."""
    fit = FitConfig(max_epochs=4, patience=1)
    stage = replace(STUDENT, sampling=Curriculum(ramp=1.0), fit=fit)
    assert run(stage, {"data": prepared}).meta["best_epoch"] == 3
    half = replace(stage, sampling=Curriculum(ramp=0.5))
    assert run(half, {"data": prepared}).meta["best_epoch"] >= 1


def test_a_row_says_how_many_windows_it_saw(prepared: Handoff) -> None:
    every, some, all_of_them = (
        run(replace(STUDENT, sampling=sampling), {"data": prepared}).meta
        for sampling in (
            None,
            Undersample(benign_per_attack=2.0),
            Undersample(benign_per_attack=99),
        )
    )
    assert every["windows_seen"] == every["training_windows"] == all_of_them["windows_seen"]
    assert some["windows_seen"] < every["windows_seen"]


def test_teacher_and_no_teacher_start_from_the_same_weights(
    prepared: Handoff, said_by_autoencoder: Handoff
) -> None:
    """Else a paired difference would hold that of two initialisations."""
    fit = FitConfig(max_epochs=1, gradient_clip=1e-12, monitor="last")
    alone = replace(AUTOENCODE, model=replace(TINY_VGAE, lr=1e-12), fit=fit)
    taught = replace(alone, teacher=Record(detector=AUTOENCODE, nodes=True))
    first = run(alone, {"data": prepared})
    second = run(taught, {"data": prepared, "teacher": said_by_autoencoder})
    for name, tensor in first.files[MODEL_FILE].tensors.items():
        torch.testing.assert_close(second.files[MODEL_FILE].tensors[name], tensor, msg=name)


def test_an_empty_test_subset_has_empty_states(
    prepared: Handoff, autoencoded: Handoff, classified: Handoff
) -> None:
    data = Prepared.of(prepared)
    none = data.tests[TEST].select(torch.empty(0, dtype=torch.int64))
    file = replace(prepared.files[TEST], tensors=none.tensors())
    empty = replace(prepared, files={**prepared.files, TEST: file})
    inputs = {"data": empty, "autoencoder": autoencoded, "classifier": classified}
    states = run(EXTRACT, inputs).files[TEST].tensors
    assert {len(tensor) for tensor in states.values()} == {0}
