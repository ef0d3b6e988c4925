"""The module's panel: one file per section, each with its own ``.ui``; ``session`` works, ``panel`` connects them.

Needs Slicer's ``qt`` and ``slicer``; no torch, no field maths. Plain constructs only: what PySide6 and PythonQt both
understand (new-style signals, setter methods, properties read as values).
"""
