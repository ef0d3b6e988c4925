"""Labels of the Neuromorphometrics protocol (OASIS-30 and others) in FreeSurfer's numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.volume import Volume

_FREESURFER = {
    4: 14, 11: 15, 23: 58, 30: 26, 31: 54, 32: 18, 35: 16, 36: 50, 37: 11, 38: 47, 39: 8, 40: 46, 41: 7, 44: 41, 45: 2,
    46: 24, 47: 53, 48: 17, 49: 44, 50: 5, 51: 43, 52: 4, 55: 52, 56: 13, 57: 51, 58: 12, 59: 49, 60: 10, 61: 60,
    62: 28, 63: 62, 64: 30, 69: 85,
}  # fmt: skip
#: Lobules of the vermis have no side there; FreeSurfer splits them between the hemispheres.
_VERMIS = (71, 72, 73)
#: Cortex by gyrus: even numbers lie on the right.
_CORTEX = range(100, 208)


def in_freesurfer_numbers(labels: Volume) -> Volume:
    """The map with FreeSurfer's numbers; the basal forebrain, which FreeSurfer does not have, becomes 0."""
    table = np.zeros(max(256, int(labels.array.max()) + 1), np.float32)
    for number, own in _FREESURFER.items():
        table[number] = own
    table[_CORTEX.start : _CORTEX.stop : 2], table[_CORTEX.start + 1 : _CORTEX.stop : 2] = 42, 3
    numbers = np.rint(labels.array).astype(int)
    renamed = table[numbers]
    vermis = np.argwhere(np.isin(numbers, _VERMIS))
    if len(vermis):
        middle = np.mean([_lateral(labels, np.argwhere(renamed == side)).mean() for side in (8, 47)])
        right = _lateral(labels, vermis) > middle
        renamed[tuple(vermis.T)] = np.where(right, 47, 8)
    return labels.with_array(renamed)


def _lateral(labels: Volume, voxels: NDArray[np.integer]) -> NDArray[np.float64]:
    """RAS mm from left to right of voxels ``(N, 3)`` in (k, j, i) order."""
    return labels.grid.to_world(voxels[:, ::-1].astype(np.float64))[:, 0]
