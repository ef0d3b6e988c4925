"""Overlap and surface distance of a carried segmentation with one drawn on the translated scan."""

from __future__ import annotations

import numpy as np
import SimpleITK
from numpy.typing import NDArray

from SITTranslateLib.volume import Volume


def agreement(
    carried: NDArray[np.integer], reference: Volume, labels: list[int]
) -> dict[int, tuple[float | None, float | None]]:
    """Dice and the 95th percentile of the Hausdorff distance (mm) of every label; ``None`` where one side is empty.

    Args:
        carried: label map ``(K, J, I)`` on the reference's grid.
        reference: label map of the translated scan.
        labels: the labels to compare.

    Computed by SimpleITK (overlap) and MONAI (surface distance); the latter by spacing, so exact on any grid
    without shear.
    """
    import torch
    from monai.metrics import compute_hausdorff_distance

    drawn = np.rint(reference.array).astype(np.int32)
    overlap = SimpleITK.LabelOverlapMeasuresImageFilter()
    overlap.Execute(SimpleITK.GetImageFromArray(carried.astype(np.int32)), SimpleITK.GetImageFromArray(drawn))
    boxes = [_boxes(image) for image in (carried.astype(np.int32), drawn)]
    figures: dict[int, tuple[float | None, float | None]] = {}
    for label in labels:
        if label not in boxes[0] or label not in boxes[1]:
            figures[label] = (None, None)
            continue
        part = tuple(
            slice(max(0, min(a.start, b.start) - 1), max(a.stop, b.stop) + 1)
            for a, b in zip(boxes[0][label], boxes[1][label], strict=True)
        )
        first, second = (
            torch.from_numpy((image[part] == label)[None, None].astype(np.float32)) for image in (carried, drawn)
        )
        distance = compute_hausdorff_distance(
            first, second, include_background=True, percentile=95, spacing=list(reference.spacing[::-1])
        )
        figures[label] = (float(overlap.GetDiceCoefficient(label)), float(distance))
    return figures


def _boxes(labels: NDArray[np.int32]) -> dict[int, tuple[slice, slice, slice]]:
    """Bounding box of every label."""
    shape = SimpleITK.LabelShapeStatisticsImageFilter()
    shape.Execute(SimpleITK.GetImageFromArray(labels))
    boxes = {}
    for label in shape.GetLabels():
        i, j, k, width, height, depth = shape.GetBoundingBox(label)
        boxes[label] = (slice(k, k + depth), slice(j, j + height), slice(i, i + width))
    return boxes
