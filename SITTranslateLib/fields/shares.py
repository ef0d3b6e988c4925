"""Label weights at a position by linear interpolation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray


def corner_shares(
    labels: NDArray[np.int32], indices: NDArray[np.float64]
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float64]]]:
    """For each of the eight voxels around every position: its label and its linear weight.

    Args:
        labels: label map ``(K, J, I)``; beyond it is label 0.
        indices: positions (i, j, k) ``(N, 3)`` in its voxels.
    """
    size = np.array(labels.shape[::-1])
    position = np.clip(np.nan_to_num(indices, nan=-1.0), -1, size)
    base = np.minimum(np.floor(position).astype(np.int64), size - 1)
    fraction = position - base
    padded = np.pad(labels, 1).ravel()
    strides = np.array([1, size[0] + 2, (size[0] + 2) * (size[1] + 2)])
    start = (base + 1) @ strides
    for corner in np.ndindex(2, 2, 2):
        weight = np.prod(np.where(np.array(corner, bool), fraction, 1.0 - fraction), axis=1)
        yield padded[start + int(np.dot(corner, strides))], weight
