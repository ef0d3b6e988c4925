"""Segments of the scene as labels for measurement, and their positions."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from SITTranslateLib.errors import InputError
from SITTranslateLib.scene.segmentation import cropping
from SITTranslateLib.scene.volumes import filling, grid_of_node
from SITTranslateLib.volume import Volume

#: Verdicts of parts of a table, the worst last.
_WORST = ("no figure", "traceable", "caution", "not traceable")


def reading_labels(node: Any, reference: Any) -> Generator[None, None, list[tuple[Volume, dict[int, str]]]]:
    """A segmentation or label map as labels, with their names; in steps.

    Segments may overlap: those that do come in different label maps, and every segment is whole in one of them.

    Args:
        node: segmentation or label map node.
        reference: the volume node whose grid a segmentation is read on.

    Raises:
        InputError: there is no segment.
    """
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        return [(yield from _reading_label_map(node))]
    grid = grid_of_node(reference)
    layers: list[tuple[np.ndarray, dict[int, str]]] = []
    segmentation = node.GetSegmentation()
    for index in range(segmentation.GetNumberOfSegments()):
        identifier = segmentation.GetNthSegmentID(index)
        mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, identifier, reference)
        yield
        box = _box(mask)
        inside = np.zeros(grid.shape, bool)[box] if mask is None else mask[box] > 0
        layer = next((layer for layer in layers if not layer[0][box][inside].any()), None)
        if layer is None:
            layer = (np.zeros(grid.shape, np.float32), {})
            layers.append(layer)
        layer[0][box][inside] = index + 1
        layer[1][index + 1] = segmentation.GetSegment(identifier).GetName()
        yield
    if not layers:
        raise InputError(
            _("The segmentation '{name}' has no segments: draw one, or choose another.").format(name=node.GetName())
        )
    return [(Volume(array, grid.affine, node.GetName() or "segmentation"), names) for array, names in layers]


def _box(mask: Any) -> tuple[slice, ...]:
    """The part of a mask outside which it is empty."""
    if mask is None or not mask.any():
        return (slice(0, 0),) * 3
    limits = [np.flatnonzero(mask.any(axis=axes)) for axes in ((1, 2), (0, 2), (0, 1))]
    return tuple(slice(int(part[0]), int(part[-1]) + 1) for part in limits)


def is_drawn_on(node: Any, scan: Any) -> bool:
    """Whether a segmentation names a scan as the one that it was drawn on; a label map, whether it has its grid."""
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        if node.GetImageData() is None:
            return False
        own, other = grid_of_node(node), grid_of_node(scan)
        return own.shape == other.shape and bool(np.allclose(own.affine, other.affine, atol=1e-3))
    return node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is scan


def joined(tables: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One segment table of several: rows in the order of their labels, the worst verdict, every reason once."""
    worst = max((table["verdict"] for table in tables), key=_WORST.index)
    rows = sorted((row for table in tables for row in table["segments"]), key=lambda row: row["label"])
    reasons = [reason for table in tables if table["verdict"] == worst for reason in table["reasons"]]
    return {**tables[0], "segments": rows, "verdict": worst, "reasons": list(dict.fromkeys(reasons))}


def _reading_label_map(node: Any) -> Generator[None, None, tuple[Volume, dict[int, str]]]:
    if node.GetImageData() is None:
        raise InputError(_("The label map '{name}' has no voxels: load it again.").format(name=node.GetName()))
    array = np.asarray(slicer.util.arrayFromVolume(node))
    colours = node.GetDisplayNode().GetColorNode() if node.GetDisplayNode() is not None else None
    found: set[int] = set()
    labels = np.empty(array.shape, np.float32)

    def noted(part: slice) -> np.ndarray:
        found.update(np.unique(array[part]).tolist())
        return array[part]

    yield from filling(labels, noted)
    names = {}
    for value in sorted(found):
        if value > 0:
            name = colours.GetColorName(int(value)) if colours is not None else ""
            names[int(value)] = name if name and name != "(none)" else f"label {int(value)}"
    if not names:
        raise InputError(_("The label map '{name}' is empty: choose another.").format(name=node.GetName()))
    return Volume(labels, grid_of_node(node).affine, node.GetName() or "label map"), names


def finding_centres(labels: Volume, values: Sequence[int]) -> Generator[None, None, dict[int, np.ndarray]]:
    """For each label its voxel that lies nearest to its middle, as RAS mm: inside the segment, always; in steps."""
    found = {}
    masks = yield from cropping(labels, values)
    for value, (mask, grid) in masks.items():
        yield
        voxels = np.argwhere(mask)
        nearest = voxels[np.argmin(((voxels - voxels.mean(axis=0)) ** 2).sum(axis=1))]
        found[value] = grid.to_world(nearest[::-1].astype(np.float64))
    return found
