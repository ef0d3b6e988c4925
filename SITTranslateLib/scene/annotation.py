"""Text in a view: title, the mark of every synthetic picture, and orientation letters.

Plain VTK text on a renderer, so that it works in Slicer's own views and off-screen alike.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from SITTranslateLib.scene.colours import MARK

#: The mark that every synthetic picture, node and report carries.
SYNTHETIC = "synthetic, research use only"
_WHITE = (0.95, 0.95, 0.95)
_GREY = (0.72, 0.74, 0.78)

_CORNERS = {  # corner -> position, horizontal, vertical justification
    "top left": ((0.015, 0.985), "Left", "Top"),
    "top right": ((0.985, 0.985), "Right", "Top"),
    "bottom left": ((0.015, 0.015), "Left", "Bottom"),
    "bottom right": ((0.985, 0.015), "Right", "Bottom"),
    "left": ((0.012, 0.5), "Left", "Centered"),
    "right": ((0.988, 0.5), "Right", "Centered"),
    "top": ((0.5, 0.985), "Centered", "Top"),
    "bottom": ((0.5, 0.065), "Centered", "Bottom"),  # above the ruler
}


def add_text(
    renderer: Any,
    text: str,
    corner: str,
    size: int,
    colour: tuple[float, float, float] = _WHITE,
    *,
    bold: bool = False,
    backing: bool = False,
) -> Any:
    """A line of text at a corner or side of a renderer; ``size`` in points, ``backing`` darkens behind it."""
    import vtk

    position, horizontal, vertical = _CORNERS[corner]
    actor = vtk.vtkTextActor()
    actor.SetInput(text)
    actor.GetPositionCoordinate().SetCoordinateSystemToNormalizedViewport()
    actor.SetPosition(*position)
    style = actor.GetTextProperty()
    style.SetFontFamilyToArial()
    style.SetFontSize(size)
    style.SetColor(*colour)
    style.SetBold(bold)
    style.ShadowOn()
    if backing:
        style.SetBackgroundColor(0.0, 0.0, 0.0)
        style.SetBackgroundOpacity(0.55)
    getattr(style, f"SetJustificationTo{horizontal}")()
    getattr(style, f"SetVerticalJustificationTo{vertical}")()
    style.SetLineSpacing(1.15)
    renderer.AddViewProp(actor)
    return actor


def annotate(renderer: Any, title: str, *, synthetic: bool, size: int = 20) -> list[Any]:
    """Title at the top, and under it the mark of a view that shows anything synthetic.

    The mark stays clear of the corners at the bottom: Slicer's Data Probe writes at the left, the cube stands at the
    right.
    """
    actors = [add_text(renderer, title, "top left", size, bold=True, backing=True)]
    if synthetic:
        points = max(12, round(0.8 * size))
        mark = add_text(renderer, SYNTHETIC, "top left", points, MARK, backing=True)
        # Relative to the title, in pixels, so that it stays under it in a view of any size.
        place = mark.GetPositionCoordinate()
        place.SetCoordinateSystemToViewport()
        place.SetReferenceCoordinate(actors[0].GetPositionCoordinate())
        place.SetValue(0.0, -1.75 * size)
        actors.append(mark)
    return actors


def add_sides(renderer: Any, slice_node: Any, size: int = 18) -> list[Any]:
    """R, L, A, P, S, I at the sides of a slice view, from the directions the view really shows."""
    across, up = (np.array([slice_node.GetXYToRAS().GetElement(row, column) for row in range(3)]) for column in (0, 1))
    sides = {
        "left": side_letter(-across),
        "right": side_letter(across),
        "top": side_letter(up),
        "bottom": side_letter(-up),
    }
    titles = [prop for prop in renderer.GetViewProps() if prop.IsA("vtkTextActor")]
    actors = [add_text(renderer, letter, side, size, _GREY, bold=True) for side, letter in sides.items()]
    width, height = renderer.GetSize()
    if any(_width(renderer, title) > 0.47 * width for title in titles):
        # Under a title that reaches the middle, and under its mark.
        actors[2].SetPosition(0.5, 0.985 - 60.0 / height)
    return actors


def _width(renderer: Any, actor: Any) -> float:
    """Width of a text in pixels."""
    size = [0.0, 0.0]
    actor.GetSize(renderer, size)
    return size[0]


def side_letter(direction: Any) -> str:
    """The anatomical side that a RAS direction points to."""
    axis = int(np.argmax(np.abs(direction)))
    return ("LR", "PA", "IS")[axis][int(direction[axis] > 0)]
