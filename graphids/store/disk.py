"""When a store can take no more: its disk is full, or its owner's quota."""

from __future__ import annotations

import errno

FULL = (errno.ENOSPC, errno.EDQUOT)
WORDS = ("No space left on device", "Disk quota exceeded", "os error 28", "os error 122")
"""How writers tell it that pass no number on."""


def is_disk_full(error: BaseException | None) -> bool:
    """Whether a full disk is behind an error, at whatever depth."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        if any(words in str(error) for words in WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False
