"""The fusion heads under the names of their rows."""

from graphids.core.models.fusion import (
    BanditFusionConfig,
    DQNFusionConfig,
    MoEFusionConfig,
    WeightedAvgConfig,
)
from graphids.grid import Axis, Level

HEADS: dict[str, dict[str, object]] = {
    "mlp": {},
    "moe": {"head": MoEFusionConfig()},
    "moe_noaux": {"head": MoEFusionConfig(aux_weight=0.0)},
    # A refit computes the bandit's regressions from its buffer of 100,000 decisions. What it tried
    # once and left drops out of a buffer that is too small, and is tried again; 50 epochs hold the
    # decisions on 2,000 states.
    "bandit": {"head": BanditFusionConfig(), "epochs": 50},
    "dqn": {"head": DQNFusionConfig()},
    "weighted_avg": {"head": WeightedAvgConfig()},
}
"""Settings of the fusion by the name of the row; the baseline is the small network."""


def heads(suffix: str = "") -> Axis:
    """The axis of heads; ``suffix`` tells apart those over other inputs."""
    return Axis("head", tuple(Level(name + suffix, edits) for name, edits in HEADS.items()))
