"""Unsupervised detectors."""

from graphids.core.models.autoencoder.vgae import VGAE, VGAEConfig

__all__ = ["VGAE", "VGAEConfig"]
