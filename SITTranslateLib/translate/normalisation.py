"""Conversion of native intensities to the networks' [0, 1] and back, for training and use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SITTranslateLib.packages import TargetScale

#: CT as networks give it: soft tissue gets most of the scale, so that grey and white matter are worth learning.
HOUNSFIELD = TargetScale("HU", (0.0, 0.3, 1.5, 2.0), (-1000.0, -100.0, 150.0, 1600.0))
#: MR has no units of its own: the median of the head lies near 500.
ARBITRARY = TargetScale("arbitrary units", (0.0, 4.0), (0.0, 4000.0))


def to_network(array: NDArray[np.float32], scale: TargetScale) -> NDArray[np.float32]:
    """Values in the target's units as the network's."""
    return np.interp(array, scale.native, scale.network).astype(np.float32)


def to_native(array: NDArray[np.float32], scale: TargetScale) -> NDArray[np.float32]:
    """The network's values in the target's units."""
    return np.interp(array, scale.network, scale.native).astype(np.float32)


def in_own_units(array: NDArray[np.float32], contrast: str) -> NDArray[np.float32]:
    """A simulated contrast's network units as its own: HU of CT; MR has none and stays as it is."""
    return to_native(array, HOUNSFIELD) if contrast == "CT" else array


def from_own_units(array: NDArray[np.float32], contrast: str) -> NDArray[np.float32]:
    """Values of :func:`in_own_units`, as network units."""
    return to_network(array, HOUNSFIELD) if contrast == "CT" else array


@dataclass(frozen=True)
class IntensityRange:
    """Linear map between native units and network units: ``low`` becomes 0 and ``high`` 1; nothing is clipped."""

    low: float
    high: float

    @property
    def width(self) -> float:
        return self.high - self.low

    def normalise(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray((array - np.float32(self.low)) / np.float32(self.width), dtype=np.float32)

    def restore(self, array: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(array * np.float32(self.width) + np.float32(self.low), dtype=np.float32)


def percentile_range(
    array: NDArray[np.float32], low: float = 0.5, high: float = 50.0, stretch: float = 2.0
) -> IntensityRange:
    """The ``low`` percentile of all voxels, and ``stretch`` times above it the ``high`` one of the foreground (Otsu).

    The foreground alone decides the upper end, so that the share of air around the head does not matter. Its median
    changes little between a whole head and a stripped brain; its maximum is fat in one and not in the other.
    """
    threshold = foreground_threshold(array)
    foreground = array[array > threshold]
    bottom = float(np.percentile(array, low))
    top = float(np.percentile(foreground if foreground.size else array, high))
    return IntensityRange(bottom, bottom + stretch * (top - bottom) if top > bottom else bottom + 1.0)


def foreground_threshold(array: NDArray[np.float32]) -> float:
    """Otsu's threshold between air and tissue."""
    threshold = sitk.OtsuThresholdImageFilter()
    threshold.SetNumberOfHistogramBins(256)
    threshold.Execute(sitk.GetImageFromArray(np.ascontiguousarray(array, dtype=np.float32)))
    return float(threshold.GetThreshold())
