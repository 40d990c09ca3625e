"""The studies that ship with graphids, one a file."""

NAMES = (
    "smoke",
    "first",
    "gat_loss",
    "unsupervised",
    "fusion",
    "distillation",
    "conv_type",
    "gat_sampling",
    "curriculum",
    "id_encoding",
    "unk_drop",
    "vocabulary",
    "scaler",
    "relative_inputs",
    "pooling",
    "self_loops",
    "windowing",
    "selection",
    "corruption",
    "fusion_states",
    "reward",
    "components",
    "everything",
)
"""Every shipped grid."""
