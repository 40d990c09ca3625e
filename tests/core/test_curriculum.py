"""Which windows a curriculum counts, whatever the batches, and what it makes of their losses."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from model_samples import part, random_graphs
from torch import Tensor

from graphids.core.losses import (
    CrossEntropy,
    CurriculumLoss,
    LinearRamp,
    SoftLabelDistillation,
    WindowLoss,
    build_loss,
    difficulty_rank,
)

N = 30
BATCH = random_graphs(N, seed=7)
DIFFICULTY = torch.rand(N, generator=torch.Generator().manual_seed(8))
IN_SCOPE = BATCH.y == 0
UP = LinearRamp(start_ratio=1.0, end_ratio=10.0, max_epochs=10)
DOWN = LinearRamp(start_ratio=10.0, end_ratio=1.0, max_epochs=10)


def curriculum(base: WindowLoss | None = None, ramp: LinearRamp = UP) -> CurriculumLoss:
    rank = difficulty_rank(DIFFICULTY, IN_SCOPE)
    return CurriculumLoss(base or CrossEntropy("none"), rank, IN_SCOPE, ramp)


def active(loss_fn: CurriculumLoss, batches: list[Tensor]) -> set[int]:
    """Windows whose logits get a gradient when the batches ``[n]`` are trained on."""
    logits = torch.zeros(N, 2, requires_grad=True)
    for index in batches:
        keep = torch.isin(torch.arange(N), index)
        found = part(BATCH, keep)
        loss_fn(logits[keep], found.y, graph=found).backward()
    return set((logits.grad.abs().sum(-1) > 0).nonzero().flatten().tolist())


def easiest(count: int) -> set[int]:
    """The easiest benign windows and every attack."""
    benign = sorted((float(DIFFICULTY[i]), i) for i in range(N) if BATCH.y[i] == 0)
    return {i for _, i in benign[:count]} | {i for i in range(N) if BATCH.y[i] == 1}


@given(st.lists(st.integers(0, 4), min_size=N, max_size=N), st.integers(0, 12))
def test_d23_the_batches_do_not_change_which_windows_count(cuts: list[int], epoch: int) -> None:
    loss_fn = curriculum()
    loss_fn.set_epoch(epoch)
    batch_of = torch.tensor(cuts)
    batches = [(batch_of == i).nonzero().flatten() for i in batch_of.unique()]
    count = math.ceil(UP.fraction(epoch) * int(IN_SCOPE.sum()))
    assert active(loss_fn, batches) == easiest(count)


def test_low_to_high_grows_to_all_and_high_to_low_shrinks_to_the_easiest_tenth() -> None:
    everything, in_scope = [torch.arange(N)], int(IN_SCOPE.sum())
    tenth = math.ceil(in_scope / 10)
    assert 1 < tenth < in_scope
    for ramp, first, last in ((UP, tenth, in_scope), (DOWN, in_scope, tenth)):
        loss_fn = curriculum(ramp=ramp)
        assert active(loss_fn, everything) == easiest(first)
        for epoch in (9, 500):
            loss_fn.set_epoch(epoch)
            assert active(loss_fn, everything) == easiest(last)
    shares = [[ramp.fraction(epoch) for epoch in range(10)] for ramp in (UP, DOWN)]
    assert shares[0] == sorted(shares[0])
    assert shares[1] == pytest.approx(shares[0][::-1])
    assert LinearRamp(max_epochs=1).fraction(0) == pytest.approx(0.1)


def test_the_loss_is_the_mean_over_the_windows_that_count() -> None:
    logits = torch.randn(N, 2, generator=torch.Generator().manual_seed(1))
    each = torch.nn.functional.cross_entropy(logits, BATCH.y, reduction="none")
    loss_fn = curriculum()
    kept = easiest(math.ceil(int(IN_SCOPE.sum()) / 10))
    found = loss_fn(logits, BATCH.y, graph=BATCH)
    assert found.item() == pytest.approx(float(each[sorted(kept)].mean()))
    assert float(loss_fn.components()["active_share"]) == pytest.approx(len(kept) / N)
    plain = loss_fn.eval()(logits, BATCH.y)
    assert plain.item() == pytest.approx(float(each.mean()))
    assert loss_fn.components()["active_share"] == 1.0


def test_a_batch_in_which_none_counts_has_loss_and_gradient_0() -> None:
    hardest = int(torch.where(IN_SCOPE, DIFFICULTY, -1.0).argmax())
    found = part(BATCH, torch.arange(N) == hardest)
    logits = torch.full((1, 2), math.inf, requires_grad=True)
    loss = curriculum()(logits, found.y, graph=found)
    assert loss == 0.0
    scale = torch.zeros(1, 2, requires_grad=True)
    curriculum()(scale, found.y, graph=found).backward()
    assert (scale.grad == 0).all()


def test_d22_a_curriculum_around_a_distillation_is_the_loop_over_its_windows() -> None:
    generator = torch.Generator().manual_seed(2)
    logits, wanted = torch.randn(2, N, 2, generator=generator)
    inner = SoftLabelDistillation(build_loss("focal", reduction="none"), lambda _: wanted, 3.0, 0.4)
    loss_fn = curriculum(inner)
    loss_fn.set_epoch(4)
    kept = easiest(loss_fn.num_active)
    total = 0.0
    for i in kept:
        teacher, student = (wanted[i] / 3).softmax(-1), (logits[i] / 3).softmax(-1)
        divergence = float((teacher * (teacher / student).log()).sum())
        right = float(logits[i].softmax(-1)[BATCH.y[i]])
        total += 0.4 * 9 * divergence + 0.6 * (1 - right) ** 2 * -math.log(right)
    found = loss_fn(logits, BATCH.y, graph=BATCH)
    assert found.item() == pytest.approx(total / len(kept), rel=1e-5)
    assert {"active_share", "hard_loss", "soft_loss"} <= loss_fn.components().keys()


def test_d22_a_distillation_around_a_curriculum_gives_it_graph_and_epoch() -> None:
    logits = torch.randn(N, 2, generator=torch.Generator().manual_seed(2))
    inner = curriculum()
    outer = SoftLabelDistillation(inner, lambda _: logits, alpha=0.0)
    outer.set_epoch(4)
    alone = curriculum()
    alone.set_epoch(4)
    assert torch.equal(outer(logits, BATCH.y, graph=BATCH), alone(logits, BATCH.y, graph=BATCH))
    assert inner.components()["active_share"] < 1.0


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=1, max_size=30))
def test_ranks_order_the_scope_and_leave_the_rest_out(windows: list[tuple[int, bool]]) -> None:
    difficulty = torch.tensor([float(value) for value, _ in windows])
    in_scope = torch.tensor([inside for _, inside in windows])
    rank = difficulty_rank(difficulty, in_scope)
    scope = [i for i, (_, inside) in enumerate(windows) if inside]
    assert (rank[~in_scope] == -1).all()
    # Python's sort is stable as well.
    for position, window in enumerate(sorted(scope, key=lambda i: windows[i][0])):
        assert rank[window] == position


def test_windows_and_ranks_of_another_dataset_are_refused() -> None:
    more = random_graphs(N + 1)
    with pytest.raises(ValueError, match=r"window 30 .* 30 recorded windows.*another dataset"):
        curriculum()(torch.zeros(N + 1, 2), more.y, graph=more)
    with pytest.raises(ValueError, match="call the loss with graph=batch"):
        curriculum()(torch.zeros(N, 2), BATCH.y)
    rank = difficulty_rank(DIFFICULTY, torch.ones(N, dtype=torch.bool))
    with pytest.raises(ValueError, match="take it from difficulty_rank"):
        CurriculumLoss(CrossEntropy("none"), rank, IN_SCOPE, UP)
    with pytest.raises(ValueError, match="and -1 elsewhere"):
        CurriculumLoss(CrossEntropy("none"), rank, rank < 5, UP)
    with pytest.raises(ValueError, match="no window is in scope"):
        CurriculumLoss(CrossEntropy("none"), rank, torch.zeros(N, dtype=torch.bool), UP)
    with pytest.raises(ValueError, match="reduces them by mean"):
        curriculum(CrossEntropy())
    with pytest.raises(ValueError, match="have no difficulty"):
        difficulty_rank(torch.full((3,), math.nan), torch.tensor([True, False, True]))
    with pytest.raises(ValueError, match="must be positive"):
        LinearRamp(start_ratio=0.0)


def test_ranks_are_no_part_of_the_state() -> None:
    assert curriculum(build_loss("weighted_ce", reduction="none")).state_dict().keys() == {
        "base.weight"
    }


def test_a_loss_that_is_not_finite_names_each_component() -> None:
    logits = torch.full((N, 2), math.nan)
    inner = SoftLabelDistillation(CrossEntropy("none"), lambda _: torch.zeros(N, 2))
    with pytest.raises(FloatingPointError, match=r"active_share=\d.*hard_loss=nan.*soft_loss=nan"):
        curriculum(inner)(logits, BATCH.y, graph=BATCH)
