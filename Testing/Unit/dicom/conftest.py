"""Lets the tests of this folder import ``scan_series``, also in pytest's importlib mode."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("highdicom", reason="highdicom is not installed: pip install '.[dicom]'")

sys.path.insert(0, str(Path(__file__).parent))
