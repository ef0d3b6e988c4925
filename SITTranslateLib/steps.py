"""Work in steps: a generator that gives others a turn at each ``yield`` and returns its result at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

Result = TypeVar("Result")
#: Seconds of one turn of work in a window, which answers between two turns; steps are to be shorter.
TURN_SECONDS = 0.02


def finish(steps: Generator[None, None, Result]) -> Result:
    """Take all steps at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def take_turn(steps: Generator[None, None, Any], clock: Callable[[], float] = time.monotonic) -> bool:
    """Take steps for one turn, one at least; True when there is none left."""
    end = clock() + TURN_SECONDS
    while True:
        try:
            next(steps)
        except StopIteration:
            return True
        if clock() >= end:
            return False
