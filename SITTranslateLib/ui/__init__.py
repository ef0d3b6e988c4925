"""The module's panel: one file a section, each with its own ``.ui``; ``session`` does the work, ``panel`` joins them.

Needs Slicer's ``qt`` and ``slicer``; no torch, no field maths. Plain constructs only: what PySide6 and PythonQt both
understand (new-style signals, setter methods, properties read as values).
"""
