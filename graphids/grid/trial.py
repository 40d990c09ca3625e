"""A trial: one stage on one dataset with one seed, and what a stage must tell to have one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol


class StageLike(Protocol):
    """What a grid knows of a stage: settings with a name, a version and the stages before it."""

    name: ClassVar[str]
    version: ClassVar[int]
    seeded: ClassVar[bool]

    def upstream(self) -> Mapping[str, StageLike]:
        """Role and stage of each input."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of one stage. Trials with the same fingerprint are the same trial."""

    fingerprint: str
    """Digest of everything that bears identity."""
    stage: StageLike
    """Settings of the stage, upstream stages included."""
    dataset: str
    """Name of the dataset."""
    dataset_digest: str
    """Digest of its captures."""
    seed: int | None
    """Seed, ``None`` where the stage has none: all seeds share the trial."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The stage's own settings that differ from their defaults, as plain JSON values."""
    upstream: Mapping[str, str] = field(default_factory=dict)
    """Role and fingerprint of each input."""
    label: str
    """Readable name; not part of the identity."""
    data_root: Path | None = None
    """Folder of the raw datasets; not part of the identity."""
    holds: tuple[int, int] | None = None
    """Nodes and edges that its device holds at once, where that is less than a batch: the batch is
    split, and the update stays the same. Not part of the identity."""

    @property
    def short(self) -> str:
        """The first twelve characters of the fingerprint, as folders carry them."""
        return self.fingerprint[:12]


def chain(stage: StageLike) -> Iterator[StageLike]:
    """A stage and everything upstream of it, inputs first; a shared stage may come twice."""
    for source in stage.upstream().values():
        yield from chain(source)
    yield stage
