"""How far do a GAT, a VGAE and their fusion get on a real vehicle, and does the loss matter?

Axis ``loss``: cross-entropy, cross-entropy that weighs attacks five times, focal loss. The rows
outside the axis are the autoencoder alone and two fusions of it with the baseline classifier. The
analyses show what both detectors learned: embeddings, attention, the loss around their weights.
"""

from graphids.core.budget import Budget
from graphids.core.models.fusion.mlp import MLPFusionConfig
from graphids.core.models.fusion.weighted_avg import WeightedAvgConfig
from graphids.core.models.supervised.gat import GATConfig
from graphids.grid import Analysis, Axis, Grid, Variant, one_at_a_time
from graphids.stages import Autoencode, Classify, Extract, FitConfig, Fuse, Prepare
from graphids.stages.analyse import Attention, Embeddings, Landscape

DATA = Prepare(window=100, stride=100)
BATCH = Budget(nodes=4096, edges=16384)
FIT = FitConfig(max_epochs=25, patience=6)

# Mean pooling alone hides the one busy node of a window, a narrow embedding the one odd id.
MODEL = GATConfig(pooling="multi", embedding_dim=64)

BASELINE = Classify(data=DATA, model=MODEL, batch=BATCH, fit=FIT, loss="ce")
AUTOENCODER = Autoencode(data=DATA, batch=BATCH, fit=FIT)
STATES = Extract(autoencoder=AUTOENCODER, classifier=BASELINE)

GRID = Grid(
    name="first",
    variants=(
        *one_at_a_time(BASELINE, Axis.of("loss", "ce", "weighted_ce", "focal")),
        Variant(name="vgae", stage=AUTOENCODER),
        Variant(name="mlp", stage=Fuse(states=STATES, head=MLPFusionConfig())),
        Variant(name="weighted_avg", stage=Fuse(states=STATES, head=WeightedAvgConfig())),
    ),
    analyses=(
        Analysis(name="ce_embeddings", stage=Embeddings(detector=BASELINE)),
        Analysis(name="vgae_embeddings", stage=Embeddings(detector=AUTOENCODER)),
        Analysis(name="ce_attention", stage=Attention(classifier=BASELINE)),
        Analysis(name="ce_landscape", stage=Landscape(detector=BASELINE)),
        Analysis(name="vgae_landscape", stage=Landscape(detector=AUTOENCODER)),
    ),
    datasets=("hcrl_sa",),
    seeds=range(3),
)
