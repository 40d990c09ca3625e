"""Identity of a trial: a digest of everything that bears on its result, and of nothing else.

Resources, addresses, logging and labels stay outside. A field that holds its default is left out,
so a new setting with a default leaves old fingerprints as they are; a changed meaning needs a new
stage version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from graphids.grid.settings import vars_of
from graphids.grid.trial import StageLike


def fingerprint(
    stage: StageLike, dataset_digest: str, seed: int | None, upstream: Mapping[str, str]
) -> str:
    """Digest of one trial, 64 hex characters.

    Args:
        stage: Settings of the stage; its upstream stages enter through ``upstream`` alone.
        dataset_digest: Digest of the captures that the trial reads.
        seed: Seed of the trial, ``None`` where the stage has none.
        upstream: Fingerprint of the trial behind each role.
    """
    identity = {
        "stage": stage.name,
        "type": type_name(stage),
        "version": stage.version,
        "settings": own_settings(stage),
        "dataset": dataset_digest,
        "seed": seed,
        "upstream": dict(upstream),
    }
    return digest(identity)


def stage_digest(stage: StageLike) -> str:
    """Digest of a stage with everything upstream of it, dataset and seed left open."""
    upstream = {role: stage_digest(source) for role, source in stage.upstream().items()}
    return fingerprint(stage, "", None, upstream)


def type_name(settings: object) -> str:
    """Class of a stage or of settings in it; with its module where it is a user's own.

    Else it would be the twin of one of ours that has its name.
    """
    kind = type(settings)
    own = not kind.__module__.startswith("graphids.")
    return f"{kind.__module__}.{kind.__qualname__}" if own else kind.__qualname__


def digest(value: object) -> str:
    """SHA-256 of a value's canonical JSON, 64 hex characters."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def own_settings(stage: StageLike) -> dict[str, Any]:
    """Fields of a stage that differ from their defaults, its upstream stages excepted."""
    inputs = {id(value) for value in stage.upstream().values()}
    return {
        f.name: canonical(value)
        for f, value in _set_fields(stage)
        if id(value) not in inputs
    }  # fmt: skip


def canonical(value: object) -> Any:
    """A JSON value that stands for a settings value.

    Raises:
        TypeError: for a value that has no canonical form, such as a path or a function.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, tuple | list):
        return [canonical(part) for part in value]
    if isinstance(value, Mapping):
        return {str(key): canonical(part) for key, part in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        changed = {f.name: canonical(part) for f, part in _set_fields(value)}
        return {"type": type_name(value), **changed}
    raise TypeError(
        f"a setting of type {type(value).__name__} has no canonical form ({value!r}); "
        "use numbers, text, tuples, mappings or settings dataclasses"
    )


def _set_fields(settings: object) -> list[tuple[Field[Any], Any]]:
    """Fields whose value is not their default, with the value."""
    values = vars_of(settings)
    described = fields(settings)  # type: ignore[arg-type]
    return [(f, values[f.name]) for f in described if values[f.name] != _default(f)]


def _default(described: Field[Any]) -> Any:
    """Default of a field; ``MISSING``, which equals no value, where it has none."""
    if described.default_factory is not MISSING:
        return described.default_factory()
    return described.default
