"""Rounding of a result's values to relevant precision, which makes its files a third as large.

Digits that a resampling leaves far below noise and voxel size do not compress. Steps are powers of two, so that sums
of rounded values are exact.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.volume import VectorField, Volume

#: mm between two values of a field's component: off by at most 0.0005 mm.
FIELD_STEP_MM = 2.0**-10
#: Share of the intensity range between two values: off by at most 4e-6 of the range.
INTENSITY_STEP = 2.0**-17


def rounded_field(field: VectorField) -> VectorField:
    """The field in steps of ``FIELD_STEP_MM``."""
    return VectorField(_rounded(field.array, FIELD_STEP_MM), field.affine)


def intensity_step(*volumes: Volume) -> float:
    """A power of two, at most ``INTENSITY_STEP`` of the smallest range (0.5th to 99.5th percentile) among volumes."""
    spans = []
    for volume in volumes:
        low, high = np.percentile(volume.array[:: max(1, volume.shape[0] // 48)], (0.5, 99.5))
        spans.append(float(high - low) or float(np.ptp(volume.array)))
    span = min((s for s in spans if s > 0), default=1.0)
    return 2.0 ** math.floor(math.log2(span * INTENSITY_STEP))


def rounded_volume(volume: Volume, step: float, where_not: Volume | None = None) -> Volume:
    """The volume in steps; voxels that equal those of ``where_not`` stay the same bytes."""
    array = _rounded(volume.array, step)
    if where_not is not None:
        np.copyto(array, where_not.array, where=volume.array == where_not.array)
    return volume.with_array(array)


def _rounded(array: NDArray[np.float32], step: float) -> NDArray[np.float32]:
    # Beyond 2^24 steps single precision has no finer digits to round.
    scaled = np.multiply(array, np.float32(1.0 / step))
    np.rint(scaled, out=scaled)
    return np.multiply(scaled, np.float32(step), out=scaled)
