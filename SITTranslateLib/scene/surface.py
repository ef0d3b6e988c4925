"""The outline of a head as a translucent surface: a place for arrows in 3D."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from SITTranslateLib.scene.display import head_mask
from SITTranslateLib.scene.volumes import array_to_matrix, image_from_array
from SITTranslateLib.volume import Volume

#: The outline is taken on a grid of about this size (mm): it shows where things are, not their detail.
OUTLINE_MM = 3.0


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
    display.SetOpacity(0.14)
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
    mask = head_mask(volume.array)[:: steps[0], :: steps[1], :: steps[2]]
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
