# ruff: noqa: E402
"""What every test shares: one thread (parallel threads on a busy machine are far slower); the real scans, if there."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
REPOSITORY = Path(__file__).resolve().parent.parent
# Neither a user's settings and models nor the width and colours of a terminal decide what tests see.
for name in ("COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "SITTRANSLATE_DEBUG",
             "SITTRANSLATE_FIELDS", "SITTRANSLATE_INDEX", "SITTRANSLATE_MODELS", "SITTRANSLATE_THREADS",
             "SITTRANSLATE_TRUSTED_KEYS"):  # fmt: skip
    os.environ.pop(name, None)
os.environ["XDG_DATA_HOME"] = str(REPOSITORY / "Testing" / "no-models-of-a-user")

import pytest

_STATUS = pytest.StashKey[int]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Random numbers that a test or its fixtures draw without a seed do not depend on the tests before it."""
    import numpy as np
    import torch

    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _tissues_once() -> None:
    import tissues_once

    tissues_once.remember()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real scans; tests that ask for it are skipped where it is absent."""
    folder = Path(os.environ.get("SITTRANSLATE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("the real scans are not on this machine (set SITTRANSLATE_DATA)")
    return folder


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_STATUS] = int(exitstatus)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave without tearing the interpreter down: VTK's and Qt's wrappers in one process abort while it happens."""
    if "vtkmodules" in sys.modules and _STATUS in config.stash:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(config.stash[_STATUS])
