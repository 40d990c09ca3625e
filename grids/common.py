"""What the shipped studies share: the dataset, the networks, how long they train.

The networks are those of the published budgets: with a vocabulary of 100 ids a classifier of 55
thousand parameters and an autoencoder of 86 thousand. Every study changes one thing of this
baseline.
"""

from graphids.core.budget import Budget
from graphids.core.models.autoencoder import VGAEConfig
from graphids.core.models.supervised import GATConfig
from graphids.stages import Autoencode, Classify, Extract, FitConfig, Fuse, Prepare, Record

DATASETS = ("hcrl_sa",)
SEEDS = range(5)

DATA = Prepare(window=100, stride=100)
BATCH = Budget(nodes=4096, edges=16384)
FIT = FitConfig(max_epochs=15, patience=5)

CLASSIFIER = Classify(data=DATA, model=GATConfig(scale="student"), batch=BATCH, fit=FIT)
AUTOENCODER = Autoencode(data=DATA, model=VGAEConfig(scale="student"), batch=BATCH, fit=FIT)
STATES = Extract(autoencoder=AUTOENCODER, classifier=CLASSIFIER)
FUSION = Fuse(states=STATES)
SCORER = Record(detector=AUTOENCODER)
