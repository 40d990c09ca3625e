"""Reading and editing frozen settings by field path (``model.heads``)."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any, TypeVar

Settings = TypeVar("Settings")


def field_value(settings: object, name: str) -> Any:
    """The value of one field of a settings dataclass.

    Raises:
        ValueError: if ``settings`` has no such field; names the nearest one.
    """
    owner = type(settings).__name__
    if not is_dataclass(settings):
        raise ValueError(f"{owner} has no fields, so {name!r} cannot be set on it")
    names = [f.name for f in fields(settings)]
    if name not in names:
        close = get_close_matches(name, names, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"its fields are {', '.join(names)}"
        raise ValueError(f"{owner} has no field {name!r}; {hint}")
    return vars_of(settings)[name]


def vars_of(settings: object) -> dict[str, Any]:
    """Fields of a settings dataclass and their values, nested settings left as they are."""
    if not is_dataclass(settings) or isinstance(settings, type):
        raise TypeError(f"expected a settings dataclass, got {settings!r}")
    # The names come from the type itself, so this asks nothing that the type does not promise.
    return {f.name: getattr(settings, f.name) for f in fields(settings)}


def edit_path(settings: Settings, path: str, value: object) -> Settings:
    """A copy of ``settings`` with the field at ``path`` replaced; checks re-run on the way up.

    Raises:
        ValueError: if a name on the path is not a field, or the new value breaks a rule.
    """
    name, _, rest = path.partition(".")
    current = field_value(settings, name)
    return replace(settings, **{name: edit_path(current, rest, value) if rest else value})  # type: ignore[type-var]
