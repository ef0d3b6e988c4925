"""The geometry of a translation on any grid: motion, sampling field and Jacobian."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib import fields
from SITTranslateLib.errors import InputError
from SITTranslateLib.translation import FieldOrigin, Translation
from SITTranslateLib.volume import Grid, VectorField, Volume


@dataclass(frozen=True, eq=False)
class Geometry:
    """Both directions of a field and its Jacobian, all on the grid of the source.

    ``still`` says that nothing moves by contract (origin ``identity``); the fields are then zero.
    """

    motion: VectorField
    sampling: VectorField
    jacobian: Volume
    still: bool = False

    @classmethod
    def of(cls, translation: Translation) -> Geometry | None:
        """The geometry a translation carries; ``None`` if it has no field. A missing direction is inverted."""
        grid = translation.source.grid
        if translation.field_origin is FieldOrigin.NONE:
            return None
        motion, sampling = translation.motion, translation.sampling
        if motion is None and sampling is None:
            if translation.field_origin is not FieldOrigin.IDENTITY:
                raise InputError(f"{translation.translated.name} says it has a field but carries none; make it again.")
            zero = VectorField(np.zeros((*grid.shape, 3), np.float32), grid.affine)
            return cls(zero, zero, Volume(np.ones(grid.shape, np.float32), grid.affine), still=True)
        if motion is None:
            motion = fields.invert(_given(sampling))
        elif sampling is None:
            sampling = fields.invert(motion)
        return cls(motion, _given(sampling), translation.jacobian or fields.jacobian(motion))

    @property
    def grid(self) -> Grid:
        return self.motion.grid

    @cached_property
    def lengths(self) -> Volume:
        """Length of the motion, mm."""
        return Volume(self.motion.magnitude(), self.grid.affine, "motion")

    @cached_property
    def residual(self) -> Volume:
        """Length of the round trip ``x -> x + w(x) -> back``, mm."""
        if self.still:
            return Volume(np.zeros(self.grid.shape, np.float32), self.grid.affine)
        return Volume(fields.compose(self.sampling, self.motion).magnitude(), self.grid.affine, "residual")


def _given(field: VectorField | None) -> VectorField:
    assert field is not None
    return field


def box_of(grid: Grid, low: NDArray[np.integer], high: NDArray[np.integer]) -> Grid:
    """The voxels ``low`` to ``high`` (both in (i, j, k), ``high`` excluded) of a grid; may reach beyond its edge."""
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_world(low.astype(float))
    return Grid(tuple(int(n) for n in (high - low)[::-1]), affine)  # type: ignore[arg-type]


def volume_on(volume: Volume, grid: Grid) -> Volume:
    """A volume on another grid: cut out where the voxels coincide, linear where they do not."""
    if (cut := _cut(volume.grid, grid)) is not None:
        return Volume(volume.array[cut], grid.affine, volume.name)
    return fields.resample_volume(volume, grid)


def field_on(field: VectorField, grid: Grid) -> VectorField:
    """A field on another grid: cut out where the voxels coincide, linear where they do not."""
    if (cut := _cut(field.grid, grid)) is not None:
        return VectorField(field.array[cut], grid.affine)
    return fields.resample_field(field, grid)


def inverse_residual(geometry: Geometry, grid: Grid) -> NDArray[np.float32]:
    """Length in mm of the round trip ``x -> x + w(x) -> back`` at every voxel of a grid ``(K, J, I)``."""
    if geometry.still or _cut(geometry.grid, grid) is not None:
        return volume_on(geometry.residual, grid).array
    return fields.compose(geometry.sampling, field_on(geometry.motion, grid)).magnitude()


def inside(grid: Grid, points: NDArray[np.floating], margin: float = 0.5) -> NDArray[np.bool_]:
    """Which RAS points ``(..., 3)`` lie in a grid, its outermost voxel centres moved out by ``margin`` voxels."""
    return np.all(_within(grid, grid.to_indices(points), margin), axis=-1)


def voxels_inside(grid: Grid, part: Grid, margin: float = 0.5) -> NDArray[np.bool_]:
    """Which voxels of ``part`` ``(K, J, I)`` lie in ``grid``, as :func:`inside` says; axis by axis where it can be."""
    steps = np.linalg.inv(grid.affine) @ part.affine
    turned = steps[:3, :3] - np.diag(np.diag(steps[:3, :3]))
    if np.abs(turned).max() > 1e-7 * np.abs(steps[:3, :3]).max():
        corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(part.shape[::-1]) - 1.0)
        if inside(grid, part.to_world(corners), margin).all():
            return np.ones(part.shape, bool)
        k, j, i = np.indices(part.shape).reshape(3, -1)
        return inside(grid, part.to_world(np.stack((i, j, k), axis=-1)), margin).reshape(part.shape)
    found = np.ones(part.shape, bool)
    for axis, count in enumerate(part.shape[::-1]):
        points = np.repeat(part.affine[None, :3, 3], count, axis=0) + np.arange(count)[:, None] * part.axes[:, axis]
        on_axis = _within(grid, grid.to_indices(points), margin)[:, axis]
        found &= on_axis.reshape([-1 if 2 - axis == n else 1 for n in range(3)])
    return found


def _within(grid: Grid, indices: NDArray[np.floating], margin: float) -> NDArray[np.bool_]:
    """Which indices ``(..., 3)`` lie in a grid, along each axis."""
    last = np.array(grid.shape[::-1]) - 1.0
    # An axis of one voxel is all border: there, being in the voxel is enough.
    around = np.where(last > 0, margin, max(margin, 0.5)) + 1e-6
    return np.asarray((indices >= -around) & (indices <= last + around))


def _cut(grid: Grid, part: Grid) -> tuple[slice, slice, slice] | None:
    """Slices of ``grid`` that give ``part``; ``None`` if the voxels do not coincide or lie outside."""
    if not np.allclose(grid.axes, part.axes, atol=1e-6):
        return None
    start = grid.to_indices(part.affine[:3, 3])
    low = np.rint(start).astype(int)[::-1]
    if not np.allclose(start[::-1], low, atol=1e-3):
        return None
    high = low + np.array(part.shape)
    if np.any(low < 0) or np.any(high > np.array(grid.shape)):
        return None
    return tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))  # type: ignore[return-value]
