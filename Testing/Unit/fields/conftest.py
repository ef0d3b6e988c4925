"""Lets the tests of this folder import ``fields_for_tests``, also in pytest's importlib mode."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
