"""Conversion between ``vtkMRMLScalarVolumeNode`` and :class:`Volume`, including the geometry."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.scene import sequences
from SITTranslateLib.steps import finish
from SITTranslateLib.volume import Grid, Volume

#: Bytes of voxels that are written in one step, a few milliseconds.
STEP_BYTES = 4 << 20
#: Classes that are scalar volumes by inheritance but not scans.
_NOT_SCANS = {
    "vtkMRMLLabelMapVolumeNode": "a label map",
    "vtkMRMLVectorVolumeNode": "a vector volume",
    "vtkMRMLDiffusionWeightedVolumeNode": "a diffusion-weighted volume",
    "vtkMRMLDiffusionTensorVolumeNode": "a tensor volume",
    "vtkMRMLMultiVolumeNode": "a multi-volume",
}


def volume_from_node(node: Any) -> Volume:
    """The scan that a scalar volume node shows, in the world: a linear parent transform is folded into its grid.

    Args:
        node: ``vtkMRMLScalarVolumeNode``.

    Returns:
        Its values as float32 ``(K, J, I)`` in native units, affine in RAS mm.

    Raises:
        InputError: a label map, a vector or colour volume, a frame of a running sequence, no voxels, or a parent
            transform that bends.
    """
    return finish(reading_volume(node))


def reading_volume(node: Any, *, without_value: float | None = None) -> Generator[None, None, Volume]:
    """:func:`volume_from_node` in steps of some slices.

    Args:
        without_value: put where the node has no number; None leaves it.
    """
    _refuse_what_is_no_scan(node)
    from vtk.util.numpy_support import vtk_to_numpy

    image = node.GetImageData()
    columns, rows, slices = image.GetDimensions()
    array = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(slices, rows, columns)

    def values(part: slice) -> NDArray[np.generic]:
        return array[part] if without_value is None else np.nan_to_num(array[part], nan=without_value)

    affine, read = world_affine(node), np.empty(array.shape, np.float32)
    yield from filling(read, values)
    return Volume(read, affine, node.GetName() or "volume")


def filling(array: NDArray[Any], values: Callable[[slice], NDArray[np.generic]]) -> Generator[None, None, None]:
    """Fill an array in steps of some megabytes, with the values of a range of slices."""
    count = max(1, STEP_BYTES // max(array[:1].nbytes, 1))
    for first in range(0, len(array), count):
        part = slice(first, first + count)
        array[part] = values(part)
        yield


def _refuse_what_is_no_scan(node: Any) -> None:
    if node is None:
        raise InputError("No scan is chosen: choose a volume of the scene.")
    if not hasattr(node, "IsA"):
        raise InputError(f"Something of the type '{type(node).__name__[:40]}' is no volume node: choose a scan.")
    name = node.GetName() or "the volume"
    for cls, what in _NOT_SCANS.items():
        if node.IsA(cls):
            raise InputError(f"'{name}' is {what}: choose a scan (a scalar volume).")
    if not node.IsA("vtkMRMLScalarVolumeNode"):
        raise InputError(f"'{name}' is not a volume: choose a scan (a scalar volume).")
    image = node.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or image.GetNumberOfPoints() == 0:
        raise InputError(f"'{name}' has no voxels: load the scan again.")
    if image.GetNumberOfScalarComponents() != 1:
        raise InputError(f"'{name}' is a colour image: choose a scan with one value a voxel.")
    if sequences.browser_of(node) is not None:
        raise InputError(f"'{name}' is a frame of a sequence: clone the frame you want and choose the clone.")


def world_affine(node: Any) -> NDArray[np.float64]:
    """4x4 from voxel indices (i, j, k) to world RAS mm, parent transforms included.

    Raises:
        InputError: a parent transform that is not linear.
    """
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    affine = matrix_to_array(matrix)
    parent = node.GetParentTransformNode()
    if parent is None:
        return affine
    to_world = vtk.vtkMatrix4x4()
    if not parent.IsTransformToWorldLinear() or not parent.GetMatrixTransformToWorld(to_world):
        raise InputError(
            f"'{node.GetName()}' lies under the bending transform '{parent.GetName()}': harden it, or take it out."
        )
    return matrix_to_array(to_world) @ affine


def image_from_array(array: NDArray[np.generic]) -> Any:
    """``vtkImageData`` with unit spacing that owns a copy of ``array`` ``(K, J, I)``, as volume nodes want it."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    image = vtk.vtkImageData()
    image.SetDimensions(*array.shape[::-1])
    image.GetPointData().SetScalars(numpy_to_vtk(np.ascontiguousarray(array).reshape(-1), deep=True))
    return image


def writing_voxels(
    node: Any, shape: tuple[int, ...], values: Callable[[slice], NDArray[np.floating]]
) -> Generator[None, None, None]:
    """Write other float32 voxels into a volume node in steps; whoever shows it is notified once, after the last.

    In place: a new image of a 1 mm head costs more than the values in it.

    Args:
        node: the volume node.
        shape: of the array, ``(K, J, I)``; an image of another shape or type is replaced.
        values: the voxels of a range of slices.
    """
    image = node.GetImageData()
    fits = image is not None and image.GetDimensions() == shape[::-1] and image.GetScalarTypeAsString() == "float"
    # A node in which a sequence is played shows the image of the frame itself.
    image = yield from making_image(shape, values, image if fits and sequences.browser_of(node) is None else None)
    if node.GetImageData() is not image:
        node.SetAndObserveImageData(image)


def making_image(
    shape: tuple[int, ...], values: Callable[[slice], NDArray[np.generic]], image: Any = None, *, labels: bool = False
) -> Generator[None, None, Any]:
    """A ``vtkImageData`` of a shape ``(K, J, I)`` in steps of some slices, or other voxels for one that there is.

    Args:
        values: the voxels of a range of slices.
        labels: bytes instead of float32.
    """
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    if image is None:
        image = vtk.vtkImageData()
        image.SetDimensions(*shape[::-1])
        image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR if labels else vtk.VTK_FLOAT, 1)
    scalars = image.GetPointData().GetScalars()
    array = vtk_to_numpy(scalars).reshape(shape)
    yield from filling(array, values)
    scalars.Modified()
    image.Modified()
    return image


def add_volume_node(
    scene: Any,
    volume: Volume,
    name: str,
    cls: str = "vtkMRMLScalarVolumeNode",
    *,
    levels: tuple[float, float] | None = None,
) -> Any:
    """A volume node with the volume's own grid and its display node, without changing any view.

    Args:
        scene: that the node is added to.
        volume: its voxels and their place.
        name: of the node; a number is added where it is taken.
        cls: scan or label map.
        levels: lowest and highest value to show; None leaves the choice to Slicer.
    """
    return finish(adding_volume_node(scene, volume.grid, lambda part: volume.array[part], name, cls, levels=levels))


def adding_volume_node(
    scene: Any,
    grid: Grid,
    values: Callable[[slice], NDArray[np.generic]],
    name: str,
    cls: str = "vtkMRMLScalarVolumeNode",
    *,
    levels: tuple[float, float] | None = None,
) -> Generator[None, None, Any]:
    """:func:`add_volume_node` in steps, the voxels of a range of slices from a function; the node comes at the end."""
    image = yield from making_image(grid.shape, values, labels=cls == "vtkMRMLLabelMapVolumeNode")
    node = scene.CreateNodeByClass(cls)
    node.UnRegister(None)
    node.SetName(scene.GenerateUniqueName(name))
    node.SetIJKToRASMatrix(array_to_matrix(grid.affine))
    if cls == "vtkMRMLScalarVolumeNode" and levels is not None:
        # Before it has voxels: a new display node looks at all of them for its grey levels, and again at each change.
        display = scene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
        display.SetAutoWindowLevel(0)
        display.SetDefaultColorMap()
        display.SetWindowLevelMinMax(*levels)
        display.SetInterpolate(1)
        node.SetAndObserveDisplayNodeID(display.GetID())
    node.SetAndObserveImageData(image)
    scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    return node


def grid_of_node(node: Any) -> Grid:
    """The grid of a volume node in the world."""
    columns, rows, slices = node.GetImageData().GetDimensions()
    return Grid((slices, rows, columns), world_affine(node))


def matrix_to_array(matrix: Any) -> NDArray[np.float64]:
    """``vtkMatrix4x4`` as a 4x4 array."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def array_to_matrix(array: NDArray[np.floating]) -> Any:
    """A 4x4 array as ``vtkMatrix4x4``."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    for row in range(4):
        for column in range(4):
            matrix.SetElement(row, column, float(array[row, column]))
    return matrix
