"""Which detector without labels finds attacks: one that reconstructs, or one that contrasts?

Axis ``model``: a variational graph autoencoder, whose errors mean an attack, and deep graph
infomax, whose distance from the centre of benign windows does. Both train on benign windows alone.
"""

from graphids.core.models.autoencoder import DGIConfig
from graphids.grid import Axis, Grid, Level, one_at_a_time
from grids.common import AUTOENCODER, DATASETS, SEEDS

GRID = Grid(
    name="unsupervised",
    variants=one_at_a_time(
        AUTOENCODER,
        Axis("model", (Level("vgae", {}), Level("dgi", {"model": DGIConfig(scale="student")}))),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
