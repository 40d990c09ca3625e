"""Presets of widths; where a preset is not known, the defaults below hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class VGAEScale:
    """Widths of an autoencoder."""

    latent_dim: int = 48
    """Latent nodes."""
    hidden_dims: tuple[int, ...] | None = None
    """Encoder; none is a wide convolution and one of the latent width."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DGIScale:
    """Widths of Deep Graph Infomax."""

    latent_dim: int = 48
    """Latent nodes."""
    embedding_dim: int = 32
    """Vector of an id."""
    heads: int = 4
    """Attention heads of the first convolution."""
    hidden_dims: tuple[int, ...] | None = None
    """Encoder; none is one wide convolution."""


VGAE_SCALES: Mapping[str, VGAEScale] = {
    "small": VGAEScale(latent_dim=64, hidden_dims=(64,)),
    "large": VGAEScale(latent_dim=128, hidden_dims=(128,)),
    "student": VGAEScale(latent_dim=32, hidden_dims=(168, 84)),
    "teacher": VGAEScale(latent_dim=128, hidden_dims=(1056, 528)),
}
"""Presets; student and teacher have about 86 K and 1.71 M parameters with 100 ids, as published."""
DGI_SCALES: Mapping[str, DGIScale] = {
    "small": DGIScale(),
    "large": DGIScale(latent_dim=96, embedding_dim=64, heads=8),
    "student": DGIScale(latent_dim=32, hidden_dims=(212, 106)),
    "teacher": DGIScale(latent_dim=128, hidden_dims=(1192, 596)),
}
"""Presets; student and teacher are as large as those of the autoencoder."""
