"""Does the classifier's loss matter once the threshold is chosen on validation?

Axis ``loss``: cross-entropy; cross-entropy that weighs attacks five times; focal loss; and
cross-entropy whose last layer's rows are divided by the root of their norm after training.
"""

from graphids.grid import Axis, Grid, Level, one_at_a_time
from grids.common import CLASSIFIER, DATASETS, SEEDS

GRID = Grid(
    name="gat_loss",
    variants=one_at_a_time(
        CLASSIFIER,
        Axis(
            "loss",
            (
                Level("ce", {}),
                Level("weighted_ce", {"loss": "weighted_ce"}),
                Level("focal", {"loss": "focal"}),
                Level("tau_norm", {"tau_norm": 0.5}),
            ),
        ),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
