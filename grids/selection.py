"""Which epoch's weights should count, when validation is soon solved?

Axis ``monitor``, classifier: validation loss; AUROC, which saturates; the margin between the
classes in deviations, which does not; the last epoch, which chooses nothing. Axis ``monitor``,
autoencoder: the loss of benign validation windows, and two quantities that read attack labels.
"""

from graphids.grid import Axis, Grid, Level, one_at_a_time
from grids.common import AUTOENCODER, CLASSIFIER, DATASETS, SEEDS

GRID = Grid(
    name="selection",
    variants=(
        *one_at_a_time(
            CLASSIFIER,
            Axis(
                "monitor",
                (
                    Level("val_loss", {}),
                    Level("val_auroc", {"fit.monitor": "val_auroc"}),
                    Level("val_margin", {"fit.monitor": "val_margin"}),
                    Level("last_epoch", {"fit.monitor": "last"}),
                ),
            ),
        ),
        *one_at_a_time(
            AUTOENCODER,
            Axis(
                "monitor",
                (
                    Level("benign_loss", {}),
                    Level("discrimination", {"fit.monitor": "val_discrimination_ratio"}),
                    Level("recon_max_gap", {"fit.monitor": "val_recon_max_gap"}),
                ),
            ),
        ),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
