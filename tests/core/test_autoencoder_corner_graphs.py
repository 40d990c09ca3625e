"""Both detectors without labels, for every convolution, on the graphs that break code."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from graphids.core.batch import GraphBatch, as_graph_batch
from graphids.core.models.autoencoder import DGI, VGAE, DGIConfig, VGAEConfig
from graphids.core.models.id_encoding import HashEncodingCfg
from graphids.core.models.layers import CONV_TYPES

SIZES = {"num_ids": 20, "in_channels": 35}
WAYS = list(itertools.product(("vgae", "dgi"), CONV_TYPES, ("pyg", "keep")))


def window(nodes: int, edges: list[tuple[int, int]], *, seed: int, unknown: bool = False) -> Data:
    """A benign window."""
    draw = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 20, (nodes,), generator=draw)
    return Data(
        x=torch.randn(nodes, 35, generator=draw),
        node_id=torch.zeros_like(ids) if unknown else ids,
        arbitration_id=ids + 1000 if unknown else ids,
        edge_index=torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T,
        edge_attr=torch.randn(len(edges), 11, generator=draw),
        y=torch.zeros(1, dtype=torch.long),
    )


CORNERS = {
    "one graph": window(9, [(0, 1), (1, 2), (2, 0), (3, 3), (4, 8)], seed=1),
    "one node": window(1, [], seed=2),
    "one node with loops": window(1, [(0, 0), (0, 0)], seed=3),
    "no edge": window(5, [], seed=4),
    "all unknown": window(8, [(0, 1), (1, 0), (1, 0), (2, 7)], seed=5, unknown=True),
}

STATISTICS = {
    "mu_mean": torch.zeros(64),
    "mu_std": torch.ones(64),
    "score_mean": torch.zeros(4),
    "score_std": torch.ones(4),
}


def joined(*windows: Data) -> GraphBatch:
    return as_graph_batch(Batch.from_data_list(list(windows)))


BATCHES = {name: joined(graph) for name, graph in CORNERS.items()}
BATCHES["all of them"] = joined(*CORNERS.values())


def logged(model: VGAE | DGI) -> dict[str, Any]:
    """What a model logs from now on, without a trainer."""
    values: dict[str, Any] = {}

    def keep(given: Mapping[str, Any], **_: object) -> None:
        values.update(given)

    model.log_dict = keep  # type: ignore[method-assign, assignment]
    return values


@pytest.fixture(params=WAYS, ids="-".join)
def model(request: pytest.FixtureRequest) -> VGAE | DGI:
    """Each detector with each convolution, calibrated by made-up statistics."""
    torch.manual_seed(0)
    kind, conv, loops = request.param
    if kind == "dgi":
        dgi = DGIConfig(conv=conv, self_loops=loops).build(**SIZES)
        dgi.load_calibration({"svdd_center": torch.ones(48)})
        return dgi
    vgae = VGAEConfig(conv=conv, self_loops=loops).build(**SIZES)
    vgae.load_calibration(STATISTICS)
    return vgae


def finite(values: Mapping[str, Tensor | float]) -> bool:
    return all(bool(torch.as_tensor(value).isfinite().all()) for value in values.values())


@pytest.mark.parametrize("corner", BATCHES)
def test_every_step_is_finite(model: VGAE | DGI, corner: str) -> None:
    batch = BATCHES[corner]
    said = logged(model)
    for _ in range(3):
        model.zero_grad()
        model.train().training_step(batch, 0).backward()
        grads = [p.grad for p in model.parameters() if p.grad is not None]
        assert grads
        assert all(grad.isfinite().all() for grad in grads)
    model.eval()
    with torch.no_grad():
        model.on_validation_epoch_start()
        model.validation_step(batch, 0)
        model.on_validation_epoch_end()
    assert {"train_loss", "val_loss"} <= said.keys()
    assert finite(said)
    found = model.score(batch)
    assert found.shape == (batch.num_graphs,)
    assert found.isfinite().all()
    assert finite(model.extract_features(batch, "cpu"))


def test_a_window_says_the_same_alone_and_in_a_batch(model: VGAE | DGI) -> None:
    together = BATCHES["all of them"]
    crowd = joined(*CORNERS.values(), *reversed(CORNERS.values()))
    features, scores = model.extract_features(together, "cpu"), model.score(together)
    assert torch.allclose(model.score(crowd)[:5], scores, rtol=1e-4, atol=1e-5)
    for index, corner in enumerate(CORNERS):
        assert torch.allclose(model.score(BATCHES[corner]), scores[index], rtol=1e-4, atol=1e-5)
        for key, value in model.extract_features(BATCHES[corner], "cpu").items():
            assert torch.allclose(value[0], features[key][index], rtol=1e-4, atol=1e-4), key


@pytest.mark.parametrize("config", [VGAEConfig, DGIConfig])
def test_a_hash_tells_unknown_ids_apart(config: type[VGAEConfig | DGIConfig]) -> None:
    torch.manual_seed(0)
    model = config(ids=HashEncodingCfg(embedding_dim=8)).build(**SIZES)
    if isinstance(model, VGAE):
        model.load_calibration(STATISTICS)
    batch = BATCHES["all unknown"]
    other = joined(CORNERS["all unknown"].clone())
    other.arbitration_id.add_(7)
    renamed = joined(CORNERS["all unknown"].clone())
    renamed.node_id.add_(3)
    said = [model.extract_features(given, "cpu") for given in (batch, other, renamed)]
    found = [given["z_stats"] for given in said]
    assert not torch.allclose(found[0], found[1])
    assert torch.equal(found[0], found[2])
