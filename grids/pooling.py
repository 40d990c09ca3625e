"""How should the nodes of a window become one vector?

Axis ``pooling``: their mean, which hides a single odd node; their maximum; or mean, maximum and
deviation side by side.
"""

from graphids.grid import Axis, Grid, one_at_a_time
from grids.common import CLASSIFIER, DATASETS, SEEDS

GRID = Grid(
    name="pooling",
    variants=one_at_a_time(CLASSIFIER, Axis.of("model.pooling", "mean", "max", "multi")),
    datasets=DATASETS,
    seeds=SEEDS,
)
