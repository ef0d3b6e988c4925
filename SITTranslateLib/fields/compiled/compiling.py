"""Compilation of kernels: once, cached on disk where possible."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

#: Sums and products may be reordered; NaN and infinity keep their meaning, so that bad values stay visible.
_FASTMATH = {"contract", "nsz", "arcp", "reassoc"}


def kernel(function: Function) -> Function:
    """Compile at the first call, without the interpreter's lock; kept in numba's cache if any folder is writable."""
    return _compiled(function, _FASTMATH)


def kernel_of_finite_numbers(function: Function) -> Function:
    """As :func:`kernel` for values known to be finite, which lets minima and maxima be vectorised."""
    return _compiled(function, {*_FASTMATH, "nnan", "ninf"})


def _compiled(function: Function, fastmath: set[str]) -> Function:
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": fastmath}
    try:
        return numba.njit(function, cache=True, **options)  # type: ignore[return-value]
    except RuntimeError:
        # Neither the package's folder nor the user's cache folder can be written: compile for this process only.
        return numba.njit(function, **options)  # type: ignore[return-value]
