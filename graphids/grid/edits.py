"""Setting a field of one kind of stage wherever it stands in a variant's chain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from graphids.grid.settings import edit_path, field_value
from graphids.grid.trial import StageLike

AnyStage = TypeVar("AnyStage", bound=StageLike)


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
