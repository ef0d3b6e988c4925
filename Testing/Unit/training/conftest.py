"""A finished run of every recipe, trained once a session and by nobody who does not ask for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from tiny_runs import tiny_runs


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a finished run by its name in ``tiny_runs``; it is not to be written to."""
    runs, root = tiny_runs(), tmp_path_factory.mktemp("runs")

    @cache
    def folder(name: str) -> Path:
        made = root / name.replace(", ", "-").replace(" ", "-")
        runs[name].trainer().train(made, save_every=100)
        return made

    return folder
