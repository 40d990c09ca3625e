"""Does it help to describe a node relative to its own id in the first seconds of the capture?

Axis ``inputs``: features as they are, or relative to the id's profile in the first five seconds,
which an unknown vehicle has as well and which needs no labels.
"""

from graphids.grid import Axis, Grid, Level, one_at_a_time
from grids.common import CLASSIFIER, DATASETS, SEEDS

GRID = Grid(
    name="relative_inputs",
    variants=one_at_a_time(
        CLASSIFIER,
        Axis("inputs", (Level("absolute", {}), Level("relative", {"data.relative_inputs": True}))),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
