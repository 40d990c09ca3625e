"""Running a stage by itself on simulated traffic, one epoch, as a trial would."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from graphids.core.models.autoencoder import VGAEConfig
from graphids.core.models.supervised import GATConfig
from graphids.data.datasets import open_dataset
from graphids.grid.fingerprint import stage_digest
from graphids.grid.trial import Trial
from graphids.stages import Autoencode, Classify, Extract, FitConfig, Fuse
from graphids.stages.handoff import Handoff
from graphids.stages.protocol import Stage

FIT = FitConfig(max_epochs=1)
CLASSIFY = Classify(fit=FIT)
AUTOENCODE = Autoencode(fit=FIT)
EXTRACT = Extract(autoencoder=AUTOENCODE, classifier=CLASSIFY)
FUSE = Fuse(states=EXTRACT, epochs=3)
TINY_GAT = GATConfig(hidden=4, layers=1, heads=2, fc_layers=1)
TINY_VGAE = VGAEConfig(hidden_dims=(8,), latent_dim=4, heads=2, embedding_dim=4)


def run(stage: Stage, inputs: Mapping[str, Handoff], seed: int | None = 0) -> Handoff:
    """What a trial of the stage hands on."""
    torch.set_num_threads(1)
    trial = Trial(
        fingerprint=stage_digest(stage),
        stage=stage,
        dataset="sim_small",
        dataset_digest=open_dataset("sim_small", None).digest,
        seed=seed,
        label=stage.name,
    )
    return stage.run(trial, inputs, lambda metrics: None)


def value(handoff: Handoff, split: str, metric: str) -> float | None:
    """One metric of one split."""
    assert handoff.metrics is not None
    found = handoff.metrics.filter(split=split, metric=metric, attack="all")["value"]
    assert len(found) == 1
    return None if found[0] is None else float(found[0])
