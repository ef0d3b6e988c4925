"""Label maps: sums over their segments, their positions and where a sampling field moves them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.fields.engine import engine
from SITTranslateLib.fields.operations import places_between
from SITTranslateLib.volume import Grid, VectorField, Volume


def sums_by_label(
    labels: NDArray[np.integer], *arrays: NDArray[np.floating], count: int | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Voxels of every label, and the sum of each array over them, in one pass.

    Args:
        labels: whole numbers from 0, of any shape.
        arrays: values at the same voxels.
        count: one more than the highest label; found by another pass if not given.

    Returns:
        voxels ``(count,)`` and sums ``(count, len(arrays))`` in float64.

    Raises:
        InputError: the labels are no whole numbers from 0 to below ``count``, or an array has another size.
    """
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputError(f"Labels must be whole numbers, not {labels.dtype}; convert the label map first.")
    if any(array.size != labels.size for array in arrays):
        raise InputError("The label map and the values differ in size; bring them to the same grid.")
    flat = np.ascontiguousarray(labels).reshape(-1)
    total = count if count is not None else (int(flat.max()) + 1 if flat.size else 0)
    values = tuple(np.ascontiguousarray(array, dtype=np.float32).reshape(-1) for array in arrays)
    found = engine().label_sums(flat, values, total)
    if found is None:
        raise InputError(f"A label lies outside 0 to {total - 1}; give the number of labels, counted from 0.")
    voxels, sums = found
    return voxels, sums


def carried_sums(
    labels: NDArray[np.int32], grid: Grid, sampling: VectorField, image: Volume, count: int
) -> NDArray[np.float64]:
    """Sums of every label moved by a sampling field onto its grid, in one pass over that grid.

    A voxel ``y`` is shared among the labels of the eight voxels around ``y + u(y)`` with their linear weights, as if
    every segment's mask had been warped; summed over all labels, each voxel counts once.

    Args:
        labels: whole numbers from 0 to below ``count`` on ``grid``; beyond it is 0.
        sampling: on the output's grid.
        image: on the output's grid.

    Returns:
        ``(count, 2)`` float64: voxels of the output, and the image summed over them.

    Raises:
        InputError: a label is not below ``count``, or the image lies on another grid than the sampling field.
    """
    if image.shape != sampling.array.shape[:3]:
        raise InputError("The sampling field and the image differ in size; bring them to the same grid.")
    if labels.size and not (labels.min() >= 0 and labels.max() < count):
        raise InputError(f"A label lies outside 0 to {count - 1}; give the number of labels, counted from 0.")
    matrix, dense = np.linalg.inv(grid.axes), np.ascontiguousarray(labels, dtype=np.int32)
    places = places_between(sampling.grid, grid)
    totals: NDArray[np.float64] = engine().carried_sums(dense, places, sampling.array, matrix, image.array, count)
    return totals
