"""Colours for scene, pictures, report, web page and docs.

- **How much** (distance moved, attention, uncertainty): one hue sequence whose lightness rises.
- **Volume**: blue shrank, orange expanded; lightness rises on both sides alike.
- **Intensity**: violet darker, yellow brighter; lightness falls on the dark side and rises on the bright one.

Each map is monotone in lightness (CIELAB) on either side of its centre, and its sides are distinct with every common
kind of colour blindness; a test holds both. Maps of change are grey where nothing changed and nowhere transparent:
Slicer knows only opaque and transparent colours (the view's own opacity makes the overlay half transparent), so a
transparent band around 0 would draw an edge that is not in the data.
"""

from __future__ import annotations

from colorsys import hsv_to_rgb
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Slicer maps volumes to 8 bit before it colours them.
SIZE = 256
#: Node attribute that marks a table as ours, so that it is made once a scene.
ATTRIBUTE = "SITTranslate.Colours"
LABELS = "labels"
#: Contours of structures: as they are in the source, and as the motion carries them over.
BEFORE, AFTER = (0.25, 0.85, 1.0), (1.0, 0.62, 0.15)
#: What a person must not overlook: the mark of everything synthetic.
MARK = (1.0, 0.76, 0.25)

HOW_FAR, HOW_MUCH = "how far it moved", "little or much"
VOLUME, INTENSITY = "shrank or expanded", "darker or brighter"
#: The colours of the volume on a surface, where nothing lies below.
VOLUME_OPAQUE = "shrank or expanded (surface)"

_Stop = tuple[float, tuple[float, float, float]]
_SEQUENCE: list[_Stop] = [
    (0.00, (0.33, 0.26, 0.66)),
    (0.25, (0.20, 0.46, 0.74)),
    (0.50, (0.13, 0.66, 0.63)),
    (0.75, (0.53, 0.83, 0.38)),
    (1.00, (0.99, 0.93, 0.47)),
]
#: Positions 0..1 and RGB.
STOPS: dict[str, list[_Stop]] = {
    HOW_FAR: _SEQUENCE,
    HOW_MUCH: _SEQUENCE,
    VOLUME: [
        (0.00, (0.50, 0.87, 1.00)),
        (0.25, (0.16, 0.60, 0.96)),
        (0.50, (0.45, 0.45, 0.46)),
        (0.75, (0.90, 0.46, 0.12)),
        (1.00, (1.00, 0.79, 0.48)),
    ],
    INTENSITY: [
        (0.00, (0.33, 0.02, 0.52)),
        (0.25, (0.55, 0.26, 0.78)),
        (0.50, (0.60, 0.60, 0.60)),
        (0.75, (0.84, 0.74, 0.16)),
        (1.00, (1.00, 0.96, 0.45)),
    ],
}
STOPS[VOLUME_OPAQUE] = STOPS[VOLUME]
#: Where there is no value, the scan is visible.
_TRANSPARENT_AT_0 = (HOW_MUCH,)


def rgba(name: str) -> NDArray[np.float64]:
    """The table as ``(SIZE, 4)`` values in 0..1."""
    positions = [position for position, _ in STOPS[name]]
    colours = np.array([colour for _, colour in STOPS[name]])
    at = np.linspace(0.0, 1.0, SIZE)
    alpha = np.ones(SIZE)
    if name in _TRANSPARENT_AT_0:
        alpha[0] = 0.0
    channels = [np.interp(at, positions, colours[:, channel]) for channel in range(3)]
    return np.stack([*channels, alpha], axis=1)


def hexadecimal(colour: tuple[float, float, float]) -> str:
    """A colour as style sheets write it."""
    return "#" + "".join(f"{round(255 * channel):02x}" for channel in colour)


def gradient(name: str) -> str:
    """A map as a CSS gradient, for the keys of the report and of the page."""
    stops = ", ".join(f"{hexadecimal(colour)} {100 * position:g}%" for position, colour in STOPS[name])
    return f"linear-gradient(to right, {stops})"


def label_colours() -> NDArray[np.float64]:
    """``(SIZE, 4)`` for labels: 0 shows the anatomy, neighbouring numbers have hues far apart."""
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
    node.SetNumberOfColors(len(colours))
    for index, (red, green, blue, alpha) in enumerate(colours):
        node.SetColor(index, f"{name} {index}", red, green, blue, alpha)
    node.SetAttribute(ATTRIBUTE, name)
    return scene.AddNode(node)


def transfer_function(name: str, high: float) -> Any:
    """``vtkColorTransferFunction`` from 0 to ``high`` mm, for glyphs and grids."""
    import vtk

    function = vtk.vtkColorTransferFunction()
    for position, (red, green, blue) in STOPS[name]:
        function.AddRGBPoint(position * high, red, green, blue)
    return function
