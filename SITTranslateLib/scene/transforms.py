"""Displacement fields as transform nodes.

Two conventions meet here, and both are held by a test:

- A **sampling field** ``y -> y + u(y)`` is a transform *from* the parent: volumes under the node are resampled as
  ``out(y) = in(y + u(y))``, and Slicer moves points, surfaces and glyphs by the inverse, which is the motion.
- A **motion** ``x -> x + w(x)`` is a transform *to* the parent. Glyphs and grids sample that direction directly,
  where the first kind must be inverted point by point at every redraw: so the motion is shown by its own coarse node.

Slicer repeats the edge displacement beyond a grid, so every grid gets a border of zeros; interpolation is cubic,
because that is what a reload makes of it anyway.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.scene.display import fading
from SITTranslateLib.scene.volumes import STEP_BYTES, array_to_matrix, matrix_to_array
from SITTranslateLib.steps import finish
from SITTranslateLib.volume import VectorField

BORDER = 2
#: Spacing (mm) of the motion as it is drawn, and of the map of how far it goes.
DRAWN_MM, MAPPED_MM = 3.0, 2.0


def grid_transform(field: VectorField, border: int = BORDER) -> Any:
    """``vtkOrientedGridTransform`` of a displacement in mm RAS, on the field's own grid plus a border of zeros."""
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    axes = field.grid.axes
    spacing = np.asarray(field.grid.spacing)
    shape = np.array(field.grid.shape) + 2 * border
    image = vtk.vtkImageData()
    image.SetDimensions(*shape[::-1].tolist())
    image.SetOrigin(*(field.affine[:3, 3] - axes @ np.full(3, float(border))))
    image.SetSpacing(*spacing)
    # As scalars: a grid transform whose vectors are set by SetVectors is silently the identity.
    image.AllocateScalars(vtk.VTK_FLOAT, 3)
    vectors = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(*shape, 3)
    inner = slice(border, -border or None)
    if border:
        vectors[:] = 0.0
    vectors[inner, inner, inner] = field.array
    directions = np.eye(4)
    directions[:3, :3] = axes / spacing
    transform = slicer.vtkOrientedGridTransform()
    transform.SetGridDirectionMatrix(array_to_matrix(directions))
    transform.SetDisplacementGridData(image)
    transform.SetInterpolationModeToCubic()
    return transform


def add_sampling_node(scene: Any, sampling: VectorField, name: str) -> Any:
    """A transform node that resamples volumes put under it as ``out(y) = in(y + u(y))``."""
    transform = grid_transform(sampling)
    return _add_transform_node(scene, name, lambda node: node.SetAndObserveTransformFromParent(transform))


def add_motion_node(scene: Any, motion: VectorField, name: str) -> Any:
    """A transform node that moves points by ``x -> x + w(x)``; a grid of some :data:`DRAWN_MM` is fast to draw."""
    transform = grid_transform(motion)
    return _add_transform_node(scene, name, lambda node: node.SetAndObserveTransformToParent(transform))


def add_velocity_node(scene: Any, velocity: VectorField, name: str) -> Any:
    """A node that keeps a velocity as it is, every vector and no border, so that it comes back exactly."""
    return _add_transform_node(
        scene, name, lambda node: node.SetAndObserveTransformToParent(grid_transform(velocity, border=0))
    )


def _add_transform_node(scene: Any, name: str, fill: Any) -> Any:
    node = scene.CreateNodeByClass("vtkMRMLTransformNode")
    node.UnRegister(None)
    node.SetName(scene.GenerateUniqueName(name))
    fill(node)
    scene.AddNode(node)
    return node


def thinned(field: VectorField, finest_mm: float, inside: NDArray[np.bool_] | None = None) -> VectorField:
    """Every n-th vector along each axis, so that voxels are about ``finest_mm``; the last vectors are kept.

    A plain pick, not an average: fields here are smooth, and a picked vector is exact where it lies.

    Args:
        field: displacements in mm.
        finest_mm: spacing to reach.
        inside: the head on the field's grid: outside it the field fades to nothing, since changes in air mean nothing
            and would hide those of the head.
    """
    return finish(thinning(field, finest_mm, inside))


def thinning(
    field: VectorField, finest_mm: float, inside: NDArray[np.bool_] | None = None
) -> Generator[None, None, VectorField]:
    """:func:`thinned` in steps."""
    spacing = np.array(field.grid.spacing[::-1])
    steps = np.maximum(1, np.rint(finest_mm / spacing)).astype(int)
    affine = field.affine.copy()
    affine[:3, :3] *= steps[::-1].astype(np.float64)
    vectors = yield from _picking(field.array, steps)
    if inside is not None:
        near = yield from _picking(inside, steps)
        weight = yield from fading(near, max(1, round(2.0 / float(steps.mean()))))
        vectors *= weight[..., None]
    return VectorField(vectors, affine)


def _picking(array: NDArray[Any], steps: NDArray[np.integer]) -> Generator[None, None, NDArray[Any]]:
    """Every n-th voxel; the last plane of an axis that is not among them follows, or what lies there would be lost.

    In steps of some planes: the whole field is read, which takes longer than the little that is picked.
    """
    planes, *rest = (
        [*range(0, count, step), *([count - 1] if (count - 1) % step else [])]
        for count, step in zip(array.shape[:3], steps.tolist(), strict=True)
    )
    picked = np.empty([len(planes), *(len(indices) for indices in rest), *array.shape[3:]], array.dtype)
    parts = [_parts(count, step) for count, step in zip(array.shape[1:3], steps[1:].tolist(), strict=True)]
    count = max(1, STEP_BYTES // max(array[:1].nbytes, 1))
    for number, plane in enumerate(planes, 1):
        for (put_j, taken_j), (put_i, taken_i) in itertools.product(*parts):
            picked[number - 1, put_j, put_i] = array[plane, taken_j, taken_i]
        if number % count == 0:
            yield
    yield
    return picked


def _parts(count: int, step: int) -> list[tuple[slice, slice]]:
    """Where every n-th index goes and is taken from, and the last one if it is not among them."""
    whole = (count - 1) // step + 1
    last = [(slice(whole, whole + 1), slice(-1, None))] if (count - 1) % step else []
    return [(slice(0, whole), slice(None, None, step)), *last]


def field_of_node(node: Any) -> VectorField:
    """The displacement stored in a grid transform node, border included; frame as stored (from or to the parent).

    Raises:
        ValueError: the node holds no grid transform.
    """
    from vtk.util.numpy_support import vtk_to_numpy

    for getter in (node.GetTransformFromParentAs, node.GetTransformToParentAs):
        transform = getter("vtkOrientedGridTransform", False, True)
        if transform is not None:
            break
    else:
        raise ValueError(f"'{node.GetName()}' holds no grid transform")
    image = transform.GetDisplacementGrid()
    columns, rows, slices = image.GetDimensions()
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(slices, rows, columns, 3)
    directions = matrix_to_array(transform.GetGridDirectionMatrix())[:3, :3]
    affine = np.eye(4)
    affine[:3, :3] = directions * np.asarray(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return VectorField(array.astype(np.float32), affine)


def moved_points(node: Any, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """RAS points ``(N, 3)`` as moved by Slicer under a transform node (its to-world direction)."""
    import vtk

    transform = vtk.vtkGeneralTransform()
    node.GetTransformToWorld(transform)
    return np.array([transform.TransformPoint(*point) for point in np.asarray(points, dtype=np.float64)])
