"""How often should a known id read as unknown while the classifier trains?

Axis ``p_unk_drop``: one in ten, never, three in ten.
"""

from graphids.grid import Axis, Grid, Level, one_at_a_time
from grids.common import CLASSIFIER, DATASETS, SEEDS

GRID = Grid(
    name="unk_drop",
    variants=one_at_a_time(
        CLASSIFIER,
        Axis(
            "p_unk_drop",
            (
                Level("unk_0.1", {}),
                Level("unk_0", {"model.p_unk_drop": 0.0}),
                Level("unk_0.3", {"model.p_unk_drop": 0.3}),
            ),
        ),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
