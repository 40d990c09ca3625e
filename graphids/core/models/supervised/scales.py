"""Presets of the classifier's widths."""

from __future__ import annotations

from collections.abc import Mapping

SCALES: Mapping[str, tuple[int, int, int]] = {
    "small": (24, 2, 4),
    "large": (64, 3, 8),
    "student": (12, 2, 4),
    "teacher": (43, 3, 4),
}
"""Hidden width per head, layers and heads of each scale.

Student and teacher have the 55 thousand and 1.10 million parameters of the published distillation
with 100 ids; most of them are the LSTM's, whose width is hidden width times heads.
"""
FALLBACK_SCALE = (48, 3, 8)
