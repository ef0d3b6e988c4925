"""A pytest plugin, ``-p cpu_seconds``: the tests that cost the most CPU time, with that of the processes they started.

Wall time says little on a machine that does other things, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

SHOWN = 40
SPENT: dict[str, float] = {}


def used() -> float:
    """CPU-seconds of this process and of its children that have ended."""
    return sum(os.times()[:4])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    before = used()
    result = yield
    SPENT[item.nodeid] = used() - before
    return result


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.section(f"CPU-seconds: {used():.0f} in all")
    for name, seconds in sorted(SPENT.items(), key=lambda pair: -pair[1])[:SHOWN]:
        terminalreporter.write_line(f"{seconds:7.1f} {name}")
