"""The mixture of experts: the gate's balance, its diagnostics, scores apart from the loss."""

from __future__ import annotations

import math

import pytest
import torch
from model_samples import Batches, Metrics, quiet_trainer, states
from torch.nn import functional

from graphids.core.models import checkpoint_tensors, model_from_checkpoint_tensors
from graphids.core.models.fusion import MoEFusionConfig, MoEFusionModule
from graphids.core.models.fusion.moe import balance_loss, gate_diagnostics


def test_the_balance_loss_is_one_for_equal_use_and_k_for_a_single_expert() -> None:
    uniform, collapsed = torch.full((9, 4), 0.25), torch.eye(4)[[2] * 9]
    assert balance_loss(uniform) == pytest.approx(1.0)
    assert balance_loss(collapsed) == pytest.approx(4.0)
    assert balance_loss(torch.eye(4)) == pytest.approx(1.0)


def test_lesson_41_the_diagnostics_show_a_collapsed_gate() -> None:
    same = torch.full((5, 3), 0.7)
    uniform = gate_diagnostics(torch.full((5, 3), 1 / 3), same)
    assert float(uniform["gate_entropy"]) == pytest.approx(math.log(3))
    assert float(uniform["expert_disagreement"]) == pytest.approx(0.0, abs=1e-12)
    collapsed = gate_diagnostics(torch.eye(3)[[1] * 5], torch.tensor([[0.0, 1.0, 0.5]] * 5))
    assert float(collapsed["gate_entropy"]) == 0.0
    assert [float(collapsed[f"expert_usage_{k}"]) for k in range(3)] == [0.0, 1.0, 0.0]
    assert float(collapsed["expert_disagreement"]) == pytest.approx(1 / 6)


def trained(aux_weight: float) -> list[dict[str, float]]:
    """What the epochs logged, from a gate that starts with the first expert alone."""
    torch.manual_seed(0)
    head = MoEFusionConfig(aux_weight=aux_weight, lr=1e-2).build(18)
    head.fit_features(states())
    with torch.no_grad():
        head.gate[-1].bias.copy_(torch.tensor([4.0, 0.0, 0.0]))
    keep = Metrics()
    trainer = quiet_trainer(max_epochs=10, callbacks=[keep], num_sanity_val_steps=0)
    trainer.fit(head, Batches(states()), Batches(states(seed=5)))
    return keep.epochs


def test_lesson_41_the_balance_loss_opens_a_gate_that_has_collapsed() -> None:
    free, held = trained(0.0), trained(10.0)
    assert held[0]["val_expert_usage_0"] > 0.9
    assert held[-1]["val_expert_usage_0"] < free[-1]["val_expert_usage_0"] - 0.1
    names = {"gate_entropy", "expert_usage_2", "expert_disagreement", "loss"}
    assert held[-1].keys() >= {f"{split}_{name}" for split in ("train", "val") for name in names}


def test_the_validation_loss_is_cross_entropy_alone() -> None:
    torch.manual_seed(0)
    td = states()
    head = MoEFusionModule(aux_weight=100.0)
    (found,) = quiet_trainer().validate(head, Batches(td), verbose=False)
    expected = functional.binary_cross_entropy(
        head.predict_scores(td).clamp(1e-7, 1 - 1e-7), td["labels"].double()
    )
    assert found["val_loss"] == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("num_experts", [1, 3])
def test_scores_are_the_experts_weighted_by_the_gate(num_experts: int) -> None:
    head, td = MoEFusionModule(num_experts=num_experts), states()
    weights, experts = head.gate_weights(td), head.expert_scores(td)
    assert weights.shape == experts.shape == (200, num_experts)
    assert weights.dtype == experts.dtype == torch.float64
    assert torch.allclose(weights.sum(-1), torch.ones(200, dtype=torch.float64))
    assert torch.allclose((weights * experts).sum(-1), head.predict_scores(td))
    assert head.training
    assert torch.allclose(head.eval().forward_scores(td).double(), head.predict_scores(td))


def test_confident_windows_do_not_tie() -> None:
    torch.manual_seed(0)
    head = MoEFusionModule()
    head.fit_features(states(20))
    with torch.no_grad():
        for expert in head.experts:
            expert[-1].bias.fill_(20.0)
    assert head.predict_scores(states(20)).unique().numel() == 20


def test_it_survives_the_round_trip() -> None:
    head = MoEFusionConfig(num_experts=2, expert_hidden=(8,), gate_hidden=(4, 4)).build(18)
    head.fit_features(states())
    loaded = model_from_checkpoint_tensors(*checkpoint_tensors(head), model_type="moe")
    assert torch.equal(loaded.predict_scores(states()), head.predict_scores(states()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_experts": 0}, "num_experts must be at least 1"),
        ({"gate_hidden": ()}, "gate_hidden must be at least one width"),
        ({"aux_weight": -1.0}, "aux_weight must not be negative"),
    ],
)
def test_ranges_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MoEFusionConfig(**settings)  # type: ignore[arg-type]
