"""The grid whose wall clock is measured: every stage, short trainings, simulated traffic."""

from __future__ import annotations

from graphids.core.budget import Budget
from graphids.core.models.fusion.mlp import MLPFusionConfig
from graphids.core.models.fusion.weighted_avg import WeightedAvgConfig
from graphids.core.models.supervised.gat import GATConfig
from graphids.grid import Axis, Grid, Variant, one_at_a_time
from graphids.stages import Autoencode, Classify, Extract, FitConfig, Fuse, Prepare

DATA = Prepare(window=100, stride=100)
BATCH = Budget(nodes=4096, edges=16384)
FIT = FitConfig(max_epochs=8)
BASELINE = Classify(
    data=DATA, model=GATConfig(pooling="multi", embedding_dim=64), batch=BATCH, fit=FIT, loss="ce"
)
AUTOENCODER = Autoencode(data=DATA, batch=BATCH, fit=FIT)
STATES = Extract(autoencoder=AUTOENCODER, classifier=BASELINE)

GRID = Grid(
    name="bench",
    variants=(
        *one_at_a_time(BASELINE, Axis.of("loss", "ce", "focal")),
        Variant(name="vgae", stage=AUTOENCODER),
        Variant(name="mlp", stage=Fuse(states=STATES, head=MLPFusionConfig(), epochs=50)),
        Variant(
            name="weighted_avg", stage=Fuse(states=STATES, head=WeightedAvgConfig(), epochs=50)
        ),
    ),
    datasets=("sim_small",),
    seeds=range(4),
    references=(),
)
