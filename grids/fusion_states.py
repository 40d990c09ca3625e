"""On which windows should a fusion learn: on the detectors' own, or on ones that they never saw?

Axis ``states``: the first half of validation, on which neither detector was fitted, or the training
windows, on which both are over-confident.
"""

from graphids.grid import Axis, Grid, Level, one_at_a_time
from grids.common import DATASETS, FUSION, SEEDS

GRID = Grid(
    name="fusion_states",
    variants=one_at_a_time(
        FUSION,
        Axis(
            "states",
            (Level("held_out", {}), Level("in_sample", {"states.train_on": "in_sample"})),
        ),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
