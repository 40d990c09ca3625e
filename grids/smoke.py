"""Does the whole chain work here? Every stage once, small, on simulated traffic.

Axis ``loss``: the loss of the classifier. The rows outside the axis are the autoencoder alone and
two fusions of it with the baseline classifier.
"""

from graphids.core.budget import Budget
from graphids.core.models.fusion.mlp import MLPFusionConfig
from graphids.core.models.fusion.weighted_avg import WeightedAvgConfig
from graphids.core.models.supervised.gat import GATConfig
from graphids.grid import Axis, Grid, Variant, one_at_a_time
from graphids.stages import Autoencode, Classify, Extract, FitConfig, Fuse, Prepare

DATA = Prepare(window=100, stride=100)
BATCH = Budget(nodes=4096, edges=16384)
FIT = FitConfig(max_epochs=8)

# Mean pooling alone hides the one busy node of a window, a narrow embedding the one odd id.
MODEL = GATConfig(pooling="multi", embedding_dim=64)

BASELINE = Classify(data=DATA, model=MODEL, batch=BATCH, fit=FIT, loss="ce")
AUTOENCODER = Autoencode(data=DATA, batch=BATCH, fit=FIT)
STATES = Extract(autoencoder=AUTOENCODER, classifier=BASELINE)

GRID = Grid(
    name="smoke",
    variants=(
        *one_at_a_time(BASELINE, Axis.of("loss", "ce", "focal")),
        Variant(name="vgae", stage=AUTOENCODER),
        Variant(name="mlp", stage=Fuse(states=STATES, head=MLPFusionConfig())),
        Variant(name="weighted_avg", stage=Fuse(states=STATES, head=WeightedAvgConfig())),
    ),
    datasets=("sim_small",),
    seeds=range(2),
)
