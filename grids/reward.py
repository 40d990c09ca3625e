"""Does the shape of the reward decide what a fusion agent learns?

Axis ``reward`` of the deep Q-network: the shaped reward with its terms for agreement, confidence
and balance, or the minimal one, which only weighs hits, misses and false alarms.
"""

from dataclasses import replace

from graphids.core.models.fusion import DQNFusionConfig
from graphids.grid import Axis, Grid, Level, one_at_a_time
from grids.common import DATASETS, FUSION, SEEDS

GRID = Grid(
    name="reward",
    variants=one_at_a_time(
        replace(FUSION, head=DQNFusionConfig()),
        Axis(
            "reward",
            (Level("reward_legacy", {}), Level("reward_minimal", {"head.reward": "minimal"})),
        ),
    ),
    datasets=DATASETS,
    seeds=SEEDS,
)
