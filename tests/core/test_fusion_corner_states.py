"""Every head trains on, scores and tells about a single state, and states of one class."""

from __future__ import annotations

import pytest
import torch
from model_samples import Batches, quiet_trainer, states

from graphids.core.models import (
    BanditFusionConfig,
    DQNFusionConfig,
    FusionConfig,
    MLPFusionConfig,
    MoEFusionConfig,
    WeightedAvgConfig,
)

HEADS = (
    MLPFusionConfig(),
    MoEFusionConfig(),
    WeightedAvgConfig(),
    DQNFusionConfig(batch_size=1),
    BanditFusionConfig(batch_size=1, backbone_retrain_freq=1),
)


@pytest.mark.parametrize("config", HEADS, ids=lambda config: type(config).__name__)
@pytest.mark.parametrize("rows", [slice(0, 1), slice(0, 40)], ids=["one_state", "one_class"])
def test_a_head_takes_one_step(config: FusionConfig, rows: slice) -> None:
    td = states()
    td["labels"] = torch.zeros_like(td["labels"])
    few = td[rows]
    head = config.build(18)
    head.fit_features(few)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    trainer = quiet_trainer(max_epochs=1, num_sanity_val_steps=0)
    trainer.fit(head, Batches(few), Batches(few))
    assert any(not torch.equal(v, before[k]) for k, v in head.state_dict().items() if k in before)
    scores = head.predict_scores(few)
    assert scores.shape == few.batch_size
    assert scores.isfinite().all()
    assert all(torch.isfinite(torch.tensor(v)) for v in head.diagnostics(few).values())
