"""The fusion heads under the names of their rows."""

from graphids.core.models.fusion import (
    BanditFusionConfig,
    DQNFusionConfig,
    FusionConfig,
    MLPFusionConfig,
    MoEFusionConfig,
    WeightedAvgConfig,
)
from graphids.grid import Axis, Level

HEADS: dict[str, FusionConfig] = {
    "mlp": MLPFusionConfig(),
    "moe": MoEFusionConfig(),
    "moe_noaux": MoEFusionConfig(aux_weight=0.0),
    "bandit": BanditFusionConfig(),
    "dqn": DQNFusionConfig(),
    "weighted_avg": WeightedAvgConfig(),
}


def heads(suffix: str = "") -> Axis:
    """The axis of heads; ``suffix`` tells apart those over other inputs."""
    levels = (Level(name + suffix, {"head": head}) for name, head in HEADS.items())
    return Axis("head", tuple(levels))
