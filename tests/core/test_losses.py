"""Losses against torch and torchvision's formula, and what the autoencoder's terms must hold."""

from __future__ import annotations

import math

import pytest
import torch
from model_samples import part, random_graphs
from torch import nn
from torch.nn import functional

from graphids.core.batch import GraphBatch
from graphids.core.losses import (
    LOSSES,
    CurriculumLoss,
    FeatureDistillation,
    LinearRamp,
    RunningLoss,
    SoftLabelDistillation,
    VGAETaskLoss,
    WindowLoss,
    build_loss,
    describe_loss,
    loss_name,
)
from graphids.core.losses.autoencoder import gaussian_divergence, neighbour_mean
from graphids.core.models import VGAE


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(40, 2, generator=torch.Generator().manual_seed(1)) * 3


@pytest.fixture
def labels() -> torch.Tensor:
    return (torch.rand(40, generator=torch.Generator().manual_seed(2)) < 0.3).long()


@pytest.mark.parametrize("name", ["ce", "weighted_ce", "focal"])
def test_reductions_agree(name: str, logits: torch.Tensor, labels: torch.Tensor) -> None:
    each = build_loss(name, reduction="none")(logits, labels, graph=None)
    assert each.shape == (40,)
    assert build_loss(name, reduction="sum")(logits, labels).item() == pytest.approx(
        each.sum().item(), rel=1e-5
    )
    weight = torch.tensor([1.0, 5.0])[labels].sum() if name == "weighted_ce" else 40
    mean = build_loss(name)(logits, labels)
    assert mean.item() == pytest.approx((each.sum() / weight).item(), rel=1e-5)


def test_focal_without_focus_is_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> None:
    assert torch.allclose(
        build_loss("focal", gamma=0.0)(logits, labels), build_loss("ce")(logits, labels)
    )


def test_focal_agrees_with_its_formula(logits: torch.Tensor, labels: torch.Tensor) -> None:
    p = logits.double().softmax(-1).gather(1, labels[:, None]).squeeze(1)
    expected = -((1 - p) ** 2 * p.log()).mean()
    assert build_loss("focal")(logits, labels).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("gamma", [0.0, 0.01, 0.5, 1.0, 2.0])
def test_focal_has_a_gradient_on_a_saturated_window(gamma: float) -> None:
    logits = torch.tensor([[300.0, -300.0], [40.0, 0.0], [-1.0, 1.0]], requires_grad=True)
    build_loss("focal", gamma=gamma)(logits, torch.tensor([0, 0, 0])).backward()
    assert logits.grad.isfinite().all()
    assert logits.grad[0].abs().max() == 0
    assert logits.grad[2].abs().min() > 0


def test_weighted_ce_takes_its_weights(logits: torch.Tensor, labels: torch.Tensor) -> None:
    loss = build_loss("weighted_ce", class_weights=(1.0, 10.0))
    expected = functional.cross_entropy(logits, labels, weight=torch.tensor([1.0, 10.0]))
    assert torch.equal(loss(logits, labels), expected)


def test_a_requested_loss_is_the_one_that_is_built() -> None:
    for name, kind in LOSSES.items():
        assert type(build_loss(name)) is kind
    with pytest.raises(ValueError, match="no loss is called 'cross'"):
        build_loss("cross")
    with pytest.raises(ValueError, match="reduction"):
        build_loss("ce", reduction="avg")


def wrapped(kind: str) -> WindowLoss:
    """Wrappers around the loss whose mean divides by something else than the windows."""

    def teacher(graph: GraphBatch) -> torch.Tensor:
        return torch.randn(60, 2, generator=torch.Generator().manual_seed(3))[graph.graph_index]

    def curriculum(base: nn.Module) -> CurriculumLoss:
        everything = torch.ones(60, dtype=torch.bool)
        return CurriculumLoss(base, torch.arange(60), everything, LinearRamp())

    return {
        "sum": lambda: SoftLabelDistillation(build_loss("weighted_ce", reduction="sum"), teacher),
        "soft": lambda: SoftLabelDistillation(build_loss("weighted_ce"), teacher),
        "curriculum": lambda: curriculum(build_loss("weighted_ce", reduction="none")),
        "curriculum(soft)": lambda: curriculum(
            SoftLabelDistillation(build_loss("weighted_ce", reduction="none"), teacher)
        ),
        "soft(curriculum)": lambda: SoftLabelDistillation(
            curriculum(build_loss("weighted_ce", reduction="none")), teacher
        ),
    }[kind]()


KINDS = ["sum", "soft", "curriculum", "curriculum(soft)", "soft(curriculum)"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_running_loss_of_a_wrapper_is_that_of_all_windows(kind: str) -> None:
    batch = random_graphs(40, seed=4)
    logits = torch.randn(40, 2, generator=torch.Generator().manual_seed(5))
    loss_fn = wrapped(kind).eval()
    whole = loss_fn(logits, batch.y, graph=batch)
    running = RunningLoss(loss_fn)
    unequal = torch.tensor([0] * 3 + [1] * 25 + [2] * 12)[torch.argsort(batch.y)]
    for number in range(3):
        keep = unequal == number
        found = part(batch, keep)
        running.add(loss_fn(logits[keep], found.y, graph=found), found.y)
    assert running.value().item() == pytest.approx(whole.item(), rel=1e-6)


def test_the_running_loss_of_a_curriculum_in_training_is_that_of_the_windows_that_count() -> None:
    batch = random_graphs(40, seed=4)
    logits = torch.randn(40, 2, generator=torch.Generator().manual_seed(5))
    loss_fn = wrapped("curriculum(soft)")
    whole = loss_fn(logits, batch.y, graph=batch)
    running = RunningLoss(loss_fn)
    for keep in (batch.graph_index % 3 == 0, batch.graph_index % 3 > 0):
        found = part(batch, keep)
        running.add(loss_fn(logits[keep], found.y, graph=found), found.y)
    assert running.value().item() == pytest.approx(whole.item(), rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrapped_loss_is_described_by_its_base(kind: str) -> None:
    loss_fn = wrapped(kind)
    built = build_loss(**describe_loss(loss_fn))
    assert loss_name(built) == "WeightedCrossEntropy"
    assert built.reduction == loss_fn.reduction


def test_a_foreign_base_has_no_description() -> None:
    class Own(WindowLoss):
        """A class of one's own."""

    assert describe_loss(SoftLabelDistillation(Own("mean"), lambda graph: graph.x)) is None
    with pytest.raises(TypeError, match="wrapped loss must be a WindowLoss"):
        SoftLabelDistillation(torch.nn.CrossEntropyLoss(), lambda graph: graph.x)


def test_the_name_of_a_loss_tells_every_wrapper() -> None:
    assert loss_name(build_loss("focal")) == "FocalLoss"
    found = loss_name(wrapped("curriculum(soft)"))
    assert found == "CurriculumLoss(SoftLabelDistillation(WeightedCrossEntropy))"
    student = FeatureDistillation(VGAETaskLoss(kl_weight=0.5), lambda graph: graph, 64, 128)
    assert loss_name(student) == "FeatureDistillation(VGAETaskLoss)"
    assert describe_loss(student) == describe_loss(VGAETaskLoss(kl_weight=0.5))


@pytest.mark.parametrize("seed", range(20))
def test_neighbourhood_divergence_is_never_negative(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows = int(torch.randint(2, 40, (), generator=generator))
    scale = 10 ** torch.empty(2).uniform_(-2, 1, generator=generator)
    predicted = torch.randn(rows, 8, generator=generator) * scale[0]
    actual = torch.randn(rows, 8, generator=generator) * scale[1]
    assert gaussian_divergence(predicted, actual) >= 0
    assert gaussian_divergence(actual, actual).abs() < 1e-5


def test_neighbourhood_divergence_agrees_with_torch_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    p, a = torch.randn(2, 50, 5, dtype=torch.float64, generator=generator)
    a = a * 2 + 1

    def normal(rows: torch.Tensor) -> torch.distributions.MultivariateNormal:
        covariance = rows.T.cov() + torch.eye(5, dtype=torch.float64)
        return torch.distributions.MultivariateNormal(rows.mean(0), covariance)

    expected = torch.distributions.kl_divergence(normal(p), normal(a))
    assert gaussian_divergence(p, a).item() == pytest.approx(expected.item(), rel=1e-9)


def test_one_node_has_no_neighbourhood_term() -> None:
    assert gaussian_divergence(torch.ones(1, 4), torch.zeros(1, 4)) == 0


def test_neighbour_mean_follows_edges_out_of_a_node() -> None:
    z = torch.tensor([[1.0], [2.0], [4.0]])
    edges = torch.tensor([[0, 0, 1], [1, 2, 2]])
    assert neighbour_mean(z, edges).tolist() == [[3.0], [4.0], [0.0]]


def test_task_loss_is_the_weighted_sum_of_what_it_remembers(make_batch) -> None:
    batch = make_batch()
    model = VGAE(num_ids=20, in_channels=35).eval()
    mask = torch.zeros(batch.num_nodes, dtype=torch.bool)
    mask[::5] = True
    loss = VGAETaskLoss()
    total = loss(model(batch, mask), batch, mask)
    terms = loss.components()
    weights = {"recon": 1.0, "canid": 0.1, "nbr": 0.1, "kl": 0.01, "edge": 0.1}
    expected = sum(weights[name] * float(terms[name]) for name in weights)
    assert total.item() == pytest.approx(expected, rel=1e-5)
    assert all(float(terms[name]) > 0 for name in weights)


def test_ids_are_judged_on_masked_nodes_alone(make_batch) -> None:
    batch = make_batch()
    model = VGAE(num_ids=20, in_channels=35).eval()
    mask = torch.zeros(batch.num_nodes, dtype=torch.bool)
    mask[::5] = True
    loss = VGAETaskLoss()
    outputs = model(batch, mask)
    whole = loss(outputs, batch, mask)
    alone = loss(outputs._replace(canid_logits=outputs.canid_logits[mask]), batch, mask)
    assert torch.allclose(whole, alone)
    nothing = torch.zeros_like(mask)
    loss(model(batch, nothing), batch, nothing)
    assert loss.last_canid == 0


def test_a_loss_that_is_not_finite_names_each_component(make_batch) -> None:
    batch = make_batch()
    model = VGAE(num_ids=20, in_channels=35)
    with torch.no_grad():
        model.net.canid_head.bias.fill_(math.nan)
    with pytest.raises(FloatingPointError, match=r"recon=\d.*canid=nan.*kl=\d.*nbr=\d.*edge=\d"):
        model.compute_loss(batch)
