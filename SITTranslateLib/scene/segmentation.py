"""Segments as outlines: as drawn on the source, and moved to the translation.

Display only. Volumes are never measured on a segmentation that Slicer has transformed: it clips them on oblique grids.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.scene.colours import AFTER, BEFORE
from SITTranslateLib.scene.display import STEP_VOXELS
from SITTranslateLib.scene.volumes import array_to_matrix, image_from_array
from SITTranslateLib.steps import finish
from SITTranslateLib.volume import Grid, Volume

SOURCE_COLOUR, CARRIED_COLOUR = BEFORE, AFTER
#: Tag of a segment: its number in the label map that it came from.
LABEL_TAG = "SITTranslate.Label"
_VOXELS, _SURFACE = "Binary labelmap", "Closed surface"


def add_segmentation_node(
    scene: Any,
    labels: Volume,
    names: Mapping[int, str],
    name: str,
    *,
    colour: tuple[float, float, float] | None = None,
    view_ids: Sequence[str] = (),
    surfaces: bool = True,
) -> Any:
    """A ``vtkMRMLSegmentationNode`` from a label map; every label of ``names`` that occurs becomes a segment.

    Args:
        labels: integer labels, 0 background.
        names: name of each label that is wanted.
        colour: one colour for all segments; by default each has its own.
        view_ids: MRML IDs of the views it is shown in; all views if empty.
        surfaces: draw smooth outlines by closed surfaces; whole tissues at 1 mm take seconds. Otherwise voxel by voxel.
    """
    masks = finish(cropping(labels, names))
    return finish(
        adding_segmentation_node(
            scene, masks, labels.grid, names, name, colour=colour, view_ids=view_ids, surfaces=surfaces
        )
    )


def adding_segmentation_node(
    scene: Any,
    masks: Mapping[int, tuple[NDArray[np.bool_], Grid]],
    grid: Grid,
    names: Mapping[int, str],
    name: str,
    *,
    colour: tuple[float, float, float] | None = None,
    view_ids: Sequence[str] = (),
    surfaces: bool = True,
) -> Generator[None, None, Any]:
    """:func:`add_segmentation_node` in steps of a segment; the node comes first, its segments one after the other.

    Args:
        masks: of :func:`cropping`, by label.
        grid: that all of them were drawn on.
    """
    node = _add_node(scene, name, view_ids, surfaces)
    _refer_to(node.GetSegmentation(), grid)
    for value, (mask, place) in masks.items():
        yield
        _add_segment(node, mask, place, names[value], value, colour)
        if surfaces and node.GetSegmentation().GetNumberOfSegments() == 1:
            # Of this one; those that follow have theirs made as they are added.
            node.CreateClosedSurfaceRepresentation()
    return node


def copy_segmentation_node(
    scene: Any, original: Any, name: str, *, colour: tuple[float, float, float], view_ids: Sequence[str] = ()
) -> Any:
    """Another node with the segments of one, in another colour; surfaces are copied and not made again."""
    surfaces = original.GetSegmentation().ContainsRepresentation(_SURFACE)
    node = _add_node(scene, name, view_ids, surfaces)
    segmentation = node.GetSegmentation()
    segmentation.DeepCopy(original.GetSegmentation())
    for index in range(segmentation.GetNumberOfSegments()):
        segmentation.GetNthSegment(index).SetColor(*colour)
    return node


def cropping(labels: Volume, wanted: Iterable[int]) -> Generator[None, None, dict[int, tuple[NDArray[np.bool_], Grid]]]:
    """The mask of each label that occurs, on the part of the grid around it; in steps."""
    from scipy import ndimage

    array = labels.array
    kind = array.dtype if array.dtype.kind == "f" else np.int64
    values = np.unique([value for value in wanted if value]).astype(kind)
    count = max(1, STEP_VOXELS // max(array[:1].size, 1))
    boxes: dict[int, list[tuple[int, int]]] = {}
    for first in range(0, len(array) if values.size else 0, count):
        # Numbered anew: atlases use numbers that no list is long enough for.
        slab = array[first : first + count]
        place = np.minimum(np.searchsorted(values, slab), values.size - 1)
        found = ndimage.find_objects(np.where(values[place] == slab, place + 1, 0))
        for value, parts in zip(values.tolist(), found, strict=False):
            if parts is not None:
                box = [(part.start, part.stop) for part in parts]
                box[0] = (box[0][0] + first, box[0][1] + first)
                known = boxes.get(value, box)
                boxes[value] = [(min(a, c), max(b, d)) for (a, b), (c, d) in zip(known, box, strict=True)]
        yield
    masks = {}
    for value in sorted(boxes):
        around = tuple(slice(max(start - 1, 0), stop + 1) for start, stop in boxes[value])
        mask = array[around] == value
        affine = labels.affine.copy()
        affine[:3, 3] = labels.grid.to_world(np.array([part.start for part in around[::-1]], dtype=np.float64))
        masks[int(value)] = mask, Grid(mask.shape, affine)
        yield
    return masks


def _add_node(scene: Any, name: str, view_ids: Sequence[str], surfaces: bool) -> Any:
    node = scene.CreateNodeByClass("vtkMRMLSegmentationNode")
    node.UnRegister(None)
    node.SetName(scene.GenerateUniqueName(name))
    scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    if surfaces:
        display.SetPreferredDisplayRepresentationName2D(_SURFACE)
    display.SetVisibility2DFill(0)
    display.SetVisibility2DOutline(1)
    display.SetVisibility3D(0)
    display.SetSliceIntersectionThickness(2)
    for view in view_ids:
        display.AddViewNodeID(view)
    return node


def _refer_to(segmentation: Any, grid: Grid) -> None:
    """Name the grid that the segments were drawn on, as a scan chosen in the Segment Editor would be."""
    import slicer
    import vtk

    whole = vtk.vtkImageData()
    whole.SetDimensions(*grid.shape[::-1])
    converter = slicer.vtkSegmentationConverter
    text = converter.SerializeImageGeometry(array_to_matrix(grid.affine), whole)
    segmentation.SetConversionParameter(converter.GetReferenceImageGeometryParameterName(), text)


def _add_segment(
    node: Any, mask: NDArray[np.bool_], grid: Grid, name: str, value: int, colour: tuple[float, float, float] | None
) -> None:
    import slicer

    image = slicer.vtkOrientedImageData()
    image.ShallowCopy(image_from_array(mask.astype(np.uint8)))
    image.SetImageToWorldMatrix(array_to_matrix(grid.affine))
    segment = slicer.vtkSegment()
    segment.SetName(name)
    segment.SetTag(LABEL_TAG, str(value))
    if colour is not None:
        segment.SetColor(*colour)
    segment.AddRepresentation(_VOXELS, image)
    node.GetSegmentation().AddSegment(segment)
