"""Detectors that train on benign windows alone."""

from graphids.core.models.autoencoder.dgi import DGI, DGIConfig
from graphids.core.models.autoencoder.vgae import VGAE, VGAEConfig

__all__ = ["DGI", "VGAE", "DGIConfig", "VGAEConfig"]
