"""Arguments of the public functions: one of the wrong type or without sense is refused in one sentence.

For what a Python caller may hand in and a type checker did not look at. What a value means is checked where it is used.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from SITTranslateLib.errors import InputError

T = TypeVar("T")


def shown(value: object) -> str:
    """A value as a sentence shows it, at most 40 characters."""
    try:
        return str(value)[:40]
    except Exception:
        # Whole numbers of more than 4,300 digits have no text in Python, nor do some objects.
        return f"something of the type {_type_of(value)}"


def instance_of(value: object, kind: type[T], what: str) -> T:
    """The value, if it is of that class.

    Raises:
        InputError: it is not.
    """
    if not isinstance(value, kind):
        article = "an" if kind.__name__[0] in "AEIOU" else "a"
        name = {"str": "text"}.get(kind.__name__, f"{article} {kind.__name__}")
        raise InputError(f"{what} must be {name}, not something of the type '{_type_of(value)}'.")
    return value


def path_of(value: object, what: str) -> Path:
    """A path from a text or what stands for a path.

    Raises:
        InputError: neither, or one that no file system has.
    """
    if not isinstance(value, (str, os.PathLike)):
        raise InputError(f"{what} is given by its path, not by something of the type '{_type_of(value)}'.")
    try:
        path = Path(value)
        if b"\0" not in os.fsencode(path):
            return path
    except (TypeError, ValueError):
        pass
    raise InputError(f"{what}: the path given is not one that this system can open; check it.")


def number_of(value: object, what: str, smallest: float, largest: float) -> float:
    """A real number within bounds.

    Raises:
        InputError: none, not finite, or out of bounds.
    """
    try:
        number = math.nan if isinstance(value, (bool, str, bytes)) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    # Not a number compares false.
    if not smallest <= number <= largest:
        raise InputError(f"{what} must be a number from {smallest:g} to {largest:g}, not '{shown(value)}'.")
    return number


def named_values(value: object, what: str) -> dict[str, Any]:
    """A mapping whose keys are names; None is an empty one.

    Raises:
        InputError: no mapping, or a key that is no text.
    """
    if value is None:
        return {}
    named = instance_of(value, Mapping, what)  # type: ignore[type-abstract]
    for key in named:
        instance_of(key, str, f"Every name in {what[0].lower()}{what[1:]}")
    return dict(named)


def check_progress(progress: object) -> None:
    """Refuse what cannot be called.

    Raises:
        InputError: neither None nor a function.
    """
    if progress is not None and not callable(progress):
        raise InputError(f"The progress must be a function, not something of the type '{_type_of(progress)}'.")


def _type_of(value: object) -> str:
    return type(value).__name__[:40]
