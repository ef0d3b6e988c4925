"""Sums over the segments of a label map in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.fields.compiled.compiling import kernel


@kernel
def sums(
    first: int, last: int, labels: NDArray[Any], arrays: tuple[Any, ...], counts: Any, totals: NDArray[np.float64]
) -> bool:
    """Adds voxels ``[first, last)`` to ``counts (labels,)`` and ``totals (labels, arrays)``.

    Returns False if a label has no place there. Neighbours mostly share their label, so a run is
    summed apart and added once.
    """
    width = len(arrays)
    start = first
    while start < last:
        label = labels[start]
        if label < 0 or label >= counts.size:
            return False
        stop = start + 1
        while stop < last and labels[stop] == label:
            stop += 1
        counts[label] += stop - start
        for n in range(width):
            part = 0.0
            for p in range(start, stop):
                part += np.float64(arrays[n][p])
            totals[label, n] += part
        start = stop
    return True


@kernel
def carried(
    first: int,
    last: int,
    labels: NDArray[np.int32],
    places: NDArray[np.float64],
    field: NDArray[np.float32],
    matrix: NDArray[np.float64],
    image: NDArray[np.float32],
    totals: NDArray[np.float64],
) -> None:
    """Adds each voxel of the layers, shared among the labels around where it comes from, to ``totals (labels, 2)``:
    its share, and its share times the image. Beyond the label map is label 0."""
    layers, rows, columns = labels.shape
    for k in range(first, last):
        for j in range(field.shape[1]):
            for i in range(field.shape[2]):
                u, v, w = np.float64(field[k, j, i, 0]), np.float64(field[k, j, i, 1]), np.float64(field[k, j, i, 2])
                x = places[0, 0] * i + places[0, 1] * j + places[0, 2] * k + places[0, 3]
                y = places[1, 0] * i + places[1, 1] * j + places[1, 2] * k + places[1, 3]
                z = places[2, 0] * i + places[2, 1] * j + places[2, 2] * k + places[2, 3]
                x += matrix[0, 0] * u + matrix[0, 1] * v + matrix[0, 2] * w
                y += matrix[1, 0] * u + matrix[1, 1] * v + matrix[1, 2] * w
                z += matrix[2, 0] * u + matrix[2, 1] * v + matrix[2, 2] * w
                value = np.float64(image[k, j, i])
                if not (x > -1 and y > -1 and z > -1 and x < columns and y < rows and z < layers):
                    totals[0, 0] += 1.0
                    totals[0, 1] += value
                    continue
                a, b, c = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
                if a >= 0 and b >= 0 and c >= 0 and a < columns - 1 and b < rows - 1 and c < layers - 1:
                    label = labels[c, b, a]
                    if (
                        label == labels[c, b, a + 1] == labels[c, b + 1, a] == labels[c, b + 1, a + 1]
                        and label == labels[c + 1, b, a] == labels[c + 1, b, a + 1]
                        and label == labels[c + 1, b + 1, a] == labels[c + 1, b + 1, a + 1]
                    ):
                        totals[label, 0] += 1.0
                        totals[label, 1] += value
                        continue
                for corner in range(8):
                    p, q, r = corner & 1, (corner >> 1) & 1, corner >> 2
                    weight = (x - a if p else 1 - x + a) * (y - b if q else 1 - y + b) * (z - c if r else 1 - z + c)
                    inside = 0 <= a + p < columns and 0 <= b + q < rows and 0 <= c + r < layers
                    label = labels[c + r, b + q, a + p] if inside else np.int32(0)
                    totals[label, 0] += weight
                    totals[label, 1] += weight * value
