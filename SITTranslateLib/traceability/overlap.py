"""Overlap and surface distance between a moved segmentation and one drawn on the translated scan."""

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

    # Numbered anew: SimpleITK's filters hold 32 bits, and atlases have larger numbers.
    order = np.unique(np.asarray(labels, dtype=np.int64))
    carried, drawn = (_numbered(np.rint(image).astype(np.int64), order) for image in (carried, reference.array))
    overlap = SimpleITK.LabelOverlapMeasuresImageFilter()
    overlap.Execute(SimpleITK.GetImageFromArray(carried), SimpleITK.GetImageFromArray(drawn))
    boxes = [_boxes(image) for image in (carried, drawn)]
    figures: dict[int, tuple[float | None, float | None]] = {}
    for label, number in ((label, int(np.searchsorted(order, label)) + 1) for label in labels):
        if number not in boxes[0] or number not in boxes[1]:
            figures[label] = (None, None)
            continue
        part = tuple(
            slice(max(0, min(a.start, b.start) - 1), max(a.stop, b.stop) + 1)
            for a, b in zip(boxes[0][number], boxes[1][number], strict=True)
        )
        first, second = (
            torch.from_numpy((image[part] == number)[None, None].astype(np.float32)) for image in (carried, drawn)
        )
        distance = compute_hausdorff_distance(
            first, second, include_background=True, percentile=95, spacing=list(reference.spacing[::-1])
        )
        figures[label] = (float(overlap.GetDiceCoefficient(number)), float(distance))
    return figures


def _numbered(image: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int32]:
    """Labels as their places in an ascending list, from 1; 0 where they are not in it."""
    if not order.size:
        return np.zeros(image.shape, np.int32)
    places = np.searchsorted(order, image).clip(max=order.size - 1)
    return np.where(order[places] == image, places + 1, 0).astype(np.int32)


def _boxes(labels: NDArray[np.int32]) -> dict[int, tuple[slice, slice, slice]]:
    """Bounding box of every label."""
    shape = SimpleITK.LabelShapeStatisticsImageFilter()
    shape.Execute(SimpleITK.GetImageFromArray(labels))
    boxes = {}
    for label in shape.GetLabels():
        i, j, k, width, height, depth = shape.GetBoundingBox(label)
        boxes[label] = (slice(k, k + depth), slice(j, j + height), slice(i, i + width))
    return boxes
