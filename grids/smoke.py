"""Does the whole chain work here? Every stage once, small, on simulated traffic.

Axis ``loss``: the loss of the classifier. The rows outside the axis are the autoencoder alone and
two fusions of it with the baseline classifier. The analyses look at what both detectors learned.
"""

from dataclasses import replace

from graphids.core.budget import Budget
from graphids.core.models.fusion.mlp import MLPFusionConfig
from graphids.core.models.fusion.weighted_avg import WeightedAvgConfig
from graphids.core.models.supervised.gat import GATConfig
from graphids.grid import Analysis, Axis, Grid, Variant, one_at_a_time
from graphids.stages import Autoencode, Classify, Extract, FitConfig, Fuse, Prepare
from graphids.stages.analyse import Attention, Embeddings, Landscape, Similarity

DATA = Prepare(window=100, stride=100)
BATCH = Budget(nodes=4096, edges=16384)
FIT = FitConfig(max_epochs=8)

# Mean pooling alone hides the one busy node of a window, a narrow embedding the one odd id.
MODEL = GATConfig(pooling="multi", embedding_dim=64)

BASELINE = Classify(data=DATA, model=MODEL, batch=BATCH, fit=FIT, loss="ce")
AUTOENCODER = Autoencode(data=DATA, batch=BATCH, fit=FIT)
FOCAL = replace(BASELINE, loss="focal")
STATES = Extract(autoencoder=AUTOENCODER, classifier=BASELINE)

GRID = Grid(
    name="smoke",
    variants=(
        *one_at_a_time(BASELINE, Axis.of("loss", "ce", "focal")),
        Variant(name="vgae", stage=AUTOENCODER),
        Variant(name="mlp", stage=Fuse(states=STATES, head=MLPFusionConfig())),
        Variant(name="weighted_avg", stage=Fuse(states=STATES, head=WeightedAvgConfig())),
    ),
    analyses=(
        Analysis(name="ce_embeddings", stage=Embeddings(detector=BASELINE)),
        Analysis(name="vgae_embeddings", stage=Embeddings(detector=AUTOENCODER)),
        Analysis(name="ce_focal_similarity", stage=Similarity(teacher=BASELINE, student=FOCAL)),
        Analysis(name="ce_attention", stage=Attention(classifier=BASELINE)),
        Analysis(name="ce_landscape", stage=Landscape(detector=BASELINE, points=9, windows=32)),
        Analysis(
            name="vgae_landscape", stage=Landscape(detector=AUTOENCODER, points=9, windows=32)
        ),
    ),
    datasets=("sim_small",),
    seeds=range(2),
)
