"""Convolutions: what a node may depend on, self-loops, heads, checkpointing and compiling."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
import torch
from model_samples import part

from graphids.core.batch import GraphBatch
from graphids.core.models import try_compile
from graphids.core.models.layers import (
    CONV_TYPES,
    EDGE_AWARE,
    SELF_LOOPS,
    BlockRunner,
    ConvBlock,
    ConvSpec,
    ConvStack,
    Edges,
    GlobalConv,
    parse_conv,
    prepare_edges,
    require_conv,
)

NAMES = [str(ConvSpec(*pair)) for pair in product(CONV_TYPES, SELF_LOOPS)]
SIZES = {"heads": 2, "edge_dim": 11, "dropout": 0.0, "norm": True}

Parts = tuple[torch.Tensor, Edges, torch.Tensor]


def block(conv: str, in_dim: int = 35, out_dim: int = 8, **settings: object) -> ConvBlock:
    torch.manual_seed(1)
    return ConvBlock(conv, in_dim, out_dim, **{**SIZES, **settings})  # type: ignore[arg-type]


def parts(conv: str, batch: GraphBatch) -> Parts:
    return batch.x, edges(conv, batch.x, batch.edge_index, batch.edge_attr), batch.batch


def edges(
    conv: str, x: torch.Tensor, edge_index: torch.Tensor, edge_attr: torch.Tensor | None
) -> Edges:
    return prepare_edges(parse_conv(conv), edge_index, edge_attr, x, 11)


@pytest.mark.parametrize("conv", NAMES)
def test_a_name_says_what_it_was_made_of(conv: str) -> None:
    assert str(parse_conv(conv)) == conv
    assert parse_conv(conv).edge_aware is (parse_conv(conv).kind in EDGE_AWARE)
    require_conv("conv_type", conv)


@pytest.mark.parametrize("conv", ["cnov", "gatv2+", "gatv2+pyg", "gatv2+keep+keep", ""])
def test_a_name_that_does_not_exist_is_refused(conv: str) -> None:
    with pytest.raises(ValueError, match=r"conv_type '.*' is not available; .*gps, gat\+keep"):
        require_conv("conv_type", conv)
    with pytest.raises(ValueError, match="is not available"):
        block(conv)


@pytest.mark.parametrize("conv", NAMES)
def test_a_node_depends_on_its_own_graph_alone(
    conv: str, make_batch: Callable[..., GraphBatch]
) -> None:
    batch = make_batch(5)
    model = block(conv)
    x = batch.x.clone().requires_grad_()
    found = model(x, *parts(conv, batch)[1:])
    own = batch.batch == 2
    found[own].square().sum().backward()
    assert x.grad is not None
    assert x.grad[own].abs().sum() > 0
    assert torch.equal(x.grad[~own], torch.zeros_like(x.grad[~own]))


@pytest.mark.parametrize("conv", NAMES)
def test_a_graph_reads_the_same_in_every_batch(
    conv: str, make_batch: Callable[..., GraphBatch]
) -> None:
    batch = make_batch(5)
    model = block(conv).eval()
    with torch.no_grad():
        together = model(*parts(conv, batch))
        for graph in range(5):
            alone = part(batch, torch.arange(5) == graph)
            found = model(*parts(conv, alone))
            assert torch.allclose(found, together[batch.batch == graph], atol=1e-5)
            single = model(*parts(conv, alone)[:2], None)
            assert torch.allclose(single, found, atol=1e-6)


@pytest.mark.parametrize("conv", ["gatv2", "transformer", "gps"])
def test_edges_without_features_read_as_zeros(
    conv: str, make_batch: Callable[..., GraphBatch]
) -> None:
    batch = make_batch()
    x, ends, given = batch.x, batch.edge_index, batch.edge_attr
    model = block(conv).eval()
    without, zeros, full = (
        model(x, edges(conv, x, ends, features), batch.batch)
        for features in (None, torch.zeros_like(given), given)
    )
    assert torch.allclose(without, zeros)
    assert not torch.allclose(without, full)


def looped() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Three nodes: an edge from the first to the second, and a loop of the second."""
    torch.manual_seed(0)
    edge_index = torch.tensor([[0, 1], [1, 1]])
    return torch.randn(3, 35), edge_index, torch.randn(2, 11), torch.zeros(3).long()


@pytest.mark.parametrize("kind", CONV_TYPES)
def test_loops_are_replaced_or_kept(kind: str) -> None:
    x, edge_index, edge_attr, _ = looped()
    replaced, kept = (
        block(conv).attention(x, edges(conv, x, edge_index, edge_attr))[0]
        for conv in (kind, f"{kind}+keep")
    )
    assert kept.tolist() == edge_index.tolist()
    expected = [[0, 1], [1, 1]] if kind == "transformer" else [[0, 0, 1, 2], [1, 0, 1, 2]]
    assert replaced.tolist() == expected


@pytest.mark.parametrize("kind", ["gatv2", "gps"])
@pytest.mark.parametrize("loops", SELF_LOOPS)
def test_features_of_a_loop_count_where_it_is_kept(kind: str, loops: str) -> None:
    x, edge_index, edge_attr, batch = looped()
    conv = str(ConvSpec(kind, loops))
    model = block(conv, norm=False).eval()
    changed = edge_attr.clone()
    changed[1] += 5.0
    before, after = (
        model(x, edges(conv, x, edge_index, features), batch) for features in (edge_attr, changed)
    )
    assert torch.allclose(before, after) is (loops == "pyg")


@pytest.mark.parametrize("conv", NAMES)
def test_a_node_that_no_edge_enters_is_finite(conv: str) -> None:
    x, edge_index, edge_attr, batch = looped()
    x.requires_grad_()
    found = block(conv)(x, edges(conv, x, edge_index[:, :0], edge_attr[:0]), batch)
    found.square().sum().backward()
    assert found.isfinite().all()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("conv", CONV_TYPES)
def test_weights_of_the_edges_into_a_node_add_up_to_one(
    conv: str, make_batch: Callable[..., GraphBatch]
) -> None:
    batch = make_batch()
    (_, target), weights = block(conv).attention(*parts(conv, batch)[:2])
    total = torch.zeros(batch.num_nodes, 2).index_add_(0, target, weights)
    entered = torch.zeros(batch.num_nodes, dtype=torch.bool)
    entered[target] = True
    assert torch.allclose(total[entered], torch.ones_like(total[entered]), atol=1e-5)
    assert bool(entered.all()) or conv == "transformer"


@pytest.mark.parametrize("conv", CONV_TYPES)
def test_widths_that_the_heads_do_not_divide_get_one_head(
    conv: str, make_batch: Callable[..., GraphBatch]
) -> None:
    batch = make_batch(3)
    stack = ConvStack(conv, 35, [16, 35], **{**SIZES, "heads": 4}, plain_last=True)  # type: ignore[arg-type]
    assert stack(*parts(conv, batch)).shape == (batch.num_nodes, 35)
    first, last = stack.blocks
    weights = [b.attention(torch.randn(batch.num_nodes, w), parts(conv, batch)[1])[1]
               for b, w in ((first, 35), (last, 16))]  # fmt: skip
    assert [w.shape[1] for w in weights] == [4, 1]
    narrow = ConvStack(conv, 35, [35], **{**SIZES, "heads": 4})  # type: ignore[arg-type]
    assert narrow(*parts(conv, batch)).shape == (batch.num_nodes, 35)


def test_a_gps_block_leaves_norm_and_dropout_to_the_convolution() -> None:
    model = block("gps+keep", dropout=0.9)
    assert model.norm is None
    assert model.plain
    assert isinstance(model.conv, GlobalConv)
    assert not model.conv.gps.conv.add_self_loops
    assert model.conv.gps.norm_with_batch
    assert isinstance(block("gps", in_dim=8).conv.lift, torch.nn.Identity)


@pytest.mark.parametrize("conv", CONV_TYPES)
def test_checkpointing_changes_no_gradient(
    conv: str, make_batch: Callable[..., GraphBatch]
) -> None:
    batch = make_batch(4)
    found = []
    for checkpointed in (False, True):
        torch.manual_seed(1)
        settings = {**SIZES, "dropout": 0.5, "checkpointed": checkpointed}
        model = ConvStack(conv, 35, [8, 6], **settings)  # type: ignore[arg-type]
        x = batch.x.clone().requires_grad_()
        torch.manual_seed(5)
        loss = model(x, *parts(conv, batch)[1:]).square().sum()
        loss.backward()
        found.append([loss.detach(), x.grad, *(p.grad for p in model.parameters())])
    for plain, saving in zip(*found, strict=True):
        assert torch.allclose(plain, saving, atol=1e-5)


compiles = pytest.mark.filterwarnings(
    "ignore:.torch.jit:DeprecationWarning",
    "ignore:The .grad attribute of a Tensor:UserWarning",
)


@compiles
@pytest.mark.parametrize("conv", ["gat", "gatv2+keep", "transformer"])
def test_d04_a_compiled_block_computes_the_same(
    conv: str, make_batch: Callable[..., GraphBatch]
) -> None:
    model = block(conv)
    compiled = try_compile(model, conv_type=conv, backend="eager")
    assert compiled is not model
    for graphs in (3, 5):
        batch = make_batch(graphs)
        given = parts(conv, batch)
        assert torch.allclose(compiled(*given), model(*given), atol=1e-5)


@compiles
@pytest.mark.parametrize("conv", ["gatv2", "transformer"])
def test_d04_checkpointing_leaves_blocks_compiled(
    conv: str, make_batch: Callable[..., GraphBatch]
) -> None:
    batch = make_batch(4)
    captured: dict[bool, int] = {}
    gradients = {}
    for checkpointed in (False, True):
        torch.compiler.reset()

        def count(
            graph: torch.fx.GraphModule, inputs: object, key: bool = checkpointed
        ) -> Callable[..., object]:
            captured[key] = captured.get(key, 0) + len(graph.graph.nodes)
            return graph.forward

        compiled = try_compile(block(conv, dropout=0.5), conv_type=conv, backend=count)
        runner = BlockRunner([compiled], checkpointed=checkpointed)
        x = batch.x.clone().requires_grad_()
        torch.manual_seed(5)
        runner.outputs(x, *parts(conv, batch)[1:])[-1].square().sum().backward()
        gradients[checkpointed] = x.grad
    assert captured[True] == captured[False] > 50
    assert torch.allclose(gradients[True], gradients[False], atol=1e-5)
