"""What a classifier's logits say of a window: a score, and the numbers that a fusion reads."""

from __future__ import annotations

import torch
from torch import Tensor


def attack_probability(logits: Tensor) -> Tensor:
    """Share of every class but the benign first ``[G]``, of logits ``[G, K]``.

    In float64: a float32 softmax is 1 from a logit difference of 17 on, and confident windows would
    tie.
    """
    return logits.softmax(dim=-1, dtype=torch.float64)[:, 1:].sum(dim=-1)


def accuracy(logits: Tensor, y: Tensor) -> Tensor:
    """Share of windows whose largest logit is their class ``[]``."""
    return (logits.argmax(dim=-1) == y).float().mean()


def window_features(logits: Tensor, embedding: Tensor) -> dict[str, Tensor]:
    """State of each window for a fusion head.

    Args:
        logits: ``[G, K]``.
        embedding: Pooled windows ``[G, H]``.

    Returns:
        ``probs [G, K]``; ``conf [G, 1]`` = 1 minus the entropy over that of a coin;
        ``emb_stats [G, 4]`` = mean, deviation, maximum and minimum of the pooled window.
    """
    probs = logits.double().softmax(dim=-1)
    entropy = -(probs * (probs + 1e-8).log()).sum(dim=-1, keepdim=True)
    stats = (embedding.mean(-1), embedding.std(-1), embedding.amax(-1), embedding.amin(-1))
    return {
        "probs": probs.float(),
        "conf": (1.0 - entropy / torch.log(entropy.new_tensor(2.0))).clamp(0.0, 1.0).float(),
        "emb_stats": torch.stack(stats, dim=-1),
    }
