"""The classifier: building, determinism, and that it learns what it is shown."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from model_samples import Batches, FakeData, Metrics, part, quiet_trainer
from torch_geometric.nn import JumpingKnowledge

from graphids.core.batch import GraphBatch
from graphids.core.losses import build_loss
from graphids.core.metrics import auroc
from graphids.core.models import GAT, GATConfig, eval_mode
from graphids.core.models.evaluation import adam
from graphids.core.models.supervised.jumping import LayerAttention

SIZES = {"num_ids": 20, "in_channels": 35}


def test_layers_come_from_the_data_module_once() -> None:
    model = GAT()
    with pytest.raises(RuntimeError, match="prepare_from_datamodule"):
        model.require_built()
    model.prepare_from_datamodule(FakeData())
    net = model.net
    model.prepare_from_datamodule(FakeData())
    assert model.net is net
    assert (model.hparams["num_ids"], model.hparams["in_channels"]) == (20, 35)
    assert model.test_names == ("known", "unknown")
    for size in ("num_ids", "in_channels", "num_classes"):
        with pytest.raises(ValueError, match=f"'{size}': 21"):
            model.prepare_from_datamodule(FakeData(**{size: 21}))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_unrolled_layer_attention_is_the_library_s(layers: int) -> None:
    torch.manual_seed(3)
    own, library = LayerAttention(12, layers), JumpingKnowledge("lstm", 12, layers)
    library.load_state_dict(own.state_dict())
    xs = [torch.randn(30, 12) for _ in range(layers)]
    ours, theirs = own(xs), library(xs)
    assert torch.allclose(ours, theirs, atol=1e-6)
    ours.square().sum().backward()
    theirs.square().sum().backward()
    for mine, other in zip(own.parameters(), library.parameters(), strict=True):
        assert torch.allclose(mine.grad, other.grad, atol=1e-4)
    with torch.no_grad():
        assert torch.allclose(own(xs), theirs, atol=1e-6)


def test_fused_adam_is_adam(make_batch: Callable[..., GraphBatch]) -> None:
    batch = make_batch()
    one = GAT(**SIZES, dropout=0.0)
    other = copy.deepcopy(one)
    fused = one.configure_optimizers()
    assert fused.defaults["fused"]
    plain = torch.optim.Adam(other.parameters(), lr=1e-3, weight_decay=1e-4, fused=False)
    for _ in range(3):
        for model, optimizer in ((one, fused), (other, plain)):
            optimizer.zero_grad()
            model.compute_loss(batch)[0].backward()
            optimizer.step()
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_adam_falls_back_where_a_parameter_has_no_fused_kernel() -> None:
    meta = torch.nn.Parameter(torch.zeros(2, device="meta"))
    assert not adam([meta], 1e-3).defaults["fused"]


def test_a_score_does_not_depend_on_the_batch(make_batch: Callable[..., GraphBatch]) -> None:
    batch = make_batch()
    model = GATConfig(pooling="multi").build(**SIZES)
    together = model.predict_scores(batch)
    assert together.dtype == torch.float64
    for graph in range(batch.num_graphs):
        alone = part(batch, torch.arange(batch.num_graphs) == graph)
        assert torch.allclose(model.predict_scores(alone), together[graph], atol=1e-5)
    assert torch.equal(model.predict_scores(batch), together)
    assert model.training


def test_confident_windows_do_not_tie(make_batch: Callable[..., GraphBatch]) -> None:
    batch = make_batch()
    model = GAT(**SIZES)
    with torch.no_grad():
        model.net.head[-1].bias.copy_(torch.tensor([0.0, 25.0]))
    assert model.predict_scores(batch).unique().numel() == batch.num_graphs
    assert model.predict_scores(batch).float().unique().numel() == 1


def test_a_window_without_nodes_has_a_score(make_batch: Callable[..., GraphBatch]) -> None:
    batch = make_batch(graphs=1)
    none = torch.zeros(batch.num_nodes, dtype=torch.bool)
    empty = replace(
        batch,
        x=batch.x[none],
        node_id=batch.node_id[none],
        arbitration_id=batch.arbitration_id[none],
        edge_index=batch.edge_index[:, :0],
        edge_attr=batch.edge_attr[:0],
        batch=batch.batch[none],
        ptr=torch.zeros(2, dtype=torch.int64),
    )
    assert bool(GAT(**SIZES).predict_scores(empty).isfinite().all())


@pytest.mark.parametrize("conv", ["gatv2", "transformer"])
def test_lower_precision_trains(conv: str, make_batch: Callable[..., GraphBatch]) -> None:
    model = GAT(**SIZES, conv_type=conv, gradient_checkpointing=False)
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = model.compute_loss(make_batch())
    loss.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_features_of_a_window(make_batch: Callable[..., GraphBatch]) -> None:
    batch = make_batch()
    model = GAT(**SIZES)
    found = model.extract_features(batch, "cpu")
    assert {k: tuple(v.shape[1:]) for k, v in found.items()} == {
        "probs": (2,), "conf": (1,), "emb_stats": (4,)
    }  # fmt: skip
    assert torch.allclose(found["probs"][:, 1].double(), model.predict_scores(batch), atol=1e-6)
    assert torch.allclose(found["probs"].sum(-1), torch.ones(batch.num_graphs))
    with eval_mode(model):
        _, embedding = model(batch, return_embedding=True)
    assert torch.allclose(found["emb_stats"][:, 2], embedding.amax(-1))
    certain = torch.where(found["probs"].amax(-1) > 0.5, found["conf"].squeeze(-1), 1.0)
    assert certain.min() > 0


@pytest.mark.parametrize("loss", ["ce", "weighted_ce", "focal"])
def test_canary_attacks_score_above_benign_windows(
    loss: str, make_batch: Callable[..., GraphBatch]
) -> None:
    batches = [make_batch(40, seed=seed, shift=1.5) for seed in range(3)]
    unseen = make_batch(60, seed=9, shift=1.5)
    model = GATConfig(lr=3e-3, pooling="multi").build(**SIZES, loss_fn=build_loss(loss))
    keep = Metrics()
    trainer = quiet_trainer(max_epochs=12, callbacks=[keep], num_sanity_val_steps=0)
    trainer.fit(model, Batches(*batches), Batches(*batches[:2]))
    assert keep.epochs[-1].keys() >= {"train_loss", "train_acc", "val_loss", "val_acc", "val_auroc"}
    assert keep.epochs[-1]["val_auroc"] > 0.95
    assert auroc(model.predict_scores(unseen), unseen.y) > 0.9


class Brier(torch.nn.Module):
    """A loss that the package does not know."""

    def forward(self, logits: torch.Tensor, y: torch.Tensor, *, graph: object) -> torch.Tensor:
        return (logits.softmax(-1)[:, 1] - y).square().mean()


@pytest.mark.parametrize(
    "loss",
    [
        build_loss("ce"),
        build_loss("weighted_ce", class_weights=(1.0, 20.0)),
        build_loss("weighted_ce", reduction="sum"),
        build_loss("focal"),
        Brier(),
    ],
)
@pytest.mark.parametrize("by_class", [True, False])
def test_the_validation_loss_is_that_of_all_windows_whatever_the_batches(
    loss: torch.nn.Module, by_class: bool, make_batch: Callable[..., GraphBatch]
) -> None:
    batch = make_batch(30)
    first = batch.y == 1 if by_class else torch.arange(30) < 3
    assert 0 < int(first.sum()) < 15
    model = GAT(**SIZES, loss_fn=loss).eval()
    keep = Metrics()
    trainer = quiet_trainer(callbacks=[keep])
    loader = Batches(part(batch, first), part(batch, ~first))
    with torch.no_grad():
        expected, logits = model.compute_loss(batch)
    for _ in range(2):
        trainer.validate(model, loader, verbose=False)
        assert keep.epochs[-1]["val_loss"] == pytest.approx(float(expected), rel=1e-5)
        accuracy = (logits.argmax(-1) == batch.y).float().mean()
        assert keep.epochs[-1]["val_acc"] == pytest.approx(float(accuracy), rel=1e-5)


def test_d21_one_class_logs_no_auroc(make_batch: Callable[..., GraphBatch]) -> None:
    keep = Metrics()
    model = GAT(**SIZES)
    model.prepare_from_datamodule(FakeData())
    trainer = quiet_trainer(callbacks=[keep])
    trainer.validate(model, Batches(make_batch(attack_share=0.0)), verbose=False)
    assert "val_auroc" not in keep.epochs[0]
    (found,) = trainer.test(model, Batches(make_batch(attack_share=0.0)), verbose=False)
    assert "test/known/fpr" in found
    assert not {"test/known/auroc", "test/known/mcc", "test/known/f1"} & found.keys()


def test_testing_logs_each_set_and_all_of_them(make_batch: Callable[..., GraphBatch]) -> None:
    model = GAT(**SIZES)
    model.prepare_from_datamodule(FakeData())
    sets = [Batches(make_batch(20, seed=1)), Batches(make_batch(20, seed=2))]
    trainer = quiet_trainer()
    trainer.test(model, sets, verbose=False)
    found = trainer.callback_metrics
    for name in ("known", "unknown", "all"):
        assert f"test/{name}/auroc" in found
        assert f"test/{name}/auroc_per_attack/gear_spoofing" in found
    assert found["test/all/n_windows"] == 40


def test_a_loss_that_is_not_finite_stops_training(make_batch: Callable[..., GraphBatch]) -> None:
    model = GAT(**SIZES)
    with torch.no_grad():
        model.net.head[-1].bias.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match=r"GAT loss is nan \(loss=nan"):
        model.compute_loss(make_batch())


class Sizes:
    """Offsets of a packed dataset of equal graphs."""

    def __init__(self, graphs: int, nodes: int, edges: int) -> None:
        self.node_offsets = torch.arange(graphs + 1) * nodes
        self.edge_offsets = torch.arange(graphs + 1) * edges


def test_budget_holds_the_largest_graph_and_the_fewest_steps() -> None:
    model = GAT(**SIZES)
    budget = model.compute_budget(Sizes(100, 30, 99), "sim", min_steps=10)
    assert budget["binding"] == "heuristic"
    assert budget["budget"] == 300
    assert budget["edge_budget"] >= 990
    assert model.compute_budget(Sizes(1, 5, 5), "sim", min_steps=10) is budget
    assert model.compute_budget(Sizes(2, 50, 99), "other", min_steps=90)["budget"] == 50
    free = model.compute_budget(Sizes(10**6, 30, 99), "large")
    assert free["budget"] * (256 + 32 * 3.3) * 1024 <= free["target_bytes"]
