"""What a process takes of a GPU beside its tensors, measured on a process that does nothing else.

Tensors are predicted exactly; the context of CUDA, the workspaces of its libraries and the holes of
the allocator are not tensors. They are properties of the card and its driver, so one measurement
serves every model.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True, slots=True)
class CardConstants:
    """Memory of a card that no model accounts for."""

    total_bytes: int
    """Memory of the card."""
    others_bytes: int
    """What other programs held when it was measured."""
    context_bytes: int
    """What a process takes before its first tensor."""
    workspace_bytes: int
    """What libraries keep for themselves from the first operations on."""
    reserved_ratio: float
    """Bytes that the allocator holds at its peak for each byte of tensors at theirs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Exercise:
    """What the allocator of a process told after some training steps of changing size."""

    workspace_bytes: int
    """Bytes that are allocated after every tensor is gone."""
    reserved_bytes: int
    """Bytes that the allocator holds then."""
    peak_allocated_bytes: int
    """Most bytes of tensors."""
    peak_reserved_bytes: int
    """Most bytes that the allocator held."""


class Card(Protocol):
    """A GPU as the measurement sees it; a test gives one that does not exist."""

    @property
    def total_bytes(self) -> int:
        """Memory of the card."""

    @property
    def has_context(self) -> bool:
        """Whether this process takes a context's memory of it."""

    def used_bytes(self) -> int:
        """Memory that any program uses now."""

    def reserved_bytes(self) -> int:
        """Memory that the allocator of this process holds."""

    def neighbour(self) -> AbstractContextManager[Exercise]:
        """Another process that has done its exercise and holds the card until the block ends."""


def measure_card(card: Card) -> CardConstants:
    """What a process takes of a card: the difference that a neighbour makes."""
    before = card.used_bytes()
    with card.neighbour() as exercise:
        taken = card.used_bytes() - before
    context = max(0, taken - exercise.reserved_bytes)
    own = card.reserved_bytes() + (context if card.has_context else 0)
    return CardConstants(
        total_bytes=card.total_bytes,
        others_bytes=max(0, before - own),
        context_bytes=context,
        workspace_bytes=exercise.workspace_bytes,
        # The workspace is fixed: it must not count as holes of the tensors.
        reserved_ratio=max(
            1.0,
            (exercise.peak_reserved_bytes - exercise.workspace_bytes)
            / max(1, exercise.peak_allocated_bytes - exercise.workspace_bytes),
        ),
    )


@contextmanager
def neighbour_process(command: Sequence[str]) -> Iterator[Exercise]:
    """A child that prints an ``Exercise`` as JSON and ends when its standard input does.

    Raises:
        RuntimeError: It ended without a result.
    """
    # A child finds the package where this process found it, installed or not.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        line = child.stdout.readline()
        if not line:
            raise RuntimeError(
                f"{' '.join(command)} ended without a result; its own message stands above"
            )
        try:
            yield Exercise(**json.loads(line))
        finally:
            child.stdin.close()
