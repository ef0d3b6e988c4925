"""Waiting for what other processes, threads or the event loop do; no test asserts how long that takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

#: Seconds after which a wait is given up, so that a test that hangs says for what it waited; below pytest's own limit.
PATIENCE = 400.0


def wait_until(condition: Callable[[], object], what: str = "it", turn: Callable[[], object] = lambda: None) -> None:
    """Wait until a condition holds; ``turn`` is done before each look (an event loop, a client's poll)."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        turn()
        time.sleep(0.005)


def has_ended(pid: int | str) -> bool:
    """Whether a process is no more, or a corpse that nobody has collected (on Linux)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[0] in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return True
