"""Does it matter how deep graph infomax corrupts a window to have something to contrast with?

Axis ``corruption``: nodes change places within their own window, across the batch, or across the
batch while their ids stay, so that a node's features no longer belong to its id.
"""

from dataclasses import replace

from graphids.core.models.autoencoder import DGIConfig
from graphids.grid import Axis, Grid, Level, one_at_a_time
from grids.common import AUTOENCODER, DATASETS, SEEDS

BASELINE = replace(AUTOENCODER, model=DGIConfig(scale="student"))

GRID = Grid(
    name="corruption",
    variants=one_at_a_time(
        BASELINE,
        Axis(
            "corruption",
            (
                Level("within_graph", {}),
                Level("across_batch", {"model.corruption": "batch"}),
                Level("ids_stay", {"model.corruption": "reference"}),
            ),
        ),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
