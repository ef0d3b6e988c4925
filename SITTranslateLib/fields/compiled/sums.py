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
