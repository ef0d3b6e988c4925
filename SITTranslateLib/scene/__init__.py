"""A translation in a MRML scene: volumes, transforms, display, layout, tables, one folder a run.

Needs ``slicer`` and ``vtk``, which are imported when a function is called; no Qt, no torch. ``headless`` boots the same
scene, with real views, outside the application.
"""
