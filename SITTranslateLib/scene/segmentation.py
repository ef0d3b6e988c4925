"""Segments as outlines: as drawn on the source, and moved to the translation.

Display only. Volumes are never measured on a segmentation that Slicer has transformed: it clips them on oblique grids.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from SITTranslateLib.scene.colours import AFTER, BEFORE
from SITTranslateLib.scene.volumes import add_volume_node
from SITTranslateLib.volume import Volume

SOURCE_COLOUR, CARRIED_COLOUR = BEFORE, AFTER
#: Tag of a segment: its number in the label map that it came from.
LABEL_TAG = "SITTranslate.Label"


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
    import slicer

    # Numbered anew: MRML's label maps and segments do not hold every number that atlases use.
    numbers = sorted(value for value in names if value and bool((labels.array == value).any()))
    kept = np.zeros(labels.shape, np.uint8 if len(numbers) < 256 else np.int16)
    for index, value in enumerate(numbers, 1):
        kept[labels.array == value] = index
    label_node = add_volume_node(scene, Volume(kept, labels.affine, labels.name), name, "vtkMRMLLabelMapVolumeNode")
    node = scene.CreateNodeByClass("vtkMRMLSegmentationNode")
    node.UnRegister(None)
    node.SetName(scene.GenerateUniqueName(name))
    scene.AddNode(node)
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(label_node)
    slicer.vtkSlicerSegmentationsModuleLogic.ImportLabelmapToSegmentationNode(label_node, node)
    scene.RemoveNode(label_node)
    segmentation = node.GetSegmentation()
    for index, value in enumerate(numbers):
        segment = segmentation.GetNthSegment(index)
        segment.SetName(names[value])
        # Not as the segment's label value, which must stay that of its voxels in the layer that segments share.
        segment.SetTag(LABEL_TAG, str(value))
        if colour is not None:
            segment.SetColor(*colour)
    display = node.GetDisplayNode()
    if surfaces:
        node.CreateClosedSurfaceRepresentation()
        display.SetPreferredDisplayRepresentationName2D("Closed surface")
    display.SetVisibility2DFill(0)
    display.SetVisibility2DOutline(1)
    display.SetVisibility3D(0)
    display.SetSliceIntersectionThickness(2)
    for view in view_ids:
        display.AddViewNodeID(view)
    return node
