"""Where a translated scan came from: segments, points, estimated fields, identity, verdict.

``table`` and ``verdict`` import neither torch nor any field maths, so that the scene and the report can hold their
results; ``segments``, ``points``, ``identity`` and ``estimate`` do the measuring.
"""
