"""A PyG batch gives a model the same numbers as a batch of ours, with as few fields as it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import pytest
import torch
from model_samples import Batches, FakeData, Metrics, quiet_trainer
from torch_geometric.data import Batch, Data

from graphids.core.batch import GraphBatch, as_graph_batch
from graphids.core.models import GAT, VGAE

MakeBatch = Callable[..., GraphBatch]
Model = GAT | VGAE


def graphs_of(batch: GraphBatch) -> list[Data]:
    """The windows one by one, with the fields that a model needs and no other."""
    found = []
    for graph in range(batch.num_graphs):
        first, end = int(batch.ptr[graph]), int(batch.ptr[graph + 1])
        edges = batch.batch[batch.edge_index[0]] == graph
        found.append(
            Data(
                x=batch.x[first:end],
                edge_index=batch.edge_index[:, edges] - first,
                edge_attr=batch.edge_attr[edges],
                node_id=batch.node_id[first:end],
                y=batch.y[graph : graph + 1],
            )
        )
    return found


def pyg(batch: GraphBatch) -> Batch:
    return Batch.from_data_list(graphs_of(batch))


@pytest.fixture(params=["gat", "vgae"])
def model(request: pytest.FixtureRequest, calibration: FakeData) -> Model:
    torch.manual_seed(0)
    if request.param == "gat":
        return GAT(num_ids=20, in_channels=35)
    found = VGAE(num_ids=20, in_channels=35)
    found.on_test_setup(calibration, "cpu")
    return found


def test_fields_are_those_of_the_batch(make_batch: MakeBatch) -> None:
    batch = make_batch()
    assert as_graph_batch(batch) is batch
    found = as_graph_batch(pyg(batch))
    for name in ("x", "node_id", "edge_index", "edge_attr", "batch", "ptr", "y", "graph_index"):
        assert torch.equal(asdict(found)[name], asdict(batch)[name]), name
    assert found.attack_type.tolist() == [0] * 12
    assert torch.equal(found.arbitration_id, torch.zeros_like(batch.node_id))
    single = as_graph_batch(graphs_of(batch)[3])
    assert (single.num_graphs, single.ptr.tolist()) == (1, [0, single.num_nodes])
    full = Batch(**asdict(batch))
    read = {k: v for k, v in asdict(as_graph_batch(full)).items() if v is not None}
    assert all(torch.equal(v, asdict(batch)[k]) for k, v in read.items())
    assert read.keys() == asdict(batch).keys() - {"step"}


def test_what_is_missing_is_named(make_batch: MakeBatch) -> None:
    whole = pyg(make_batch())
    for name in ("x", "node_id", "edge_index", "edge_attr", "y"):
        partial = whole.clone()
        del partial[name]
        with pytest.raises(ValueError, match=f"the graph has no {name};"):
            as_graph_batch(partial)
    whole.y = whole.y[:5]
    with pytest.raises(ValueError, match="5 labels for 12 graphs"):
        as_graph_batch(whole)


def test_scores_and_features_are_the_same(model: Model, make_batch: MakeBatch) -> None:
    ours = make_batch()
    theirs = pyg(ours)
    assert torch.equal(model.predict_scores(theirs), model.predict_scores(ours))
    if isinstance(model, VGAE):
        assert torch.equal(model.score(theirs), model.score(ours))
    features = model.extract_features(ours, "cpu")
    found = model.extract_features(theirs, "cpu")
    assert all(torch.equal(found[key], features[key]) for key in features)
    model.eval()
    outputs, expected = model(theirs), model(ours)
    assert torch.equal(outputs[0], expected[0])
    single = graphs_of(ours)[0]
    assert torch.allclose(model.predict_scores(single), model.predict_scores(ours)[:1], rtol=1e-4)


def test_a_classifier_explains_a_pyg_batch(make_batch: MakeBatch) -> None:
    ours = make_batch()
    model = GAT(num_ids=20, in_channels=35).eval()
    assert torch.equal(model.layer_outputs(pyg(ours))[-1], model.layer_outputs(ours)[-1])
    assert torch.equal(
        model.attention_weights(pyg(ours))[0][1], model.attention_weights(ours)[0][1]
    )


def test_a_calibration_is_the_same(calibration: FakeData) -> None:
    torch.manual_seed(0)
    ours = VGAE(num_ids=20, in_channels=35)
    theirs = VGAE(num_ids=20, in_channels=35)
    theirs.load_state_dict(ours.state_dict())
    ours.on_test_setup(calibration, "cpu")
    theirs.on_test_setup(FakeData([pyg(batch) for batch in calibration.batches]), "cpu")  # type: ignore[misc]
    assert torch.equal(theirs.score_std, ours.score_std)
    assert torch.equal(theirs.mu_mean, ours.mu_mean)


def test_a_trainer_says_the_same(model: Model, make_batch: MakeBatch) -> None:
    ours = make_batch(30)
    assert 0 < int(ours.y.sum()) < 30
    said = []
    for batch in (ours, pyg(ours)):
        keep = Metrics()
        trainer = quiet_trainer(callbacks=[keep])
        trainer.validate(model, Batches(batch), verbose=False)
        (tested,) = trainer.test(model, Batches(batch), verbose=False)
        (predicted,) = trainer.predict(model, Batches(batch))
        said.append((keep.epochs[0], tested, predicted))
    (val, test, predicted), (their_val, their_test, their_predicted) = said
    assert their_val == val
    assert "val_loss" in val
    for name, value in their_test.items():
        if "per_attack" not in name:
            assert value == test[name]
    assert "test/set_0/auroc_per_attack/unnamed" in their_test
    assert all(torch.equal(their_predicted[key], predicted[key]) for key in predicted)


def test_training_takes_the_same_steps(model: Model, make_batch: MakeBatch) -> None:
    ours = make_batch()
    start = {key: value.clone() for key, value in model.state_dict().items()}
    ends = []
    for batch in (ours, pyg(ours)):
        model.load_state_dict(start)
        torch.manual_seed(5)
        trainer = quiet_trainer(max_epochs=2, num_sanity_val_steps=0)
        trainer.fit(model, Batches(batch), Batches(batch))
        ends.append({key: value.clone() for key, value in model.state_dict().items()})
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in start)
    assert any(not torch.equal(ends[0][key], start[key]) for key in start)
