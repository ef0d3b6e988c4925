"""Colour tables of our own: what shrank or darkened, what expanded or brightened, how far it moved.

Diverging tables are transparent around zero, so that the anatomy shows wherever nothing happened. The hues are
told apart by every common kind of colour blindness (blue against orange, violet against yellow).
"""

from __future__ import annotations

from colorsys import hsv_to_rgb
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = 256
#: Node attribute that marks a table as ours, so that it is made once a scene.
ATTRIBUTE = "SITTranslate.Colours"
LABELS = "labels"

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
    "little or much": [
        (0.00, (0.10, 0.30, 0.45, 0.00)),
        (0.12, (0.10, 0.40, 0.50, 0.25)),
        (0.45, (0.10, 0.70, 0.55, 0.70)),
        (0.75, (0.75, 0.88, 0.30, 0.85)),
        (1.00, (1.00, 1.00, 0.75, 0.95)),
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


def label_colours() -> NDArray[np.float64]:
    """``(256, 4)`` for labels: 0 shows the anatomy, neighbouring numbers have hues far apart."""
    numbers = np.arange(SIZE)
    # Steps of the golden angle never come back near a hue they had.
    hues = (0.58 + numbers * 0.6180339887) % 1.0
    values = np.where(numbers % 2 == 0, 0.95, 0.75)
    return np.array([(*hsv_to_rgb(h, 0.65, v), float(n > 0)) for n, h, v in zip(numbers, hues, values, strict=True)])


def label_table(scene: Any) -> Any:
    """The scene's colours of labels."""
    return _table(scene, LABELS, label_colours())


def colour_table(scene: Any, name: str) -> Any:
    """The scene's colour table node of that name, made at the first call; saved with the scene."""
    return _table(scene, name, rgba(name))


def _table(scene: Any, name: str, colours: NDArray[np.float64]) -> Any:
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLColorTableNode")):
        existing = scene.GetNthNodeByClass(index, "vtkMRMLColorTableNode")
        if existing.GetAttribute(ATTRIBUTE) == name:
            return existing
    node = scene.CreateNodeByClass("vtkMRMLColorTableNode")
    node.UnRegister(None)
    node.SetTypeToUser()
    node.SetName(scene.GenerateUniqueName(f"SITTranslate {name}"))
    node.SetNumberOfColors(SIZE)
    for index, (red, green, blue, alpha) in enumerate(colours):
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
