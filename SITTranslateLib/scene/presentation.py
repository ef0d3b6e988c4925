"""A result in the layout's views: volumes, arrows in the motion view, slices with the largest change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.scene import layout
from SITTranslateLib.scene.display import transform_display
from SITTranslateLib.scene.hierarchy import put_into
from SITTranslateLib.scene.result import SceneResult
from SITTranslateLib.scene.runs import show_drawn
from SITTranslateLib.scene.surface import show_expansion

ORIENTATIONS = ("Axial", "Coronal", "Sagittal")
#: Which two RAS axes a slice shows, left to right and bottom to top.
_AXES = {"Axial": (0, 1), "Coronal": (0, 2), "Sagittal": (1, 2)}
#: An overlay is half opaque at most: the anatomy under it stays visible.
OVERLAY_OPACITY = 0.5
_CAMERA = "vtkMRMLCameraNode"


def show_result(scene: Any, result: SceneResult, *, again: bool = False) -> None:
    """Fill our layout's views with a result and link them; the slices go where most changed.

    Args:
        again: it was in these views before: what was chosen there stays, unless others put something else in.
    """
    show_drawn(scene, result.folder)
    # Opacity 0: the arrows' colours show the distance; as a layer of the view it brings its legend.
    contents = {
        layout.SOURCE: (result.source, None, 0.0),
        layout.TRANSLATED: (result.translated, None, 0.0),
        layout.MOTION: (result.source, result.distance, 0.0),
        layout.CHANGE: (result.source, result.overlay, OVERLAY_OPACITY),
    }
    for name, (background, foreground, opacity) in contents.items():
        if not (again and _shows(scene, name, background)):
            layout.show_volumes(scene, name, background, foreground, opacity if foreground is not None else 0.0)
    if not again:
        show_motion(scene, result, "glyphs")
        style_3d_view(scene)
        layout.jump_to(scene, result.focus)
    layout.link_views(scene)


def _shows(scene: Any, name: str, background: Any) -> bool:
    composite = layout.composite_node(scene, name)
    return composite is not None and composite.GetBackgroundVolumeID() == background.GetID()


def show_motion(scene: Any, result: SceneResult, kind: str | None, *, in_3d: bool = False) -> None:
    """Show the motion as ``glyphs``, ``grid`` or ``contours`` in the motion view, or not (None); arrows in 3D."""
    if result.motion is None:
        return
    for other in ("glyphs", "grid", "contours"):
        display = transform_display(result.motion, other)
        display.SetVisibility(int(other == kind))
        display.SetVisibility2D(1)
        display.SetVisibility3D(0)
    show_arrows_in_3d(result, in_3d)


def show_arrows_in_3d(result: SceneResult, shown: bool) -> None:
    """Arrows inside a clear outline, or the outline coloured by the change of volume under it."""
    arrows = transform_display(result.motion, "arrows") if result.motion is not None else None
    if arrows is not None:
        arrows.SetVisibility(int(shown))
        arrows.SetVisibility3D(int(shown))
    if result.outline is not None:
        show_expansion(result.outline, not shown)


def put_with(scene: Any, result: SceneResult, node: Any) -> None:
    """Stand another node in the folder of a result."""
    put_into(scene, result.folder, node)
    result.nodes.append(node)


def style_3d_view(scene: Any) -> None:
    """A dark 3D view without box and letters, with a cube that names the sides."""
    import slicer

    view = scene.GetSingletonNode(layout.THREE_D, "vtkMRMLViewNode")
    if view is None:
        return
    view.SetBoxVisible(0)
    view.SetAxisLabelsVisible(0)
    view.SetBackgroundColor(0.02, 0.02, 0.03)
    view.SetBackgroundColor2(0.09, 0.10, 0.13)
    view.SetOrientationMarkerSize(slicer.vtkMRMLAbstractViewNode.OrientationMarkerSizeSmall)
    view.SetOrientationMarkerType(slicer.vtkMRMLAbstractViewNode.OrientationMarkerTypeCube)


def frame_3d(scene: Any, box: NDArray[np.floating], size: Sequence[int]) -> None:
    """Have the camera of our 3D view look at a RAS box from the front, a little from the left and above, all of it.

    Args:
        box: lower and upper corner (mm).
        size: width and height of the view in pixels.
    """
    nodes = (scene.GetNthNodeByClass(index, _CAMERA) for index in range(scene.GetNumberOfNodesByClass(_CAMERA)))
    camera = next((node for node in nodes if node.GetLayoutName() == layout.THREE_D), None)
    if camera is None:
        return
    turn, rise = np.radians(35.0), np.radians(12.0)
    towards = np.array([-np.sin(turn) * np.cos(rise), np.cos(turn) * np.cos(rise), np.sin(rise)])
    half = np.tan(np.radians(camera.GetViewAngle()) / 2.0) * min(1.0, size[0] / max(size[1], 1))
    corners = np.array(np.meshgrid(*np.transpose(box))).reshape(3, -1).T - np.mean(box, axis=0)
    across = np.array([np.cos(turn), np.sin(turn), 0.0])
    depth, aside = corners @ towards, np.maximum(np.abs(corners @ across), np.abs(corners @ np.cross(towards, across)))
    camera.SetFocalPoint(*np.mean(box, axis=0))
    camera.SetPosition(*(np.mean(box, axis=0) + towards * float(np.max(depth + aside / half))))
    camera.SetViewUp(0.0, 0.0, 1.0)
    camera.ResetClippingRange()


def normal_axis(orientation: str) -> int:
    """The RAS axis (0, 1, 2) that slices of an orientation lie across."""
    return 3 - sum(_AXES[orientation])


def position_text(orientation: str, offset_mm: float) -> str:
    """Where a slice lies, as viewers write it: ``S 12.5 mm`` is 12.5 mm above the origin, ``I 3.0 mm`` below."""
    axis = normal_axis(orientation)
    return f"{'RAS'[axis] if offset_mm >= 0 else 'LPI'[axis]} {abs(offset_mm):.1f} mm"


def frame(
    slice_node: Any,
    orientation: str,
    point: NDArray[np.floating],
    box: NDArray[np.floating],
    size: Sequence[int],
    *,
    fill: float = 0.88,
) -> None:
    """Cut at ``point`` and frame a RAS box so that it fills ``fill`` of the view, centred.

    Axial and coronal slices are shown from the feet and the front (the patient's right is on the left).
    """
    slice_node.SetOrientation(orientation)
    across, up = _AXES[orientation]
    extent = box[1] - box[0]
    width, height = float(size[0]), float(size[1])
    scale = max(extent[across] / width, extent[up] / height) / fill
    centre = (box[0] + box[1]) / 2.0
    middle = np.asarray(point, dtype=np.float64).copy()
    middle[[across, up]] = centre[[across, up]]
    matrix = slice_node.GetSliceToRAS()
    for row in range(3):
        matrix.SetElement(row, 3, float(middle[row]))
    slice_node.SetXYZOrigin(0, 0, 0)
    slice_node.SetFieldOfView(width * scale, height * scale, slice_node.GetFieldOfView()[2])
    slice_node.UpdateMatrices()
