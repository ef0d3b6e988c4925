"""The grid most tests here use."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from moved_phantoms import oblique_grid

from SITTranslateLib.volume import Grid


@pytest.fixture
def grid() -> Grid:
    return oblique_grid()
