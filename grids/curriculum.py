"""Easy windows first, or easy windows last?

Axis ``direction``: the share of benign windows that counts, the easiest by the autoencoder's error,
grows from a tenth to all, or shrinks from all to a tenth.
"""

from dataclasses import replace

from graphids.grid import Axis, Grid, Level, one_at_a_time
from graphids.stages import Curriculum
from grids.common import CLASSIFIER, DATASETS, SCORER, SEEDS

BASELINE = replace(CLASSIFIER, sampling=Curriculum(), scorer=SCORER)
SHRINKING = Curriculum(start_ratio=10.0, end_ratio=1.0)

GRID = Grid(
    name="curriculum",
    variants=one_at_a_time(
        BASELINE,
        Axis(
            "direction",
            (Level("low_to_high", {}), Level("high_to_low", {"sampling": SHRINKING})),
        ),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
