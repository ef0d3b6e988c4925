"""Skips the tests of this folder where highdicom is not installed."""

from __future__ import annotations

import pytest

pytest.importorskip("highdicom", reason="highdicom is not installed: pip install '.[dicom]'")
