"""Students of recorded teachers: the formulas, who gets a gradient, and what is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_samples import part, random_graphs
from torch import Tensor, nn
from torch.nn import functional

from graphids.core.batch import GraphBatch
from graphids.core.losses import (
    CrossEntropy,
    FeatureDistillation,
    RecordedLogits,
    RecordedNodes,
    SoftLabelDistillation,
    TeacherNodes,
    VGAEOutputs,
    VGAETaskLoss,
    build_loss,
)
from graphids.core.models import GAT
from graphids.core.models.checkpoint import checkpoint_tensors, model_from_checkpoint_tensors

N = 20
BATCH = random_graphs(N, seed=3)
V = BATCH.num_nodes
STUDENT, TEACHER = 6, 9


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def nodes_record() -> RecordedNodes:
    return RecordedNodes(noise(V, TEACHER, seed=1), noise(V, 35, seed=2), BATCH.ptr)


def student(batch: GraphBatch = BATCH) -> tuple[VGAEOutputs, Tensor]:
    """Outputs and means of an untrained student, as leaves of the graph of gradients."""
    v, e = batch.num_nodes, batch.edge_attr.shape[0]
    outputs = VGAEOutputs(
        noise(v, 35, seed=3).requires_grad_(),
        noise(v, 20, seed=4),
        noise(v, STUDENT, seed=5),
        noise(v, STUDENT, seed=6),
        noise(v, seed=7).square(),
        noise(e, 11, seed=8),
    )
    return outputs, noise(v, STUDENT, seed=9).requires_grad_()


def features(**settings: float) -> FeatureDistillation:
    torch.manual_seed(0)
    return FeatureDistillation(VGAETaskLoss(), nodes_record(), STUDENT, TEACHER, **settings)


@pytest.mark.parametrize("base", ["ce", "weighted_ce", "focal"])
@pytest.mark.parametrize(("reduction", "of_kl"), [("mean", "batchmean"), ("sum", "sum")])
def test_soft_labels_agree_with_torch(base: str, reduction: str, of_kl: str) -> None:
    logits, wanted = noise(2, N, 2)
    hard = build_loss(base, reduction=reduction)
    loss_fn = SoftLabelDistillation(hard, RecordedLogits(wanted), temperature=3.0, alpha=0.4)
    divergence = functional.kl_div(
        (logits / 3).log_softmax(-1), (wanted / 3).softmax(-1), reduction=of_kl
    )
    expected = 0.4 * 9 * divergence + 0.6 * hard(logits, BATCH.y)
    assert torch.allclose(loss_fn(logits, BATCH.y, graph=BATCH), expected)
    parts = loss_fn.components()
    total = 0.4 * parts["soft_loss"] + 0.6 * parts["hard_loss"]
    assert torch.allclose(total, expected)
    each = SoftLabelDistillation(
        build_loss(base, reduction="none"), RecordedLogits(wanted), temperature=3.0, alpha=0.4
    )(logits, BATCH.y, graph=BATCH)
    assert each.shape == (N,)
    if reduction == "sum":
        assert torch.allclose(each.sum(), expected)


def test_a_student_that_agrees_has_no_soft_loss() -> None:
    logits = 40 * noise(N, 2)
    loss_fn = SoftLabelDistillation(CrossEntropy(), RecordedLogits(logits), alpha=1.0)
    assert float(loss_fn(logits, BATCH.y, graph=BATCH)) == pytest.approx(0.0, abs=1e-6)


def test_the_gradient_reaches_the_student_and_not_a_live_teacher() -> None:
    teacher = nn.Linear(35, 2)
    logits = noise(N, 2).requires_grad_()
    loss_fn = SoftLabelDistillation(build_loss("weighted_ce"), lambda graph: teacher(graph.x[:N]))
    loss_fn(logits, BATCH.y, graph=BATCH).backward()
    assert logits.grad.abs().min() > 0
    assert teacher.weight.grad is None


def test_a_teacher_is_no_part_of_the_state_and_is_not_moved() -> None:
    class Live(nn.Linear):
        """A teacher that is a module."""

    teacher = Live(35, 2)
    soft = SoftLabelDistillation(build_loss("weighted_ce"), teacher).to(torch.float64)
    assert soft.state_dict().keys() == {"base.weight"}
    assert not list(soft.parameters())
    assert teacher.weight.dtype == torch.float32
    assert features().state_dict().keys() == {"projection.weight", "projection.bias"}
    same = FeatureDistillation(VGAETaskLoss(), nodes_record(), TEACHER, TEACHER)
    assert not list(same.parameters())


def test_a_checkpoint_of_a_student_restores_its_base_loss_alone() -> None:
    loss_fn = SoftLabelDistillation(build_loss("focal", gamma=1.5), RecordedLogits(noise(N, 2)))
    model = GAT(num_ids=20, in_channels=35, loss_fn=loss_fn)
    loaded = model_from_checkpoint_tensors(*checkpoint_tensors(model))
    assert type(loaded.loss_fn) is type(loss_fn.base)
    assert loaded.loss_fn.gamma == 1.5


@given(st.lists(st.booleans(), min_size=N, max_size=N))
def test_d30_a_record_gives_each_batch_the_rows_of_its_windows(keep: list[bool]) -> None:
    kept = torch.tensor(keep)
    found = part(BATCH, kept)
    logits = noise(N, 2)
    assert torch.equal(RecordedLogits(logits)(found), logits[kept])
    record = nodes_record()
    rows = kept[BATCH.batch]
    wanted = record(found)
    assert torch.equal(wanted.mu, record.mu[rows])
    assert torch.equal(wanted.reconstruction, record.reconstruction[rows])


def test_d30_rows_follow_the_order_of_the_batch() -> None:
    first, second = (part(BATCH, BATCH.graph_index == i) for i in (4, 11))
    swapped = replace(
        first,
        x=torch.cat((second.x, first.x)),
        ptr=torch.tensor([0, second.num_nodes, second.num_nodes + first.num_nodes]),
        graph_index=torch.tensor([11, 4]),
    )
    record = nodes_record()
    expected = torch.cat((record(second).mu, record(first).mu))
    assert torch.equal(record(swapped).mu, expected)


def test_a_teacher_of_another_dataset_is_refused() -> None:
    more = random_graphs(N + 1)
    for teacher in (RecordedLogits(noise(N, 2)), nodes_record()):
        with pytest.raises(ValueError, match=r"window 20 .*another dataset; record them"):
            teacher(more)
    with pytest.raises(ValueError, match="window -1 is outside"):
        RecordedLogits(noise(N, 2))(replace(BATCH, graph_index=BATCH.graph_index - 1))
    with pytest.raises(ValueError, match=r"nodes, recorded were .*another dataset; record them"):
        nodes_record()(random_graphs(N, seed=99))
    with pytest.raises(ValueError, match="give the rows of every node"):
        RecordedNodes(noise(V, 4), noise(V - 1, 35), BATCH.ptr)
    loss_fn = SoftLabelDistillation(CrossEntropy(), RecordedLogits(noise(N, 3)))
    with pytest.raises(ValueError, match=r"teacher's logits must be \[20, 2\] \(got \[20, 3\]\)"):
        loss_fn(noise(N, 2), BATCH.y, graph=BATCH)
    with pytest.raises(ValueError, match="call the loss with graph=batch"):
        loss_fn(noise(N, 2), BATCH.y)


def test_features_agree_with_torch_over_the_nodes_that_the_student_saw() -> None:
    outputs, mu = student()
    mask = torch.arange(V) % 3 == 0
    loss_fn = features(alpha=0.6, latent_weight=0.5, recon_weight=2.0)
    wanted = loss_fn._teacher[0](BATCH)
    latent = functional.mse_loss(loss_fn.projection(mu)[~mask], wanted.mu[~mask])
    recon = functional.mse_loss(outputs.reconstruction[~mask], wanted.reconstruction[~mask])
    task = VGAETaskLoss()(outputs, BATCH, mask)
    found = loss_fn(outputs, BATCH, mask, mu)
    assert torch.allclose(found, 0.6 * (0.5 * latent + 2.0 * recon) + 0.4 * task)
    parts = loss_fn.components()
    assert torch.allclose(parts["kd_loss"], 0.5 * latent + 2.0 * recon)
    assert torch.allclose(parts["task_loss"], task)
    assert {"recon", "canid", "kl", "nbr", "edge"} <= parts.keys()


def test_the_gradient_reaches_student_and_projection() -> None:
    outputs, mu = student()
    loss_fn = features(alpha=1.0)
    loss_fn(outputs, BATCH, None, mu).backward()
    assert mu.grad.abs().sum() > 0
    assert outputs.reconstruction.grad.abs().sum() > 0
    assert loss_fn.projection.weight.grad.abs().sum() > 0
    assert not loss_fn._teacher[0].mu.requires_grad


def test_d29_neither_samples_nor_hidden_nodes_are_matched() -> None:
    outputs, mu = student()
    mask = torch.arange(V) % 4 == 1
    loss_fn = features(alpha=1.0)
    found = loss_fn(outputs, BATCH, mask, mu)
    assert torch.equal(loss_fn(outputs._replace(z=outputs.z + 5), BATCH, mask, mu), found)
    moved = outputs._replace(reconstruction=outputs.reconstruction + 9 * mask.unsqueeze(-1))
    assert torch.equal(loss_fn(moved, BATCH, mask, mu + mask.unsqueeze(-1)), found)
    assert loss_fn(moved, BATCH, None, mu) > found


def test_without_a_node_that_was_seen_the_teacher_counts_nothing() -> None:
    outputs, mu = student()
    loss_fn = features()
    loss_fn(outputs, BATCH, torch.ones(V, dtype=torch.bool), mu).backward()
    assert loss_fn.components()["kd_loss"] == 0.0
    assert loss_fn.projection.weight.grad.abs().sum() == 0


def test_features_that_do_not_fit_are_refused() -> None:
    outputs, mu = student()
    with pytest.raises(ValueError, match="call the loss with mu"):
        features()(outputs, BATCH)
    with pytest.raises(ValueError, match="the student's mu must be"):
        features()(outputs, BATCH, None, mu[1:])
    narrow = FeatureDistillation(
        VGAETaskLoss(),
        lambda batch: TeacherNodes(batch.x[:, :1], batch.x),
        STUDENT,
        TEACHER,
    )
    with pytest.raises(ValueError, match=r"the teacher's mu must be \[\d+, 9\] \(got \[\d+, 1\]\)"):
        narrow(outputs, BATCH, None, mu)


@pytest.mark.parametrize("settings", [{"alpha": 1.5}, {"alpha": -0.1}, {"latent_weight": -1.0}])
def test_numbers_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        features(**settings)
    with pytest.raises(ValueError, match="temperature must be positive"):
        SoftLabelDistillation(CrossEntropy(), RecordedLogits(noise(N, 2)), temperature=0.0)


def test_a_loss_that_is_not_finite_names_each_component() -> None:
    outputs, mu = student()
    with pytest.raises(FloatingPointError, match=r"task_loss=\d.*kd_loss=nan.*recon=\d"):
        features()(outputs, BATCH, None, mu * math.nan)
    loss_fn = SoftLabelDistillation(CrossEntropy(), RecordedLogits(noise(N, 2) * math.nan))
    with pytest.raises(FloatingPointError, match=r"hard_loss=\d.*soft_loss=nan"):
        loss_fn(noise(N, 2), BATCH.y, graph=BATCH)
