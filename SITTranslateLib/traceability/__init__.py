"""Origin of a translated scan: segments, points, estimated fields, explanation, verdict.

``table`` and ``verdict`` import neither torch nor any field maths, so that the scene and the report can hold their
results; ``segments``, ``points``, ``explanation`` and ``estimate`` compute them.
"""
