"""Setting several fields at once, and one field wherever its kind of stage stands in a chain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from graphids.grid.settings import Settings, edit_path, field_value
from graphids.grid.trial import StageLike

AnyStage = TypeVar("AnyStage", bound=StageLike)


def edit_together(settings: Settings, edits: Mapping[str, object]) -> Settings:
    """A copy of ``settings`` with fields replaced at once: the order of ``edits`` bears on nothing.

    A rule between fields sees the new values of all of them. Where one path lies within another,
    as ``model.heads`` in ``model``, the deeper one counts last.

    Args:
        settings: A settings dataclass.
        edits: New value by field path.

    Raises:
        ValueError: if a name on a path is not a field, or the new values break a rule.
    """
    changes: dict[str, Any] = {}
    within: dict[str, dict[str, object]] = {}
    for path, value in edits.items():
        name, _, rest = path.partition(".")
        current = field_value(settings, name)
        if rest:
            within.setdefault(name, {})[rest] = value
            changes.setdefault(name, current)
        else:
            changes[name] = value
    for name, deeper in within.items():
        changes[name] = edit_together(changes[name], deeper)
    return replace(settings, **changes)  # type: ignore[type-var]


def edit_stages(
    stage: AnyStage, name: str, path: str, value: Callable[[StageLike], Any]
) -> AnyStage:
    """A stage in which every stage called ``name``, itself included, has a field replaced.

    Args:
        stage: The last stage of a chain.
        name: Name of the stages to edit, such as ``classify``.
        path: Path of the field, such as ``model.heads``.
        value: Gives the new value for each stage that is edited.

    Raises:
        ValueError: if a stage on the way is no dataclass, or has no such field.
    """
    if not is_dataclass(stage):
        raise ValueError(f"stage {stage.name!r} is no dataclass, so its fields cannot be set")
    sources = {id(source) for source in stage.upstream().values()}
    changed = {}
    for described in fields(stage):
        current = field_value(stage, described.name)
        if id(current) in sources:
            changed[described.name] = edit_stages(current, name, path, value)
    if changed:
        # All at once: inputs must go together, and each alone would be refused.
        stage = replace(stage, **changed)
    if stage.name == name:
        stage = edit_path(stage, path, value(stage))
    return stage
