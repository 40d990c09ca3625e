"""Imports of whole libraries without the garbage collector, which would cost more than a quarter.

Some six thousand modules make a million objects, none of which is ever garbage: the collector would
look at all of them again and again, and once more as the interpreter ends.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Keeps the collector out of the block, and for good from what lives at its end."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()
