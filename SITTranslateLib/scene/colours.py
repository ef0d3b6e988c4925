"""Colour tables of our own: what shrank or darkened, what expanded or brightened, how far it moved.

Diverging tables are transparent around zero, so that the anatomy shows wherever nothing happened. The hues are
told apart by every common kind of colour blindness (blue against orange, violet against yellow).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = 256
#: Node attribute that marks a table as ours, so that it is made once a scene.
ATTRIBUTE = "SITTranslate.Colours"

#: Positions 0..1 and RGBA; alpha 0 shows the anatomy.
STOPS: dict[str, list[tuple[float, tuple[float, float, float, float]]]] = {
    "shrank or expanded": [
        (0.00, (0.62, 0.90, 1.00, 0.95)),
        (0.22, (0.16, 0.55, 1.00, 0.78)),
        (0.40, (0.10, 0.36, 0.90, 0.42)),
        (0.48, (0.08, 0.28, 0.80, 0.00)),
        (0.52, (0.85, 0.24, 0.04, 0.00)),
        (0.60, (0.95, 0.32, 0.05, 0.42)),
        (0.78, (1.00, 0.50, 0.08, 0.78)),
        (1.00, (1.00, 0.88, 0.50, 0.95)),
    ],
    "darker or brighter": [
        (0.00, (0.86, 0.64, 1.00, 0.95)),
        (0.22, (0.62, 0.28, 0.98, 0.85)),
        (0.40, (0.46, 0.12, 0.86, 0.50)),
        (0.48, (0.40, 0.08, 0.78, 0.00)),
        (0.52, (0.72, 0.62, 0.00, 0.00)),
        (0.60, (0.82, 0.72, 0.00, 0.50)),
        (0.78, (0.96, 0.88, 0.04, 0.85)),
        (1.00, (1.00, 1.00, 0.60, 0.95)),
    ],
    "how far the grid moved": [
        (0.00, (0.30, 0.33, 0.40, 1.00)),
        (0.15, (0.30, 0.45, 0.62, 1.00)),
        (0.30, (0.10, 0.75, 0.95, 1.00)),
        (0.55, (0.30, 0.95, 0.45, 1.00)),
        (0.78, (1.00, 0.90, 0.20, 1.00)),
        (1.00, (1.00, 0.30, 0.12, 1.00)),
    ],
    "how far it moved": [
        (0.00, (0.18, 0.35, 0.95, 1.00)),
        (0.30, (0.10, 0.75, 0.95, 1.00)),
        (0.55, (0.30, 0.95, 0.45, 1.00)),
        (0.78, (1.00, 0.90, 0.20, 1.00)),
        (1.00, (1.00, 0.30, 0.12, 1.00)),
    ],
}


def rgba(name: str) -> NDArray[np.float64]:
    """The table as ``(256, 4)`` values in 0..1."""
    positions = [position for position, _ in STOPS[name]]
    colours = np.array([colour for _, colour in STOPS[name]])
    at = np.linspace(0.0, 1.0, SIZE)
    return np.stack([np.interp(at, positions, colours[:, channel]) for channel in range(4)], axis=1)


def colour_table(scene: Any, name: str) -> Any:
    """The scene's colour table node of that name, made at the first call; saved with the scene."""
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLColorTableNode")):
        existing = scene.GetNthNodeByClass(index, "vtkMRMLColorTableNode")
        if existing.GetAttribute(ATTRIBUTE) == name:
            return existing
    node = scene.CreateNodeByClass("vtkMRMLColorTableNode")
    node.UnRegister(None)
    node.SetTypeToUser()
    node.SetName(scene.GenerateUniqueName(f"SITTranslate {name}"))
    node.SetNumberOfColors(SIZE)
    for index, (red, green, blue, alpha) in enumerate(rgba(name)):
        node.SetColor(index, f"{name} {index}", red, green, blue, alpha)
    node.SetAttribute(ATTRIBUTE, name)
    return scene.AddNode(node)


def transfer_function(name: str, high: float) -> Any:
    """``vtkColorTransferFunction`` from 0 to ``high`` mm, for glyphs and grids."""
    import vtk

    function = vtk.vtkColorTransferFunction()
    for position, (red, green, blue, _alpha) in STOPS[name]:
        function.AddRGBPoint(position * high, red, green, blue)
    return function
