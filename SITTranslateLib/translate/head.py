"""Location of the head in a scan, and whether its skull is present; on a 3 mm copy, for speed."""

from __future__ import annotations

import functools
import weakref
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from SITTranslateLib.files import place_image
from SITTranslateLib.translate.normalisation import foreground_threshold
from SITTranslateLib.volume import Grid, Volume

#: Voxels of the coarse copy, mm.
COARSE_MM = 3.0
#: Largest volume of a stripped brain with its CSF, mL; a head, even a slab of one, has more.
LARGEST_BRAIN_ML = 2300.0
#: Depth of the brain's middle below the top of the head, mm (16 label maps: 78 to 90).
BRAIN_BELOW_TOP_MM = 83.0


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Head or brain of a scan: mask, centre, and whether the skull is present.

    Attributes:
        coarse: the scan on axes along +R, +A, +S, 3 mm.
        mask: head or brain on that grid, holes filled slice by slice.
        skull: whether the head is there and not only the brain.
        centre: RAS mm of the middle of the brain, estimated.
        object_ml: volume of the mask.
        extent_mm: of the mask along R, A, S.
    """

    coarse: Volume
    mask: NDArray[np.bool_]
    skull: bool
    centre: NDArray[np.float64]
    object_ml: float
    extent_mm: tuple[float, float, float]


P = ParamSpec("P")
R = TypeVar("R")


def kept_for_last_volume(work: Callable[Concatenate[Volume, P], R]) -> Callable[Concatenate[Volume, P], R]:
    """Keep what a function of a volume gave for the last one: several steps of a translation ask for the same.

    It is given again for this very volume with the same voxels and the same other arguments (numbers and grids).
    """
    kept: list[tuple[weakref.ref[Volume], Any, R]] = []

    @functools.wraps(work)
    def known(volume: Volume, *args: P.args, **kwargs: P.kwargs) -> R:
        more = [(a.shape, a.affine.tobytes()) if isinstance(a, Grid) else a for a in (*args, *kwargs.items())]
        key = zlib.crc32(np.ascontiguousarray(volume.array).data), more
        for last, its_key, result in kept:
            if last() is volume and its_key == key:
                return result
        result = work(volume, *args, **kwargs)
        kept[:] = [(weakref.ref(volume), key, result)]
        return result

    return known


@kept_for_last_volume
def locate_head(volume: Volume) -> Anatomy:
    """Find the head or brain of a scan."""
    background = background_of(volume.array)
    differs = volume.array != background
    exact = 1.0 - float(np.count_nonzero(differs)) / differs.size
    differing_ml = float(np.count_nonzero(differs)) * volume.grid.voxel_volume / 1000.0
    stripped = exact > 0.2 and differing_ml < LARGEST_BRAIN_ML
    coarse = _on_coarse_grid(volume, background)
    mask = _object(coarse.array, background)
    centre = _box_middle(coarse.grid, mask) if stripped else _brain_in_head(coarse.grid, mask)
    lows, highs = _box(mask)
    extent = tuple(float(s) for s in (highs - lows + 1)[::-1] * COARSE_MM)
    millilitres = float(np.count_nonzero(mask)) * COARSE_MM**3 / 1000.0
    return Anatomy(coarse, mask, not stripped, centre, millilitres, extent)  # type: ignore[arg-type]


def ras_grid(corners: NDArray[np.float64], spacing: float) -> Grid:
    """A grid along +R, +A, +S that covers points ``(N, 3)``."""
    low, high = corners.min(axis=0), corners.max(axis=0)
    shape = np.maximum(2, np.ceil((high - low) / spacing).astype(int) + 1)
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = (low + high) / 2.0 - spacing * (shape - 1) / 2.0
    return Grid(tuple(shape[::-1]), affine)


def corners_of(grid: Grid) -> NDArray[np.float64]:
    """RAS mm of the middles of the eight corner voxels."""
    k, j, i = grid.shape
    indices = np.array([(a, b, c) for a in (0, i - 1) for b in (0, j - 1) for c in (0, k - 1)])
    return grid.to_world(indices.astype(np.float64))


def resample_itk(volume: Volume, grid: Grid, outside: float) -> Volume:
    """The volume read at the voxels of another grid, linear; ``outside`` where there is no scan."""
    image = place_image(sitk.GetImageFromArray(volume.array), volume.affine)
    reference = place_image(sitk.Image(list(grid.shape[::-1]), sitk.sitkUInt8), grid.affine)
    moved = sitk.Resample(image, reference, sitk.Transform(), sitk.sitkLinear, outside, sitk.sitkFloat32)
    return Volume(sitk.GetArrayFromImage(moved), grid.affine, volume.name)


def background_of(array: NDArray[np.float32]) -> float:
    """The value that fills the outside: the most frequent one of the outermost voxels."""
    faces = [array[0], array[-1], array[:, 0], array[:, -1], array[:, :, 0], array[:, :, -1]]
    values, counts = np.unique(np.concatenate([f.ravel() for f in faces]), return_counts=True)
    return float(values[counts.argmax()])


def _on_coarse_grid(volume: Volume, background: float) -> Volume:
    grid = ras_grid(corners_of(volume.grid), COARSE_MM)
    while np.prod(grid.shape) > 4e6:
        # A huge field of view is seen more coarsely still; enough to find a head in it.
        grid = ras_grid(corners_of(volume.grid), grid.spacing[0] * 1.5)
    return resample_itk(volume, grid, background)


def _object(array: NDArray[np.float32], background: float) -> NDArray[np.bool_]:
    low, high = np.percentile(array, (0.5, 99.5))
    if high <= low:
        low, high = float(array.min()), float(array.max())
    clipped = np.clip(array, low, high)
    bright = foreground_threshold(clipped)
    floor = max(low, min(background, bright))
    # Half-way between air and Otsu's threshold: the outline of the head, skull and scalp included.
    threshold = floor + 0.5 * (bright - floor)
    image = sitk.GetImageFromArray((clipped > threshold).astype(np.uint8))
    opened = sitk.BinaryMorphologicalOpening(image, [1, 1, 1])
    closed = sitk.BinaryMorphologicalClosing(opened, [2, 2, 2], sitk.sitkBall)
    parts = sitk.RelabelComponent(sitk.ConnectedComponent(closed), sortByObjectSize=True)
    largest = sitk.BinaryFillhole(sitk.Cast(parts == 1, sitk.sitkUInt8))
    mask = sitk.GetArrayViewFromImage(largest).astype(bool)
    return mask if mask.any() else np.asarray(array > threshold) | (array == array.max())


def _box(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and last index (k, j, i) of the mask, leaving out the outermost few voxels of noise."""
    lows, highs = [], []
    for axis in range(3):
        profile = mask.sum(axis=tuple(a for a in range(3) if a != axis))
        where = np.flatnonzero(profile > max(0.0, 0.01 * profile.max()))
        lows.append(where[0])
        highs.append(where[-1])
    return np.array(lows), np.array(highs)


def _box_middle(grid: Grid, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    lows, highs = _box(mask)
    return grid.to_world((lows + highs)[::-1] / 2.0)


def _brain_in_head(grid: Grid, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """A whole-head scan reaches down to the neck, so the brain is found from the top of the head."""
    lows, highs = _box(mask)
    spacing = grid.spacing[0]
    top = int(highs[0])
    bottom = max(int(lows[0]), top - round(85.0 / spacing))
    upper = mask.copy()
    upper[:bottom] = False
    middle = _box_middle(grid, upper)
    middle[2] = grid.to_world(np.array([0.0, 0.0, top]))[2] - BRAIN_BELOW_TOP_MM
    lowest = grid.to_world(np.array([0.0, 0.0, lows[0]]))[2]
    # A slab thinner than the way down to the brain's middle is its own middle.
    middle[2] = max(middle[2], lowest)
    return middle
