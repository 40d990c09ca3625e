"""Attention in pieces against PyG's own, and prepared edges against a convolution that loops."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.nn import GATv2Conv

from graphids.core.batch import GraphBatch
from graphids.core.models import GAT, VGAE, edge_attention
from graphids.core.models.autoencoder.network import SIDE_BY_SIDE
from graphids.core.models.edge_attention import EdgeAttention, attend
from graphids.core.models.layers import parse_conv, prepare_edges

SIZES = {"num_ids": 20, "in_channels": 35}
MakeBatch = Callable[..., GraphBatch]


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pieces of a few edges, so that every batch has many and a last one that is not full."""
    monkeypatch.setattr(edge_attention, "PIECE", 100)


def with_loops(batch: GraphBatch) -> tuple[Tensor, Tensor]:
    """Edges of a batch that has loops, parallel edges and a node that no edge enters."""
    index, attr = batch.edge_index.clone(), batch.edge_attr
    index[:, :4] = torch.tensor([[0, 1, 1, 3], [0, 1, 2, 3]])
    index[:, 4] = index[:, 5]
    kept = index[1] != 7
    assert (index[0] == index[1]).sum() > 3
    return index[:, kept], attr[kept]


def gradients(
    module: nn.Module, forward: Callable[[Tensor], Tensor], x: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """An output, and the gradients of a sum over it that no symmetry makes 0."""
    x = x.clone().requires_grad_()
    found = forward(x)
    weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(3))
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return found.detach(), list(torch.autograd.grad((found * weights).sum(), [x, *trained]))


def assert_alike(ours: tuple[Tensor, list[Tensor]], theirs: tuple[Tensor, list[Tensor]]) -> None:
    """Whether outputs and gradients are equal to rounding."""
    for a, b in zip((ours[0], *ours[1]), (theirs[0], *theirs[1]), strict=True):
        assert (a - b).abs().max() <= 2e-5 * b.abs().max().clamp(min=1.0)


@pytest.mark.parametrize("loops", ["pyg", "keep"])
@pytest.mark.parametrize(("width", "heads", "concat"), [(6, 4, True), (9, 1, True), (5, 3, False)])
def test_outputs_and_gradients_are_those_of_pyg(
    loops: str, width: int, heads: int, concat: bool, make_batch: MakeBatch
) -> None:
    batch = make_batch()
    edge_index, edge_attr = with_loops(batch)
    ours = EdgeAttention(35, width, heads, edge_dim=11, concat=concat)
    theirs = GATv2Conv(35, width, heads, edge_dim=11, concat=concat, add_self_loops=loops == "pyg")
    nn.init.normal_(ours.bias)
    theirs.load_state_dict(ours.state_dict())
    conv = parse_conv("gatv2" if loops == "pyg" else "gatv2+keep")
    edges = prepare_edges(conv, edge_index, edge_attr, batch.x, 11)
    assert_alike(
        gradients(ours, lambda x: ours(x, *edges), batch.x),
        gradients(theirs, lambda x: theirs(x, edge_index, edge_attr), batch.x),
    )
    seen, weights = ours(batch.x, *edges, return_attention_weights=True)[1]
    plain, expected = theirs(batch.x, edge_index, edge_attr, return_attention_weights=True)[1]
    assert torch.equal(seen, plain)
    assert torch.allclose(weights, expected, atol=1e-6)


def test_gradients_agree_with_differences() -> None:
    torch.manual_seed(0)
    left, right = torch.randn(2, 5, 6, dtype=torch.float64)
    edge_index = torch.randint(0, 5, (2, 40))
    edge_attr = torch.randn(40, 3, dtype=torch.float64)
    trained = [left, right, torch.randn(6, 3).double(), torch.randn(2, 3).double()]
    for tensor in trained:
        tensor.requires_grad_()

    def out(*given: Tensor) -> Tensor:
        return attend(given[0], given[1], edge_index, edge_attr, given[2], given[3], 0.2)

    assert torch.autograd.gradcheck(out, trained)


def test_large_scores_neither_overflow_nor_vanish() -> None:
    left = torch.tensor([[1e4], [-1e4], [3.0]])
    edge_index = torch.tensor([[0, 1, 2], [2, 2, 2]])
    one = torch.ones(1, 1)
    found = attend(left, left, edge_index, torch.zeros(3, 1), one, one, 0.2)
    assert found.flatten().tolist() == [0.0, 0.0, 1e4]
    lowest = attend(left, left, edge_index[:, 1:2], torch.zeros(1, 1), one, one, 0.2)
    assert lowest.flatten().tolist() == [0.0, 0.0, -1e4]


def test_edge_features_that_are_trained_get_their_gradient(make_batch: MakeBatch) -> None:
    batch = make_batch(2)
    conv = EdgeAttention(35, 4, 2, edge_dim=11)
    edge_attr = batch.edge_attr.clone().requires_grad_()
    conv(batch.x, batch.edge_index, edge_attr).square().sum().backward()
    assert edge_attr.grad is not None
    assert edge_attr.grad.abs().sum() > 0


@pytest.mark.parametrize("conv", ["gatv2", "gatv2+keep", "gps"])
@pytest.mark.parametrize("model", [GAT, VGAE])
def test_whole_models_train_as_with_pyg(
    model: type[GAT] | type[VGAE], conv: str, make_batch: MakeBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = make_batch()
    torch.manual_seed(0)
    detector = model(**SIZES, conv_type=conv, gradient_checkpointing=False)

    def step() -> tuple[Tensor, list[Tensor]]:
        torch.manual_seed(1)
        loss, _ = detector.compute_loss(batch)
        return loss.detach(), list(torch.autograd.grad(loss, list(detector.parameters())))

    ours = step()
    monkeypatch.setattr(EdgeAttention, "forward", GATv2Conv.forward)
    assert_alike(ours, step())


@pytest.mark.parametrize("graphs", [1, 4, 12])
@pytest.mark.parametrize("conv", ["gat", "gatv2", "transformer+keep", "gps"])
def test_folds_over_prepared_edges_are_passes_of_their_own(
    conv: str, graphs: int, make_batch: MakeBatch
) -> None:
    """The passes of few windows stand side by side: none may see another."""
    batch = make_batch(graphs=graphs)
    torch.manual_seed(0)
    model = VGAE(**SIZES, conv_type=conv).eval()
    folds = model.node_folds(batch)
    assert (model.num_folds * batch.num_nodes <= SIDE_BY_SIDE) == (graphs < 12)
    with torch.no_grad():
        found = model.net.hidden_error(batch, folds, model.num_folds)
        for fold in range(model.num_folds):
            hidden = folds == fold
            said = model(batch, hidden).reconstruction
            expected = (batch.x - said).square().mean(dim=-1)[hidden]
            assert torch.allclose(found[hidden], expected, atol=1e-5)


def test_edge_head_reads_both_ends_side_by_side(make_batch: MakeBatch) -> None:
    batch = make_batch()
    model = VGAE(**SIZES).eval()
    outputs = model(batch)
    source, target = batch.edge_index
    head = model.net.edge_head
    assert head is not None
    expected = head(torch.cat((outputs.z[source], outputs.z[target]), dim=-1))
    assert torch.allclose(outputs.edge_features, expected, atol=1e-5)
