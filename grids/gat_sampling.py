"""Does it help the classifier to see benign windows by difficulty, or fewer of them?

Axis ``sampling``: all windows always; a curriculum from the easiest tenth of benign windows to all,
difficulty drawn at random, or the error of the autoencoder, or the loss of a trained classifier;
and the hardest four benign windows for each attack window, at random or by the autoencoder.
"""

from graphids.grid import Axis, Grid, Level, one_at_a_time
from graphids.stages import Curriculum, Record, Undersample
from grids.common import CLASSIFIER, DATASETS, SCORER, SEEDS

GRID = Grid(
    name="gat_sampling",
    variants=one_at_a_time(
        CLASSIFIER,
        Axis(
            "sampling",
            (
                Level("none", {}),
                Level("curriculum_random", {"sampling": Curriculum()}),
                Level("curriculum_vgae", {"sampling": Curriculum(), "scorer": SCORER}),
                Level(
                    "curriculum_classifier",
                    {"sampling": Curriculum(), "scorer": Record(detector=CLASSIFIER)},
                ),
                Level("undersample_random", {"sampling": Undersample()}),
                Level("undersample_vgae", {"sampling": Undersample(), "scorer": SCORER}),
            ),
        ),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
