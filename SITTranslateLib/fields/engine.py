"""Choice of the field engine: compiled where numba is installed, torch otherwise."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

#: The two forms; their functions have the same names, arguments and results (to rounding).
ENGINES = ("compiled", "torch")

_chosen: str | None = None


def engine_name() -> str:
    """``compiled`` or ``torch``: as set by :func:`engine_used`, by ``SITTRANSLATE_FIELDS``, or by what is installed."""
    name = _chosen or os.environ.get("SITTRANSLATE_FIELDS", "")
    if name in ENGINES:
        return name
    return "compiled" if _numba_is_installed() else "torch"


@cache
def _numba_is_installed() -> bool:
    try:
        return importlib.util.find_spec("numba") is not None
    except ValueError:
        # A module that was switched off has no specification.
        return False


def engine() -> ModuleType:
    """The functions on arrays; imported at the first use, so that the package itself loads neither torch nor numba."""
    if engine_name() == "compiled":
        from SITTranslateLib.fields import engine_compiled

        return engine_compiled
    from SITTranslateLib.fields import engine_torch

    return engine_torch


@contextmanager
def engine_used(name: str) -> Iterator[None]:
    """Within the block, the named form is used."""
    global _chosen
    if name not in ENGINES:
        raise ValueError(f"engine must be one of {ENGINES}, got {name!r}")
    before, _chosen = _chosen, name
    try:
        yield
    finally:
        _chosen = before
