"""What the maps of a result are scaled to, and where most changed: measured once, inside the head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.scene import display
from SITTranslateLib.translation import Translation
from SITTranslateLib.volume import Volume

#: A Jacobian at or below 0 is folded; in the log2 map it is shown at this bottom.
SMALLEST_JACOBIAN = 1e-3
#: Smallest bounds of the maps: log2 J, and share of the grey levels.
SMALLEST_EXPANSION, SMALLEST_CHANGE = 0.1, 0.02


@dataclass(frozen=True)
class Ranges:
    """What the maps are scaled to, the same in every view.

    Attributes:
        grey: lowest and highest grey level of the scans, native units.
        motion_mm: 99th percentile of |w| inside the head.
        expansion: symmetric bound of log2 J; at least 0.1, or rounding would look like a finding.
        change: symmetric bound of the intensity change, native units; at least 2 % of the grey levels.
        faint: whether the intensity changed by less than 1 % of the grey levels.
    """

    grey: tuple[float, float]
    motion_mm: float
    expansion: float
    change: float
    faint: bool = False


def measure(translation: Translation) -> tuple[Ranges, NDArray[np.float64], NDArray[np.float64]]:
    """Ranges of the maps, the RAS point where most changed, and the head's box ``(2, 3)`` in RAS mm."""
    source = translation.source.array
    mask = display.head_mask(source)
    score = np.zeros(source.shape, dtype=np.float32)
    motion_mm = expansion = change = 0.0
    if translation.motion is not None:
        length = translation.motion.magnitude()
        motion_mm = display.robust_peak(length, mask)
        score += (length / max(motion_mm, 1e-6)) ** 2
    if translation.jacobian is not None:
        logarithm = np.log2(np.maximum(translation.jacobian.array, SMALLEST_JACOBIAN))
        expansion = display.robust_peak(logarithm, mask)
    if translation.intensity_change is not None:
        change = display.robust_peak(translation.intensity_change.array, mask, 99.5)
        visible = max(change, SMALLEST_CHANGE * float(np.ptp(display.grey_range(source))))
        score += (np.abs(translation.intensity_change.array) / visible) ** 2
    grey = display.grey_range(source)
    span = grey[1] - grey[0]
    ranges = Ranges(
        grey,
        motion_mm,
        max(expansion, SMALLEST_EXPANSION),
        max(change, display.round_up(SMALLEST_CHANGE * span)),
        change < 0.5 * SMALLEST_CHANGE * span,
    )
    return ranges, _focus(np.minimum(score, 4.0) * mask, translation.source), head_box(translation.source, mask)


def _focus(score: NDArray[np.floating], volume: Volume) -> NDArray[np.float64]:
    """The point whose three slices hold most of the change; the middle where nothing changed."""
    if not score.any():
        return volume.grid.centre
    k, j, i = (int(np.argmax(score.sum(axis=tuple(a for a in range(3) if a != axis)))) for axis in range(3))
    return volume.grid.to_world(np.array([i, j, k], dtype=np.float64))


def head_box(volume: Volume, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Lowest and highest RAS (mm) of the head, ``(2, 3)``."""
    limits = []
    for axis in range(3):
        profile = np.flatnonzero(mask.sum(axis=tuple(a for a in range(3) if a != axis)) > 5)
        limits.append((profile[0], profile[-1]) if profile.size else (0, volume.shape[axis] - 1))
    (k0, k1), (j0, j1), (i0, i1) = limits
    corners = np.array([[i, j, k] for i in (i0, i1) for j in (j0, j1) for k in (k0, k1)], dtype=np.float64)
    world = volume.grid.to_world(corners)
    return np.stack([world.min(axis=0), world.max(axis=0)])
