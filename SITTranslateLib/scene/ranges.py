"""Display ranges of the maps of a result, and the position of the largest change: measured once, inside the head."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.scene import colours, display
from SITTranslateLib.steps import finish
from SITTranslateLib.translation import Translation
from SITTranslateLib.volume import VectorField, Volume

#: UCUM code of the unit of volume maps; those of older scenes have none and hold log2 of the Jacobian.
PERCENT = "%"
#: Smallest bounds of the maps: change of volume in %, and share of the grey levels.
SMALLEST_EXPANSION, SMALLEST_CHANGE = 5.0, 0.02


@dataclass(frozen=True)
class Ranges:
    """Display ranges of the maps, the same in every view.

    Attributes:
        grey: lowest and highest grey level of the scans, native units.
        motion_mm: 99th percentile of |w| inside the head; arrows and their colours are scaled to it.
        expansion: symmetric bound of the change of volume in %; at least 5, or rounding would look like a finding.
        change: symmetric bound of the intensity change, native units; at least 2 % of the grey levels.
        faint: whether the intensity changed by less than 1 % of the grey levels.
        motion_most_mm: largest |w| inside the head.
    """

    grey: tuple[float, float]
    motion_mm: float
    expansion: float
    change: float
    faint: bool = False
    motion_most_mm: float = 0.0


#: Ranges, the RAS point where most changed, the head's box.
Measured: TypeAlias = tuple[Ranges, NDArray[np.float64], NDArray[np.float64]]


def volume_percent(jacobian: NDArray[np.floating]) -> NDArray[np.float32]:
    """Change of volume in % of what it was; what folded (0 or less) has no volume left: -100."""
    percent = np.maximum(jacobian, 0.0, dtype=np.float32)
    percent -= 1.0
    percent *= 100.0
    return np.asarray(percent)


def is_percent(node: Any) -> bool:
    """Whether a volume map is in %; one of an older scene holds log2 of the Jacobian."""
    unit = node.GetVoxelValueUnits()
    return unit is not None and unit.GetCodeValue() == PERCENT


def mark_percent(node: Any) -> None:
    import slicer

    unit = slicer.vtkCodedEntry()
    unit.SetValueSchemeMeaning(PERCENT, "UCUM", "percent")
    node.SetVoxelValueUnits(unit)


def show_volume_map(scene: Any, node: Any, bound: float, extremes: tuple[float, float]) -> None:
    """Show a volume map in % between ``-bound`` and ``bound``, with a legend of the range of the values."""
    bound = max(bound, SMALLEST_EXPANSION)
    display.show_map(scene, node, colours.VOLUME, -bound, bound)
    reach = display.reach(extremes, bound, 0)
    display.add_legend(node, f"volume (%)\n+ expanded\n- shrank{reach}", f"%5.{display.decimals(bound)}f")


def measure(translation: Translation) -> Measured:
    """Ranges of the maps, the RAS point where most changed, and the head's box ``(2, 3)`` in RAS mm."""
    return finish(measuring(translation))


def measuring(translation: Translation) -> Generator[None, None, Measured]:
    """:func:`measure` in steps. Percentiles are of :func:`display.sampled` voxels, the largest motion of all."""
    step = display.sampling_step(translation.source.shape)
    affine = translation.source.affine.copy()
    affine[:3, :3] *= step
    some = Volume(display.sampled(translation.source.array), affine)
    source = some.array
    mask = display.head_mask(source)
    score = np.zeros(source.shape, dtype=np.float32)
    motion_mm = motion_most = expansion = change = 0.0
    yield
    if translation.motion is not None:
        length = VectorField(display.sampled(translation.motion.array), affine).magnitude()
        motion_mm = display.robust_peak(length, mask)
        score += (length / max(motion_mm, 1e-6)) ** 2
        yield
        motion_most = yield from _largest_motion(translation)
    if translation.jacobian is not None:
        expansion = display.robust_peak(volume_percent(display.sampled(translation.jacobian.array)), mask)
        yield
    grey = display.grey_range(source)
    span = grey[1] - grey[0]
    if translation.intensity_change is not None:
        added = np.abs(display.sampled(translation.intensity_change.array))
        change = display.robust_peak(added, mask, 99.5)
        score += (added / max(change, SMALLEST_CHANGE * span)) ** 2
        yield
    ranges = Ranges(
        grey,
        motion_mm,
        max(expansion, SMALLEST_EXPANSION),
        max(change, display.round_up(SMALLEST_CHANGE * span)),
        change < 0.5 * SMALLEST_CHANGE * span,
        motion_most,
    )
    return ranges, _focus(np.minimum(score, 4.0) * mask, some), head_box(some, mask)


def _largest_motion(translation: Translation) -> Generator[None, None, float]:
    """Largest length (mm) of the motion in the head, a few slices at a time."""
    assert translation.motion is not None
    source, motion = translation.source.array, translation.motion.array
    level = display.head_level(source)
    inside = everywhere = 0.0
    slices = max(1, display.ENOUGH_VOXELS // 2 // (source[0].size or 1))
    for first in range(0, len(source), slices):
        part = slice(first, first + slices)
        squared = np.einsum("...c,...c->...", motion[part], motion[part])
        everywhere = max(everywhere, float(squared.max()))
        inside = max(inside, float(squared.max(where=source[part] > level, initial=0.0)))
        yield
    # Without a head (a constant scan) all of it counts.
    return math.sqrt(inside if bool((display.sampled(source) > level).any()) else everywhere)


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
