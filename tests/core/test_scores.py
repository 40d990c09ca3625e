"""Score primitives against plain loops, and masks that hide each node exactly once."""

from __future__ import annotations

import pytest
import torch

from graphids.core.models import masking, scores
from graphids.core.models.selection import select_graphs


def test_affinity_agrees_with_a_loop(make_batch) -> None:
    batch = make_batch()
    found = scores.node_affinity(batch.x, batch.edge_index)
    for node in range(batch.num_nodes):
        others = batch.edge_index[1][batch.edge_index[0] == node].tolist()
        cosines = [torch.cosine_similarity(batch.x[node], batch.x[o], dim=0) for o in others]
        expected = 1 - sum(cosines) / len(cosines) if cosines else 1.0
        assert float(found[node]) == pytest.approx(float(expected), abs=1e-5)
    assert found.min() >= -1e-6
    assert found.max() <= 2 + 1e-6


def test_rayleigh_quotient_agrees_with_a_loop(make_batch) -> None:
    batch = make_batch()
    found = scores.rayleigh_quotient(batch.x, batch.edge_index, batch.batch, batch.num_graphs)
    for graph in range(batch.num_graphs):
        pairs = [(a, b) for a, b in batch.edge_index.T.tolist() if batch.batch[a] == graph]
        rough = sum(float((batch.x[a] - batch.x[b]).square().sum()) for a, b in pairs)
        energy = float(batch.x[batch.batch == graph].square().sum())
        assert float(found[graph]) == pytest.approx(rough / energy, rel=1e-4)


def test_latent_statistics_agree_with_a_loop(make_batch) -> None:
    batch = make_batch()
    z = batch.x[:, :6]
    found = scores.latent_statistics(z, batch.batch, batch.num_graphs)
    for graph in range(batch.num_graphs):
        own = z[batch.batch == graph]
        expected = [own.mean(), own.std(-1, correction=0).mean(), own.max(), own.min()]
        assert found[graph].tolist() == pytest.approx([float(v) for v in expected], abs=1e-5)


def test_mahalanobis_counts_standard_deviations() -> None:
    mu = torch.tensor([[1.0, 3.0]])
    assert scores.mahalanobis(mu, torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.5])).item() == 17.0


@pytest.mark.parametrize("rate", [0.05, 0.15, 0.3, 0.5])
def test_folds_hide_each_node_once_at_about_the_rate(rate: float, make_batch) -> None:
    batch = make_batch()
    folds = masking.num_folds(rate)
    table = masking.fold_table(folds)
    found = masking.node_folds(batch.batch, batch.num_graphs, table)
    masks = torch.stack([found == fold for fold in range(folds)])
    assert (masks.sum(0) == 1).all()
    blocks = table[: folds * 10].view(10, folds)
    assert (blocks.sort(dim=1).values == torch.arange(folds)).all()
    assert abs(1 / folds - rate) < 0.06


def test_seven_folds_at_the_default_rate() -> None:
    assert masking.num_folds(0.15) == 7


def test_a_node_is_hidden_in_the_same_fold_in_any_batch(make_batch) -> None:
    batch = make_batch()
    table = masking.fold_table(7)
    whole = masking.node_folds(batch.batch, batch.num_graphs, table)
    keep = torch.zeros(batch.num_graphs, dtype=torch.bool)
    keep[[3, 7]] = True
    part, nodes, _ = select_graphs(batch, keep)
    assert torch.equal(masking.node_folds(part.batch, part.num_graphs, table), whole[nodes])


def test_selected_graphs_keep_their_nodes_and_edges(make_batch) -> None:
    batch = make_batch()
    keep = batch.y == 0
    part, nodes, edges = select_graphs(batch, keep)
    assert torch.equal(part.graph_index, batch.graph_index[keep])
    assert torch.equal(part.x[part.edge_index[0]], batch.x[batch.edge_index[0][edges]])
    assert torch.equal(part.x[part.edge_index[1]], batch.x[batch.edge_index[1][edges]])
    assert torch.equal(part.ptr.diff(), batch.ptr.diff()[keep])
    assert int(nodes.sum()) == part.num_nodes
    assert torch.equal(part.y[part.batch], batch.y[batch.batch][nodes])
