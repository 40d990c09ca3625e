"""Range checks that the settings of the models share; each error names the field and its value."""

from __future__ import annotations

from collections.abc import Collection


def require_choice(name: str, value: object, allowed: Collection[str]) -> None:
    """Raises unless ``value`` is allowed.

    Raises:
        ValueError: Names the setting, the value and what is allowed.
    """
    if value not in allowed:
        raise ValueError(f"{name} {value!r} is not available; use one of {', '.join(allowed)}")


def require_at_least_one(settings: object, *names: str) -> None:
    """Raises unless each named field is none or at least 1.

    Raises:
        ValueError: Names the field and its value.
    """
    for name in names:
        value = vars(settings)[name]
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1 (got {value})")


def require_share(settings: object, *names: str) -> None:
    """Raises unless each named field lies in ``[0, 1)``.

    Raises:
        ValueError: Names the field and its value.
    """
    for name in names:
        value = vars(settings)[name]
        if not 0.0 <= value < 1.0:
            raise ValueError(f"{name} must lie in [0, 1) (got {value})")


def require_positive(settings: object, *names: str) -> None:
    """Raises unless each named field is above 0.

    Raises:
        ValueError: Names the field and its value.
    """
    for name in names:
        value = vars(settings)[name]
        if not value > 0:
            raise ValueError(f"{name} must be positive (got {value})")


def require_non_negative(settings: object, *names: str) -> None:
    """Raises unless each named field is at least 0.

    Raises:
        ValueError: Names the field and its value.
    """
    for name in names:
        value = vars(settings)[name]
        if not value >= 0:
            raise ValueError(f"{name} must not be negative (got {value})")
