"""Slicer's Qt side on PySide6, so that the module's own code and ``.ui`` files run without Slicer.

The scene, its logics and the views are Slicer's own (slicer-core); only Qt widgets are stood in for. The stand-ins are
strict: a class, property or signal that Slicer does not have is an error here too. What this cannot show: PythonQt's
conversions and ownership, the look of CTK widgets, Slicer's module factory.
"""

from __future__ import annotations

import os

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from harness.slicer_application import Harness, harness

__all__ = ["Harness", "harness"]
