"""Which dotted paths a checkpoint or a setting may name, and the class behind each.

A path outside these tables is an error and imports nothing: a checkpoint cannot choose what code
runs.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping

MODELS: Mapping[str, str] = {
    "graphids.core.models.autoencoder.vgae.VGAE": "vgae",
    "graphids.core.models.autoencoder.dgi.DGI": "dgi",
    "graphids.core.models.supervised.gat.GAT": "gat",
    "graphids.core.models.fusion.mlp.MLPFusionModule": "mlp",
    "graphids.core.models.fusion.weighted_avg.WeightedAvgModule": "weighted_avg",
    "graphids.core.models.fusion.moe.MoEFusionModule": "moe",
    "graphids.core.models.fusion.dqn.DQNFusionModule": "dqn",
    "graphids.core.models.fusion.bandit.BanditFusionModule": "bandit",
}
"""Model type of every class path that a checkpoint may hold."""

ENCODERS: frozenset[str] = frozenset(
    {
        "graphids.core.models.id_encoding.LookupIdEncoder",
        "graphids.core.models.id_encoding.lookup.LookupIdEncoder",
        "graphids.core.models.id_encoding.HashIdEncoder",
        "graphids.core.models.id_encoding.hash_embedding.HashIdEncoder",
    }
)
"""Class paths of the id encoders; the short path is what a package re-exports."""


def class_path(cls: type) -> str:
    """Dotted path under which a checkpoint names ``cls``."""
    return f"{cls.__module__}.{cls.__qualname__}"


def resolve_model(path: str, model_type: str | None = None) -> type:
    """The model class at ``path``.

    Args:
        path: A key of ``MODELS``.
        model_type: What the caller expects, such as ``gat``; none accepts any.

    Raises:
        ValueError: The path is not registered, or belongs to another model type.
    """
    if path not in MODELS:
        raise ValueError(f"class_path {path!r} is not registered; known: {', '.join(MODELS)}")
    if model_type is not None and MODELS[path] != model_type:
        raise ValueError(
            f"the checkpoint holds a {MODELS[path]!r} ({path}), not a {model_type!r}; "
            "name its own type"
        )
    return _load(path)


def resolve_encoder(path: str) -> type:
    """The id encoder class at ``path``.

    Raises:
        ValueError: The path is not registered.
    """
    if path not in ENCODERS:
        raise ValueError(
            f"id encoder {path!r} is not registered; known: {', '.join(sorted(ENCODERS))}"
        )
    return _load(path)


def _load(path: str) -> type:
    """The class at a registered path."""
    module, _, name = path.rpartition(".")
    found = vars(importlib.import_module(module))[name]
    assert isinstance(found, type), path
    return found
