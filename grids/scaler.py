"""Mean and deviation, or median and quartiles, to scale features by?

Axis ``scaler``: both are fitted on benign training windows alone.
"""

from graphids.grid import Axis, Grid, Level, one_at_a_time
from grids.common import CLASSIFIER, DATASETS, SEEDS

GRID = Grid(
    name="scaler",
    variants=one_at_a_time(
        CLASSIFIER,
        Axis("scaler", (Level("z_benign", {}), Level("robust_benign", {"data.scaler": "robust"}))),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
