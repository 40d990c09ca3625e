"""Fusion heads: order of the state, direction of the score, standardised inputs."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

import pytest
import torch
from model_samples import ORDER, Batches, Metrics, quiet_trainer, states
from tensordict import TensorDict

from graphids.core.metrics import auroc
from graphids.core.models import (
    MLPFusionConfig,
    MLPFusionModule,
    WeightedAvgConfig,
    WeightedAvgModule,
    build_mlp_body,
    flatten_features,
)
from graphids.core.models.fusion import (
    FusionConfig,
    FusionModuleBase,
    MoEFusionConfig,
    MoEFusionModule,
)


def test_the_state_has_eighteen_columns_in_lexicographic_order() -> None:
    td = states()
    flat = flatten_features(td)
    assert flat.shape == (200, 18)
    assert torch.equal(flat, torch.cat([td[key] for key in ORDER], dim=-1))
    shuffled = TensorDict({key: td[key] for key in reversed(ORDER)}, batch_size=[200])
    assert torch.equal(flatten_features(shuffled), flat)


def test_plain_keys_are_metadata_and_vectors_count_as_columns() -> None:
    td = TensorDict({("vgae", "rq"): torch.ones(5), "labels": torch.zeros(5)}, batch_size=[5])
    assert torch.equal(flatten_features(td), torch.ones(5, 1))
    with pytest.raises(ValueError, match="no features"):
        flatten_features(TensorDict({"labels": torch.zeros(5)}, batch_size=[5]))


def test_lesson_37_the_weighted_average_rises_with_both_detectors() -> None:
    td = states()
    head = WeightedAvgModule()
    assert float(head.alpha.detach()) == 0.5
    before = head.forward_scores(td)
    assert auroc(before.detach(), td["labels"]) > 0.8
    surer = td.clone()
    surer["gat", "probs"] = torch.tensor([0.0, 1.0]).expand(200, 2)
    assert (head.forward_scores(surer) >= before).all()
    odder = td.clone()
    odder["vgae", "conf"] = torch.zeros(200, 1)
    assert (head.forward_scores(odder) >= before).all()
    with torch.no_grad():
        head.weight.fill_(30.0)
    assert torch.allclose(head.forward_scores(td), td["gat", "probs"][:, 1])
    with torch.no_grad():
        head.weight.fill_(-30.0)
    assert torch.allclose(head.forward_scores(td), 1 - td["vgae", "conf"].squeeze(-1))


def test_d31_inputs_are_standardised_by_the_training_states() -> None:
    td = states()
    head = MLPFusionModule()
    assert torch.equal(head.standardised(td), flatten_features(td))
    head.fit_features(td)
    columns = head.standardised(td)
    assert torch.allclose(columns.mean(0), torch.zeros(18), atol=1e-4)
    assert torch.allclose(columns.std(0, correction=0), torch.ones(18), atol=1e-3)
    constant = td.clone()
    constant["vgae", "rq"] = torch.full((200, 1), 7.0)
    head.fit_features(constant)
    assert head.standardised(constant)[:, 12].abs().max() < 1e-5


def test_a_state_of_another_width_is_named() -> None:
    with pytest.raises(ValueError, match=r"the state has 18 features.*state_dim=18"):
        MLPFusionModule(state_dim=15).forward_scores(states())


@pytest.mark.parametrize(
    "config", [MLPFusionConfig(lr=1e-2), WeightedAvgConfig(lr=0.1), MoEFusionConfig(lr=1e-2)]
)
def test_canary_training_lowers_the_loss_and_ranks_attacks_first(
    config: MLPFusionConfig | WeightedAvgConfig | MoEFusionConfig,
) -> None:
    torch.manual_seed(0)
    train, unseen = states(), states(seed=5)
    head = config.build(18)
    head.fit_features(train)
    keep = Metrics()
    trainer = quiet_trainer(max_epochs=30, callbacks=[keep], num_sanity_val_steps=0)
    trainer.fit(head, Batches(train), Batches(unseen))
    assert keep.epochs[-1].keys() >= {"train_loss", "val_loss", "val_acc", "val_auroc"}
    assert keep.epochs[-1]["val_loss"] < keep.epochs[0]["val_loss"]
    assert auroc(head.predict_scores(unseen), unseen["labels"]) > 0.85
    assert head.predict_scores(unseen).dtype == torch.float64
    (found,) = quiet_trainer().test(head, Batches(unseen), verbose=False)
    assert found["test/all/f1"] > 0.5


class Dropping(FusionModuleBase):
    """A head that gives ``predict_scores`` nothing of its own."""

    def forward_scores(self, td: TensorDict) -> torch.Tensor:
        return torch.dropout(td["gat", "probs"][:, 1], 0.5, self.training)


@pytest.mark.parametrize(
    "head", [MLPFusionModule(), WeightedAvgModule(), MoEFusionModule(), Dropping(18)]
)
def test_scores_of_a_fresh_head_repeat(head: FusionModuleBase) -> None:
    td = states()
    first = head.predict_scores(td)
    assert head.training
    assert torch.equal(head.predict_scores(td), first)
    assert torch.equal(head.eval().predict_scores(td), first)


def test_confident_windows_do_not_tie() -> None:
    torch.manual_seed(0)
    head, td = MLPFusionModule(), states(20)
    head.fit_features(td)
    with torch.no_grad():
        head.net[-1].bias.fill_(25.0)
    with torch.no_grad():
        assert head.eval().predict_scores(td).unique().numel() == 20
        assert torch.allclose(head(td).sum(-1), torch.ones(20))


def test_a_loss_that_is_not_finite_stops_training() -> None:
    head = WeightedAvgModule()
    td = states()
    td["gat", "probs"][0] = float("nan")
    with pytest.raises(FloatingPointError, match="mean WeightedAvgModule score is nan"):
        head.compute_loss(td)


def test_the_body_has_no_head() -> None:
    body = build_mlp_body(18, 32, 3)
    assert [type(layer).__name__ for layer in body] == [
        "Linear",
        "LayerNorm",
        "ReLU",
        "Dropout",
    ] * 3
    assert body(torch.randn(4, 18)).shape == (4, 32)


def changed(value: object) -> object:
    """Another valid value of a setting."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case float():
            return value * 0.9
        case str():
            return "minimal"
    return (7,)


@pytest.mark.parametrize("config_class", get_args(FusionConfig))
def test_every_setting_reaches_the_head(config_class: type[MoEFusionConfig]) -> None:
    settings = {field.name: changed(field.default) for field in fields(config_class)}
    found = dict(config_class(**settings).build(9).hparams)
    assert found["state_dim"] == 9
    if "reward" in settings:
        found["reward"] = found["reward_kwargs"]["kind"]
    for name, value in settings.items():
        assert found[name] == (list(value) if isinstance(value, tuple) else value)


def test_diagnostics_give_alpha_and_nothing_where_nothing_is_told() -> None:
    assert WeightedAvgModule().diagnostics(states()) == {"alpha": 0.5}
    assert MLPFusionModule().diagnostics(states()) == {}


def test_a_threshold_from_validation_replaces_the_setting() -> None:
    head = MLPFusionModule(decision_threshold=0.3)
    assert head.decision_threshold == 0.3
    head.test_threshold = 0.7
    assert head.decision_threshold == 0.7


@pytest.mark.parametrize("head", [FusionModuleBase(3)])
def test_a_head_must_say_how_it_scores(head: FusionModuleBase) -> None:
    with pytest.raises(NotImplementedError):
        head.forward_scores(states())
