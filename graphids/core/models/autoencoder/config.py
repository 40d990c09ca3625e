"""Settings that the detectors without labels share."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from graphids.core.models.checks import (
    require_at_least_one,
    require_choice,
    require_non_negative,
    require_positive,
    require_share,
)
from graphids.core.models.id_encoding import IdEncodingCfg
from graphids.core.models.layers import CONV_TYPES, SELF_LOOPS, ConvSpec


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Settings of an encoder of window graphs and of its training."""

    conv: str = "gatv2"
    """Graph convolution."""
    self_loops: str = "pyg"
    """What it does with a node's own edges: a value of ``SELF_LOOPS``."""
    scale: str = "small"
    """Preset of the widths."""
    hidden_dims: tuple[int, ...] | None = None
    """Widths of the encoder; none takes the scale's."""
    latent_dim: int | None = None
    """Width of the latent nodes; none takes the scale's."""
    dropout: float = 0.1
    """Share of activations dropped while training."""
    proj_dim: int = 0
    """Width to which the features are projected; 0 leaves them."""
    batch_norm: bool = True
    """Normalise over each graph after a convolution."""
    p_unk_drop: float = 0.1
    """Probability that an id reads as unknown while training."""
    ids: IdEncodingCfg | None = None
    """Encoder of the ids, with its own length of a vector and probability; none is a table."""
    lr: float = 1e-3
    """Learning rate of Adam."""
    weight_decay: float = 1e-4
    """Weight decay of Adam."""
    gradient_checkpointing: bool = False
    """Recompute the convolutions in the backward pass to save memory."""
    compile_model: bool = False
    """Compile the convolutions."""

    def check(self, scales: Collection[str]) -> None:
        """Raises unless every shared setting is in range and the scale one of ``scales``.

        Raises:
            ValueError: Names the setting and its value.
        """
        require_choice("conv", self.conv, CONV_TYPES)
        require_choice("self_loops", self.self_loops, SELF_LOOPS)
        require_choice("scale", self.scale, scales)
        require_at_least_one(self, "latent_dim")
        require_share(self, "dropout", "p_unk_drop")
        require_positive(self, "lr")
        require_non_negative(self, "weight_decay", "proj_dim")
        if self.hidden_dims is not None and min(self.hidden_dims, default=0) < 1:
            raise ValueError(f"hidden_dims must be at least 1 each (got {self.hidden_dims})")

    def arguments(self) -> dict[str, Any]:
        """The settings as a model's constructor names them."""
        settings = dict(vars(self))
        conv = ConvSpec(settings.pop("conv"), settings.pop("self_loops"))
        return {
            "conv_type": str(conv),
            "id_encoder_cfg": settings.pop("ids"),
            "id_encoder_kwargs": {"p_unk_drop": settings.pop("p_unk_drop")},
            **settings,
        }
