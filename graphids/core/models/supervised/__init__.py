"""Supervised classifiers."""

from graphids.core.models.supervised.gat import GAT, GATConfig

__all__ = ["GAT", "GATConfig"]
