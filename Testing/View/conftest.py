"""The page in a browser: opt-in, in the environment that has trame-slicer and a browser (make view, make browse)."""

from __future__ import annotations

import pytest

pytest.importorskip("trame_slicer", reason="trame-slicer has an environment of its own: make test-view")
pytest.importorskip("playwright", reason="playwright drives the browser: make test-view")
