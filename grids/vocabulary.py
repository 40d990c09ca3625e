"""Should ids that only attacks use be known to the classifier?

Axis ``vocabulary``: the ids of all training windows, or of benign ones alone, so that an id of an
attack reads as unknown. Once for the classifier, and once for the autoencoder, which trains on
benign windows: the vectors of ids that attacks alone use never see one.
"""

from graphids.grid import Axis, Grid, Level, one_at_a_time
from grids.common import AUTOENCODER, CLASSIFIER, DATASETS, SEEDS

GRID = Grid(
    name="vocabulary",
    variants=(
        *one_at_a_time(
            CLASSIFIER,
            Axis("vocabulary", (Level("all", {}), Level("benign", {"data.vocabulary": "benign"}))),
        ),
        *one_at_a_time(
            AUTOENCODER,
            Axis(
                "vocabulary",
                (Level("vgae_all", {}), Level("vgae_benign", {"data.vocabulary": "benign"})),
            ),
        ),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
