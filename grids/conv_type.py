"""Which graph convolution serves the classifier best?

Axis ``conv``: GATv2 attention with edge features, GAT attention without them, a graph transformer
layer, and a GPS layer, which lets every node of a window attend to every other.
"""

from graphids.grid import Axis, Grid, one_at_a_time
from grids.common import CLASSIFIER, DATASETS, SEEDS

GRID = Grid(
    name="conv_type",
    variants=one_at_a_time(CLASSIFIER, Axis.of("model.conv", "gatv2", "gat", "transformer", "gps")),
    datasets=DATASETS,
    seeds=SEEDS,
)
