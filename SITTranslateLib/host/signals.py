"""Signals without Qt: the client must not depend on Qt, and Slicer's Python cannot declare Qt signals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Signal:
    """Calls everything connected to it, in order.

    >>> heard = []
    >>> signal = Signal()
    >>> signal.connect(heard.append)
    >>> signal.emit(3)
    >>> heard
    [3]
    """

    def __init__(self) -> None:
        self._slots: list[Callable[..., None]] = []

    def connect(self, slot: Callable[..., None]) -> None:
        self._slots.append(slot)

    def disconnect(self, slot: Callable[..., None] | None = None) -> None:
        """Take one slot out, or all."""
        self._slots = [] if slot is None else [s for s in self._slots if s != slot]

    def emit(self, *values: Any) -> None:
        for slot in list(self._slots):
            slot(*values)
