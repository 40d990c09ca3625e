"""Does fusing the autoencoder with the classifier beat the better of the two?

Axis ``head``: a small network, a mixture of experts with and without its balancing term, a
contextual bandit (a quarter of the epochs: see ``fusion_heads``), a deep Q-network, and one learned
weight. The rows outside the axis are the two detectors that they fuse.
"""

from graphids.grid import Grid, Variant, one_at_a_time
from grids.common import AUTOENCODER, CLASSIFIER, DATASETS, FUSION, SEEDS
from grids.fusion_heads import heads

GRID = Grid(
    name="fusion",
    variants=(
        *one_at_a_time(FUSION, heads()),
        Variant(name="ce", stage=CLASSIFIER),
        Variant(name="vgae", stage=AUTOENCODER),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
