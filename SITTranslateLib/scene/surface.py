"""The outline of a head as a translucent surface for the arrows in 3D."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.scene.colours import VOLUME_OPAQUE, colour_table
from SITTranslateLib.scene.display import head_level, style_legend
from SITTranslateLib.scene.ranges import volume_percent
from SITTranslateLib.scene.volumes import array_to_matrix, image_from_array
from SITTranslateLib.volume import Grid, Volume

#: The outline is taken on a grid of about this size (mm): it shows where things are, not their detail.
OUTLINE_MM = 3.0
#: Depths under the outline (mm) at which the change of volume is read.
DEPTHS_MM = (2.0, 5.0, 8.0, 11.0)
EXPANSION = "volume change (%)"
COLOURED_OPACITY, CLEAR_OPACITY = 1.0, 0.14


def add_outline_node(scene: Any, volume: Volume, name: str, view_ids: Sequence[str]) -> Any:
    """A ``vtkMRMLModelNode`` in RAS mm: the outside of a scan, smooth and translucent."""
    node = scene.CreateNodeByClass("vtkMRMLModelNode")
    node.UnRegister(None)
    node.SetName(scene.GenerateUniqueName(name))
    node.SetAndObservePolyData(outline(volume))
    scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetColor(0.78, 0.80, 0.86)
    display.SetOpacity(CLEAR_OPACITY)
    display.SetBackfaceCulling(1)
    display.SetSpecular(0.1)
    display.SetVisibility2D(0)
    for view in view_ids:
        display.AddViewNodeID(view)
    return node


def outline(volume: Volume) -> Any:
    """``vtkPolyData`` in RAS mm of the largest connected surface around a scan."""
    import vtk

    steps = [max(1, round(OUTLINE_MM / spacing)) for spacing in reversed(volume.spacing)]
    mask = volume.array[:: steps[0], :: steps[1], :: steps[2]] > head_level(volume.array)
    image = image_from_array(np.pad(mask, 1).astype(np.float32))
    smooth = vtk.vtkImageGaussianSmooth()
    smooth.SetInputData(image)
    smooth.SetStandardDeviations(1.0, 1.0, 1.0)
    contour = vtk.vtkFlyingEdges3D()
    contour.SetInputConnection(smooth.GetOutputPort())
    contour.SetValue(0, 0.5)
    contour.ComputeNormalsOff()
    contour.ComputeScalarsOff()
    largest = vtk.vtkPolyDataConnectivityFilter()
    largest.SetInputConnection(contour.GetOutputPort())
    largest.SetExtractionModeToLargestRegion()
    affine = volume.affine.copy()
    affine[:3, :3] *= np.array(steps[::-1], dtype=np.float64)
    affine[:3, 3] -= affine[:3, :3] @ np.ones(3)
    place = vtk.vtkTransform()
    place.SetMatrix(array_to_matrix(affine))
    world = vtk.vtkTransformPolyDataFilter()
    world.SetInputConnection(largest.GetOutputPort())
    world.SetTransform(place)
    normals = vtk.vtkPolyDataNormals()
    normals.SetInputConnection(world.GetOutputPort())
    normals.ConsistencyOn()
    normals.AutoOrientNormalsOn()
    normals.SplittingOff()
    normals.Update()
    return normals.GetOutput()


def colour_outline(node: Any, jacobian: Volume, head: NDArray[np.bool_], bound: float) -> None:
    """Colour an outline by the change of volume under it.

    Args:
        node: of :func:`add_outline_node`.
        jacobian: of the motion.
        head: on its grid; outside it nothing counts as changed.
        bound: of the colours, in %.
    """
    import slicer
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    surface = node.GetPolyData()
    points = vtk_to_numpy(surface.GetPoints().GetData())
    normals = vtk_to_numpy(surface.GetPointData().GetNormals())
    # On the surface itself there is half air; the mean of a few depths shows the change below.
    places = [_nearest(jacobian.grid, points - depth * normals) for depth in DEPTHS_MM]
    values = np.mean([volume_percent(jacobian.array[place]) * head[place] for place in places], axis=0)
    scalars = numpy_to_vtk(values.astype(np.float32), deep=True)
    scalars.SetName(EXPANSION)
    surface.GetPointData().AddArray(scalars)
    display = node.GetDisplayNode()
    display.SetActiveScalarName(EXPANSION)
    display.SetScalarRangeFlag(display.UseManualScalarRange)
    display.SetScalarRange(-bound, bound)
    display.SetAndObserveColorNodeID(colour_table(node.GetScene(), VOLUME_OPAQUE).GetID())
    legend = slicer.vtkSlicerColorLogic.AddDefaultColorLegendDisplayNode(display)
    style_legend(legend, "volume (%)\n+ expanded\n- shrank", "%5.0f")
    show_expansion(node, True)


def show_expansion(node: Any, shown: bool) -> None:
    """Show an outline in its colours, or clear, so that what is in it can be seen."""
    import slicer

    display = node.GetDisplayNode()
    shown = shown and bool(node.GetPolyData().GetPointData().HasArray(EXPANSION))
    display.SetScalarVisibility(int(shown))
    display.SetOpacity(COLOURED_OPACITY if shown else CLEAR_OPACITY)
    legend = slicer.vtkSlicerColorLogic.GetColorLegendDisplayNode(display)
    if legend is not None:
        legend.SetVisibility(int(shown))


def _nearest(grid: Grid, points: NDArray[np.floating]) -> tuple[NDArray[np.integer], ...]:
    """Indices (k, j, i) of the voxels nearest to some points."""
    indices = np.rint(grid.to_indices(points.astype(np.float64))).astype(int)[:, ::-1]
    return tuple(np.clip(indices, 0, np.array(grid.shape) - 1).T)
