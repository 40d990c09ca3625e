"""What the autoencoder says of a validation epoch: a loss without attacks, gaps that read them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from model_samples import Batches, Metrics, part, quiet_trainer

from graphids.core.batch import GraphBatch
from graphids.core.models import VGAE

MakeBatch = Callable[..., GraphBatch]


@pytest.fixture
def model() -> VGAE:
    torch.manual_seed(0)
    return VGAE(num_ids=20, in_channels=35)


def validated(model: VGAE, *batches: GraphBatch) -> dict[str, float]:
    """What one validation epoch logs."""
    keep = Metrics()
    quiet_trainer(callbacks=[keep]).validate(model, Batches(*batches), verbose=False)
    return keep.epochs[0]


def test_d24_attacks_do_not_move_the_validation_loss(model: VGAE, make_batch: MakeBatch) -> None:
    batch = make_batch(30, shift=100.0)
    mixed = validated(model, batch)
    benign = validated(model, part(batch, batch.y == 0))
    assert mixed["val_loss"] == pytest.approx(benign["val_loss"], rel=1e-4)
    assert mixed["val_recon_attack"] > mixed["val_recon_benign"]
    assert mixed["val_discrimination_ratio"] > 1.0
    assert validated(model, batch) == mixed


def test_a_class_that_is_absent_is_not_logged(model: VGAE, make_batch: MakeBatch) -> None:
    batch = make_batch(30)
    benign = validated(model, part(batch, batch.y == 0)).keys()
    attack = validated(model, part(batch, batch.y == 1)).keys()
    assert "val_loss" in benign
    assert "val_loss" not in attack
    assert {name.replace("attack", "benign") for name in attack} == benign - {"val_loss"}
    assert not [name for name in benign | attack if "gap" in name or "ratio" in name]


def slow(model: VGAE, batches: list[GraphBatch]) -> dict[str, float]:
    """The same figures from one window at a time."""
    model.eval()
    nodes: dict[int, list[np.ndarray]] = {0: [], 1: []}
    for batch in batches:
        for graph in range(batch.num_graphs):
            alone = part(batch, torch.arange(batch.num_graphs) == graph)
            mask = model.node_folds(alone) == 0
            with torch.no_grad():
                gap = (model(alone, mask).reconstruction - alone.x)[mask].numpy()
            if len(gap):
                nodes[int(alone.y)].append((gap.astype(float) ** 2).mean(axis=1))
    values: dict[str, float] = {}
    for y, name in ((0, "benign"), (1, "attack")):
        values[f"val_recon_{name}"] = float(np.mean([e.mean() for e in nodes[y]]))
        values[f"val_recon_max_{name}"] = float(np.mean([e.max() for e in nodes[y]]))
        every = np.concatenate(nodes[y])
        for key, share in (("p50", 50), ("p95", 95), ("p99", 99), ("max", 100)):
            values[f"val_node_recon_{key}_{name}"] = float(np.percentile(every, share))
    low, high = values["val_recon_benign"], values["val_recon_attack"]
    values["val_discrimination_ratio"] = high / low
    values["val_discrimination_gap"] = high - low
    values["val_recon_max_gap"] = values["val_recon_max_attack"] - values["val_recon_max_benign"]
    return values


def test_the_epoch_is_summed_over_windows_not_over_batches(
    model: VGAE, make_batch: MakeBatch
) -> None:
    batches = [make_batch(9, seed=1, shift=3.0), make_batch(40, seed=2, shift=3.0)]
    found = validated(model, *batches)
    del found["val_loss"]
    assert found == pytest.approx(slow(model, batches), rel=1e-4)


def test_an_interrupted_validation_leaves_nothing(model: VGAE, make_batch: MakeBatch) -> None:
    batch = make_batch(20, seed=3)
    expected = validated(model, batch)
    model.log_dict = lambda *_, **__: None  # type: ignore[method-assign]
    with torch.no_grad():
        model.eval().validation_step(make_batch(20, seed=4, shift=50.0), 0)
    del model.log_dict
    assert validated(model, batch) == expected
