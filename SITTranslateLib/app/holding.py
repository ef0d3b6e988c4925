"""Resources that a command holds until it ends: the folder of its result."""

from __future__ import annotations

import contextlib

_HELD = contextlib.ExitStack()


def hold(resource: contextlib.AbstractContextManager[object]) -> None:
    """Enter a context that is left when the command ends."""
    _HELD.enter_context(resource)


def release() -> None:
    """Leave all contexts that were entered by :func:`hold`."""
    _HELD.close()
