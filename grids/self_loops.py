"""Does an id that follows itself on the bus say something that the convolution should see?

Axis ``self_loops``: real self-edges are replaced by a loop with the node's mean edge features, as
the library does by default, or kept as they are.
"""

from graphids.grid import Axis, Grid, Level, one_at_a_time
from grids.common import CLASSIFIER, DATASETS, SEEDS

GRID = Grid(
    name="self_loops",
    variants=one_at_a_time(
        CLASSIFIER,
        Axis(
            "self_loops",
            (Level("loops_mean", {}), Level("loops_kept", {"model.self_loops": "keep"})),
        ),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
