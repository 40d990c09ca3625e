"""The LSTM over the layers against PyG's: outputs, gradients, memory, and paths that differ."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from probe_samples import allocated_peak
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch_geometric.nn import JumpingKnowledge

from graphids.core.models.supervised import jumping, layer_mean, products
from graphids.core.models.supervised.jumping import LayerAttention

WIDTH = 6


@pytest.fixture
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Full pieces of 20 nodes where the states are 6 wide, and of 3 for what is left; 6 are few."""
    monkeypatch.setattr(jumping, "FEW", 36)
    monkeypatch.setattr(layer_mean, "PIECE", 120)
    monkeypatch.setattr(products, "LEFT_OVER", 3)


@pytest.fixture
def _without_onednn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)


def pair(
    width: int, layers: int, dtype: torch.dtype = torch.float64
) -> tuple[LayerAttention, JumpingKnowledge]:
    """Ours and the library's with the same weights."""
    torch.manual_seed(3)
    own = LayerAttention(width, layers).to(dtype)
    library = JumpingKnowledge("lstm", width, layers).to(dtype)
    library.load_state_dict(own.state_dict())
    return own, library


def inputs(nodes: int, width: int, layers: int, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    generator = torch.Generator().manual_seed(nodes + layers)
    return [torch.randn(nodes, width, generator=generator, dtype=dtype) for _ in range(layers)]


def results(
    module: nn.Module, xs: Sequence[Tensor], frozen: Sequence[int] = ()
) -> tuple[Tensor, list[Tensor | None]]:
    """An output, and gradients of layers and weights by a sum that no symmetry makes 0."""
    leaves = [x.detach().requires_grad_(i not in frozen) for i, x in enumerate(xs)]
    module.zero_grad()
    out = module(leaves)
    if out.requires_grad:
        weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(1)).to(out)
        (out * weights).sum().backward()
    return out.detach(), [leaf.grad for leaf in (*leaves, *module.parameters())]


def assert_alike(
    ours: tuple[Tensor, list[Tensor | None]],
    theirs: tuple[Tensor, list[Tensor | None]],
    tolerance: float,
) -> None:
    """Whether outputs and gradients are equal to rounding, and the same gradients are missing."""
    # The gradient of the attention's bias is 0; the library's is a rest of rounding.
    largest = max([1.0, *(float(b.abs().max()) for b in theirs[1] if b is not None and b.numel())])
    torch.testing.assert_close(ours[0], theirs[0], rtol=0, atol=tolerance)
    for a, b in zip(ours[1], theirs[1], strict=True):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * largest)


@pytest.mark.usefixtures("_small_pieces")
@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("nodes", [0, 1, 2, 3, 4, 6, 19, 20, 21, 23, 24, 40, 47])
def test_outputs_and_gradients_are_the_library_s(nodes: int, layers: int) -> None:
    own, library = pair(WIDTH, layers)
    xs = inputs(nodes, WIDTH, layers)
    if nodes == 0:
        # The library's kernel takes no empty batch.
        out, gradients = results(own, xs)
        assert out.shape == (0, WIDTH)
        assert layers == 1 or all(not g.any() for g in gradients if g is not None)
        return
    theirs = results(library, xs)
    assert_alike(results(own, xs), theirs, 1e-12)
    with torch.no_grad():
        assert (own(xs) - theirs[0]).abs().max() <= 1e-12


@pytest.mark.parametrize("layers", [2, 3])
@pytest.mark.parametrize("nodes", [1, 20, 200, 1_500])
def test_single_precision_agrees_in_every_way_of_multiplying(nodes: int, layers: int) -> None:
    own, library = pair(96, layers, torch.float32)
    xs = inputs(nodes, 96, layers, torch.float32)
    theirs = results(library, xs)
    assert_alike(results(own, xs), theirs, 1e-5)
    with torch.no_grad():
        assert (own(xs) - theirs[0]).abs().max() <= 1e-6


@pytest.mark.usefixtures("_without_onednn")
def test_nothing_depends_on_onednn() -> None:
    own, library = pair(96, 2, torch.float32)
    xs = inputs(800, 96, 2, torch.float32)
    assert_alike(results(own, xs), results(library, xs), 1e-5)


@pytest.mark.usefixtures("_small_pieces")
def test_inputs_may_lie_in_memory_in_any_way() -> None:
    own, library = pair(WIDTH, 3)
    wide = torch.randn(47, 5 * WIDTH, dtype=torch.float64)
    xs = [wide[:, :WIDTH], wide[:, 1::5], torch.randn(WIDTH, 47, dtype=torch.float64).t()]
    assert not any(x.is_contiguous() for x in xs)
    assert_alike(results(own, xs), results(library, xs), 1e-12)
    with torch.no_grad():
        assert (own(xs) - library(xs)).abs().max() <= 1e-12
        few = [x[:7] for x in xs]
        assert (own(few) - library(few)).abs().max() <= 1e-12


@pytest.mark.usefixtures("_small_pieces")
@pytest.mark.parametrize("layers_frozen", [(), (0,), (0, 1)])
@pytest.mark.parametrize("weights_frozen", ["", "lstm", "att", "lstm att"])
def test_what_is_frozen_gets_no_gradient(
    layers_frozen: tuple[int, ...], weights_frozen: str
) -> None:
    own, library = pair(WIDTH, 2)
    for module in (own, library):
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(name.partition(".")[0] not in weights_frozen.split())
    xs = inputs(47, WIDTH, 2)
    found = results(own, xs, layers_frozen)
    assert_alike(found, results(library, xs, layers_frozen), 1e-12)
    assert [g is None for g in found[1][:2]] == [i in layers_frozen for i in range(2)]


@pytest.mark.usefixtures("_small_pieces")
@pytest.mark.parametrize("layers", [2, 3])
def test_gradients_agree_with_differences(layers: int) -> None:
    own, _ = pair(4, layers)
    xs = inputs(5, 4, layers)
    trained = [*xs, *own.parameters()]

    def out(*given: Tensor) -> Tensor:
        *lstm, att, att_bias = given[layers:]
        return layer_mean.layer_mean(given[:layers], att, att_bias, lstm)

    assert [name for name, _ in own.named_parameters()][-2:] == ["att.weight", "att.bias"]
    assert torch.autograd.gradcheck(out, [t.detach().requires_grad_() for t in trained])


@pytest.mark.usefixtures("_small_pieces")
def test_a_second_pass_back_gives_the_same() -> None:
    own, _ = pair(WIDTH, 2)
    out = own(inputs(47, WIDTH, 2)).square().sum()
    first = torch.autograd.grad(out, list(own.parameters()), retain_graph=True)
    second = torch.autograd.grad(out, list(own.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_step_takes_less_memory_than_the_library_s() -> None:
    own, library = pair(24, 2, torch.float32)
    xs = inputs(30_000, 24, 2, torch.float32)
    ours, theirs = (allocated_peak(lambda m=module: results(m, xs)) for module in (own, library))
    assert ours < 0.7 * theirs


def test_a_compiler_sees_the_library_s_way(monkeypatch: pytest.MonkeyPatch) -> None:
    own, library = pair(WIDTH, 2)
    xs = inputs(7, WIDTH, 2)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert torch.equal(own(xs), library(xs))


@pytest.mark.usefixtures("_small_pieces")
def test_a_checkpoint_around_it_gives_the_same_gradients() -> None:
    own, _ = pair(WIDTH, 2)
    xs = [x.requires_grad_() for x in inputs(47, WIDTH, 2)]
    plain = torch.autograd.grad(own(xs).square().sum(), xs)
    again = checkpoint(lambda *given: own(given), *xs, use_reentrant=False)
    assert all(map(torch.equal, plain, torch.autograd.grad(again.square().sum(), xs)))
