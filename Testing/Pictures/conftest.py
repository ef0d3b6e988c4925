"""Tests on pictures that Slicer's displayable managers draw off-screen."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# What scene and picture tests share lies one folder up.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
pytest.importorskip("slicer", reason="slicer-core is not installed: pip install '.[scene]'")

from scene_fixtures import app, labels, messages, translation  # noqa: F401

from SITTranslateLib.scene.headless.opengl import opengl_missing


@pytest.fixture(autouse=True)
def _opengl() -> None:
    if sentence := opengl_missing():
        pytest.skip(sentence)
