"""Field algebra on :class:`VectorField` and :class:`Volume`: arrays in, arrays out.

Every function keeps the grid with the values, so that millimetres and RAS never get lost. The work is done by the
compiled kernels where numba is installed, otherwise by torch, with the same results to rounding
(:mod:`SITTranslateLib.fields.engine`).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.errors import InputError
from SITTranslateLib.fields.engine import engine
from SITTranslateLib.volume import Grid, VectorField, Volume

#: The first step of scaling and squaring moves no point by more than this many voxels.
LARGEST_FIRST_STEP = 0.25
#: An inverse starts from that of half the resolution where no axis has fewer voxels than this.
SMALLEST_HALVED = 48


def exponential(velocity: VectorField, time: float = 1.0, steps: int | None = None) -> VectorField:
    """Displacement (mm) of the flow of a stationary velocity (mm per unit time) after ``time``.

    Time -1 gives the inverse. Without ``steps`` (the number of squarings) the speed decides it.

    Arsigny et al., "A log-Euclidean framework for statistics on diffeomorphisms", MICCAI 2006.

    Raises:
        InputError: the velocity holds NaN or infinite values.
    """
    axes = velocity.grid.axes
    in_steps, longest = engine().to_steps(velocity.array, axes)
    if not math.isfinite(longest * time):
        raise InputError("The velocity field holds NaN or infinite values; make it again from a finite one.")
    count = squarings(longest * abs(time)) if steps is None else steps
    return VectorField(engine().exponential(in_steps, axes, longest, time, count), velocity.affine)


def squarings(longest: float) -> int:
    """Squarings for a displacement whose longest step along an axis is ``longest`` voxels."""
    return max(0, math.ceil(math.log2(longest / LARGEST_FIRST_STEP))) if longest > LARGEST_FIRST_STEP else 0


def resample_field(field: VectorField, grid: Grid) -> VectorField:
    """The field read at the voxels of another grid (linear; the border vector is repeated outside)."""
    if field.grid.matches(grid, 1e-6):
        return field
    return VectorField(
        engine().resample_vectors(field.array, places_between(grid, field.grid), grid.shape), grid.affine
    )


def resample_volume(volume: Volume, grid: Grid, mode: str = "bilinear") -> Volume:
    """The volume read at the voxels of another grid; outside, the border value is repeated."""
    values = engine().resample(volume.array, places_between(grid, volume.grid), grid.shape, _is_nearest(mode))
    return Volume(values, grid.affine, volume.name)


def warp(volume: Volume, sampling: VectorField, mode: str = "bilinear", grid: Grid | None = None) -> Volume:
    """``out(y) = volume(y + u(y))`` on the sampling field's grid; the volume may lie on any other grid.

    With ``grid`` the output lies there, and a coarser sampling field is read (linear) on the way: the same as warping
    by ``resample_field(sampling, grid)``, without making that field.
    """
    nearest, matrix = _is_nearest(mode), np.linalg.inv(volume.grid.axes)
    if grid is None or sampling.grid.matches(grid, 1e-6):
        places = places_between(sampling.grid, volume.grid)
        return Volume(
            engine().warp(volume.array, places, sampling.array, matrix, nearest), sampling.affine, volume.name
        )
    places, field_places = places_between(grid, volume.grid), places_between(grid, sampling.grid)
    values = engine().warp_through(volume.array, places, grid.shape, sampling.array, field_places, matrix, nearest)
    return Volume(values, grid.affine, volume.name)


def compose(outer: VectorField, inner: VectorField) -> VectorField:
    """Displacement of ``outer`` after ``inner``, on the grid of ``inner``."""
    places, matrix = places_between(inner.grid, outer.grid), np.linalg.inv(outer.grid.axes)
    return VectorField(engine().compose(outer.array, places, inner.array, matrix), inner.affine)


def jacobian(motion: VectorField) -> Volume:
    """``det D(x + w(x))`` of a motion: > 1 the anatomy expands, < 1 it shrinks, <= 0 folded."""
    return Volume(engine().jacobian(motion.array, motion.grid.axes), motion.affine, "Jacobian")


def invert(
    displacement: VectorField, iterations: int = 20, tolerance_mm: float = 1e-4, start: VectorField | None = None
) -> VectorField:
    """Inverse displacement ``u`` with ``u(y) + w(y + u(y)) = 0`` by Newton's method; for fields without a velocity.

    Starts from the inverse on a grid of half the resolution. Ends when the next correction, as foreseen from the last
    two, is below ``tolerance_mm`` everywhere, or when the corrections grow: a field that folds, or leaves the grid, has
    no inverse there.

    Args:
        displacement: in mm RAS.
        iterations: Newton steps at most, on this grid.
        tolerance_mm: longest correction that may be left out.
        start: a field near the answer, such as ``exp(-v)``, instead of the coarse inverse.
    """
    grid = displacement.grid
    if start is None and min(grid.shape) >= SMALLEST_HALVED:
        half = grid.coarsened(2)
        start = invert(resample_field(displacement, half), iterations, tolerance_mm)
    if start is None:
        inverse = -displacement.array
    else:
        near = resample_field(start, grid)
        # The steps write over it in turn, and the caller's own field stays as it is.
        inverse = near.array.copy() if near is start else near.array
    matrix, before = np.linalg.inv(grid.axes), math.inf
    spare = np.empty_like(inverse)
    for _ in range(iterations):
        better, change = engine().improve_inverse(displacement.array, inverse, matrix, spare)
        if not change < 2.0 * before:
            break
        foreseen = change if math.isinf(before) or before == 0 else change * min(1.0, change / before)
        inverse, spare, before = better, inverse, change
        if foreseen <= tolerance_mm:
            break
    return VectorField(inverse, grid.affine)


def band_limit(field: VectorField, sigma_mm: float) -> VectorField:
    """Gaussian smoothing with ``sigma_mm`` along every axis."""
    import torch

    from SITTranslateLib.fields import tensors

    sigma = tuple(sigma_mm / s for s in reversed(field.grid.spacing))
    with torch.no_grad():
        channels = torch.tensor(field.array).permute(3, 0, 1, 2)[None]
        smooth = tensors.gaussian(channels, sigma)[0]  # type: ignore[arg-type]
    return VectorField(smooth.permute(1, 2, 3, 0).contiguous().numpy(), field.affine)


def soft_bound(field: VectorField, limit_mm: float) -> VectorField:
    """The field with every vector ``v`` brought smoothly below ``limit_mm``: ``v tanh(|v|/b) / (|v|/b)``."""
    length = np.maximum(field.magnitude(), np.float32(1e-6)) / np.float32(limit_mm)
    bounded = field.array * (np.tanh(length) / length)[..., None]
    return VectorField(bounded.astype(np.float32, copy=False), field.affine)


def sample_field(field: VectorField, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Vectors (mm RAS) at RAS points ``(N, 3)`` in mm, linear; beyond the grid the border vector is repeated."""
    corners, share, _ = _cells_at(field, points)
    return _blend(corners, share)


def sample_field_with_derivative(
    field: VectorField, points: NDArray[np.floating]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Vectors as :func:`sample_field` and their exact derivative within the voxel cell.

    Returns:
        Vectors ``(N, 3)`` in mm, and ``D[n, c, r]`` ``(N, 3, 3)``, the change of component c per mm along RAS axis r.
    """
    corners, share, within = _cells_at(field, points)
    by_index = np.empty((len(share), 3, 3))
    for axis in range(3):
        # The corners' first axes are (k, j, i).
        step = np.take(corners, 1, axis=3 - axis) - np.take(corners, 0, axis=3 - axis)
        others = [share[:, a] for a in (2, 1, 0) if a != axis]
        for part in others:
            step = step[:, 0] + part.reshape(-1, *(1,) * (step.ndim - 2)) * (step[:, 1] - step[:, 0])
        by_index[:, :, axis] = step * within[:, axis, None]
    return _blend(corners, share), by_index @ np.linalg.inv(field.grid.axes)


def _cells_at(
    field: VectorField, points: NDArray[np.floating]
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.bool_]]:
    """The eight vectors around RAS points ``(N, 2, 2, 2, 3)`` by (k, j, i), shares (i, j, k) and whether inside."""
    size = np.array(field.grid.shape[::-1])
    indices = field.grid.to_indices(points)
    places = np.clip(indices, 0, size - 1)
    low = np.minimum(places.astype(np.int64), np.maximum(size - 2, 0))
    strides = np.array([1, size[0], size[0] * size[1]])
    (i0, j0, k0), (_, j1, k1) = (low * strides).T, (np.minimum(low + 1, size - 1) * strides).T
    flat = np.ascontiguousarray(field.array).reshape(-1)
    # Two neighbours of a row lie side by side and are read at once; a row of one voxel is read twice.
    pairs = np.lib.stride_tricks.as_strided(flat, (flat.size // 3 - 1, 6), (12, 4), writeable=False)
    corners = np.empty((len(low), 2, 2, 2, 3), np.float32)
    for k, j in np.ndindex(2, 2):
        start = (k1 if k else k0) + (j1 if j else j0) + i0
        if size[0] > 1:
            corners[:, k, j] = pairs[start].reshape(-1, 2, 3)
        else:
            corners[:, k, j] = flat.reshape(-1, 3)[start][:, None]
    return corners, places - low, places == indices


def _blend(corners: NDArray[np.float32], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Linear values of cells ``(N, 2, 2, 2, 3)`` at the shares ``(N, 3)`` along (i, j, k)."""
    values: NDArray[np.floating] = corners
    for axis in (2, 1, 0):
        part = share[:, axis].reshape(-1, *(1,) * (values.ndim - 2))
        values = values[:, 0] + part * (values[:, 1] - values[:, 0])
    return np.asarray(values, dtype=np.float64)


def _is_nearest(mode: str) -> bool:
    if mode not in ("bilinear", "nearest"):
        raise ValueError(f"mode must be 'bilinear' or 'nearest', got {mode!r}")
    return mode == "nearest"


def places_between(grid: Grid, other: Grid) -> NDArray[np.float64]:
    """3x4 from the voxel indices of a grid to those of another."""
    return np.ascontiguousarray((np.linalg.inv(other.affine) @ grid.affine)[:3])
