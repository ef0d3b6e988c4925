"""The array form of the field engine by compiled kernels; same functions as ``engine_torch``."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.fields.compiled import determinant, flow, resampling, sums
from SITTranslateLib.fields.threads import over_slabs

Array = NDArray[np.float32]
Matrix = NDArray[np.float64]
Shape = tuple[int, int, int]


def to_steps(field: Array, axes: Matrix) -> tuple[Array, float]:
    """Vectors in mm as index steps ``(3, K, J, I)``, and the largest step along any axis."""
    layers, rows, columns, _ = field.shape
    matrix = np.linalg.inv(axes).astype(np.float32)
    steps, longest = np.empty((3, layers, rows, columns), np.float32), np.zeros(layers, np.float32)
    over_slabs(lambda a, b: flow.to_voxels(a, b, field, matrix, steps, longest), layers, longest.size * rows * columns)
    return steps, float(longest.max())


def exponential(steps: Array, axes: Matrix, longest: float, scale: float, squarings: int) -> Array:
    """Displacement in mm ``(K, J, I, 3)`` of ``scale`` times a velocity in index steps, by that many squarings.

    ``steps`` is used up: its memory serves the squarings in turn with the result's, so that two arrays are enough.
    """
    layers, voxels = steps.shape[1], steps[0].size
    directions = np.ascontiguousarray(axes, dtype=np.float32)
    source, other = steps, np.empty_like(steps)
    factor = np.float32(scale / 2**squarings)
    # No step more than doubles in a squaring, which saves testing them while all are short.
    bound = longest * abs(float(factor)) * (1 + 1e-6)
    for _ in range(squarings - 1):
        over_slabs(partial(_square, source, factor, bound <= 1.0, other), layers, voxels)
        source, other, factor, bound = other, source, np.float32(1), bound * 2
    target = other.reshape(*steps.shape[1:], 3)
    if squarings == 0:
        over_slabs(lambda a, b: flow.to_millimetres(a, b, source, factor, directions, target), layers, voxels)
        return target
    near = bound <= 1.0
    over_slabs(lambda a, b: flow.square_to_millimetres(a, b, source, factor, near, directions, target), layers, voxels)
    return target


def _square(source: Array, factor: np.float32, near: bool, target: Array, first: int, last: int) -> None:
    flow.square(first, last, source, factor, near, target)


def resample(image: Array, places: Matrix, shape: Shape, nearest: bool) -> Array:
    """A volume read at the voxels of another grid; ``places`` is 3x4 from its voxels to the volume's."""
    target = np.empty(shape, np.float32)
    over_slabs(lambda a, b: resampling.resample(a, b, image, places, nearest, target), shape[0], target.size)
    return target


def resample_vectors(field: Array, places: Matrix, shape: Shape) -> Array:
    """A field ``(K, J, I, 3)`` read at the voxels of another grid."""
    target = np.empty((*shape, 3), np.float32)
    voxels = target.size // 3
    if _is_upright(places):
        stretched, layers, rows = _stretched(field, np.eye(3, dtype=np.float32), places, shape)
        over_slabs(lambda a, b: resampling.blend_stretched(a, b, stretched, layers, rows, target), shape[0], voxels)
    else:
        over_slabs(lambda a, b: resampling.resample_vectors(a, b, field, places, target), shape[0], voxels)
    return target


def warp(image: Array, places: Matrix, field: Array, matrix: Matrix, nearest: bool) -> Array:
    """A volume read at the voxels of the field's grid, each moved by its vector (``matrix``: mm to index steps)."""
    target = np.empty(field.shape[:3], np.float32)
    steps = np.ascontiguousarray(matrix, dtype=np.float32)
    over_slabs(
        lambda a, b: resampling.warp(a, b, image, places, field, steps, nearest, target), len(target), target.size
    )
    return target


def warp_through(
    image: Array, places: Matrix, shape: Shape, field: Array, field_places: Matrix, matrix: Matrix, nearest: bool
) -> Array:
    """As :func:`warp` on a grid of ``shape`` with the field on another grid, read on the way."""
    target = np.empty(shape, np.float32)
    steps = np.ascontiguousarray(matrix, dtype=np.float32)
    if _is_upright(field_places):
        stretched, layers, rows = _stretched(field, steps, field_places, shape)
        over_slabs(
            lambda a, b: resampling.warp_stretched(a, b, image, places, stretched, layers, rows, nearest, target),
            shape[0],
            target.size,
        )
    else:
        over_slabs(
            lambda a, b: resampling.warp_through(a, b, image, places, field, field_places, steps, nearest, target),
            shape[0],
            target.size,
        )
    return target


def compose(outer: Array, places: Matrix, inner: Array, matrix: Matrix) -> Array:
    """``inner(x) + outer(x + inner(x))`` on the inner field's grid."""
    target = np.empty_like(inner)
    steps = np.ascontiguousarray(matrix, dtype=np.float32)
    over_slabs(lambda a, b: resampling.compose(a, b, outer, places, inner, steps, target), len(inner), inner.size // 3)
    return target


def improve_inverse(field: Array, inverse: Array, matrix: Matrix, target: Array) -> tuple[Array, float]:
    """A Newton step towards the inverse of a displacement on the same grid, and its longest correction in mm.

    The better inverse is written to ``target``.
    """
    change = np.empty(len(inverse), np.float32)
    steps, places = np.ascontiguousarray(matrix, dtype=np.float32), np.eye(4)[:3].copy()
    over_slabs(
        lambda a, b: resampling.improve_inverse(a, b, field, places, inverse, steps, target, change),
        len(inverse),
        inverse.size // 3,
    )
    return target, float(np.sqrt(change.max()))


def jacobian(motion: Array, axes: Matrix) -> Array:
    """``det D(x + w(x))`` at every voxel."""
    target = np.empty(motion.shape[:3], np.float32)
    inverse_volume = np.float32(1.0 / np.linalg.det(axes))
    directions = np.ascontiguousarray(axes, dtype=np.float32)
    over_slabs(
        lambda a, b: determinant.jacobian(a, b, motion, directions, inverse_volume, target), len(target), target.size
    )
    return target


def label_sums(
    labels: NDArray[np.integer], arrays: tuple[Array, ...], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """Voxels and sums of every label below ``count``; None if a label is not."""

    def part(first: int, last: int) -> tuple[bool, NDArray[np.int64], NDArray[np.float64]]:
        counts, totals = np.zeros(count, np.int64), np.zeros((count, len(arrays)))
        return sums.sums(first, last, labels, arrays, counts, totals), counts, totals

    parts = over_slabs(part, labels.size, labels.size)
    if not all(good for good, _, _ in parts):
        return None
    return np.sum([c for _, c, _ in parts], axis=0), np.sum([t for _, _, t in parts], axis=0)


def carried_sums(
    labels: NDArray[np.int32], places: Matrix, field: Array, matrix: Matrix, image: Array, count: int
) -> NDArray[np.float64]:
    """Share of every label below ``count`` on the field's grid, and its share of the image: ``(count, 2)``."""

    def part(first: int, last: int) -> NDArray[np.float64]:
        totals = np.zeros((count, 2))
        sums.carried(first, last, labels, places, field, matrix, image, totals)
        return totals

    return np.asarray(np.sum(over_slabs(part, len(image), image.size), axis=0))


def _is_upright(places: Matrix) -> bool:
    """Whether the two grids' axes are parallel, one by one."""
    turns = places[:, :3] - np.diag(np.diag(places[:, :3]))
    return bool(np.abs(turns).max() < 1e-7 * np.abs(places[:, :3]).max())


def _stretched(field: Array, matrix: Array, places: Matrix, shape: Shape) -> tuple[Array, Array, Array]:
    """The field, times ``matrix``, read along its rows at the output's columns; and where layers and rows lie."""
    layers, rows, columns = (
        (places[axis, axis] * np.arange(n) + places[axis, 3]).astype(np.float32)
        for axis, n in zip((2, 1, 0), shape, strict=True)
    )
    # Only the layers that the output lies between; whoever wants a slab does not stretch the whole field.
    within = np.clip(layers, 0, len(field) - 1)
    first = max(min(int(within.min()), len(field) - 2), 0)
    field = field[first : min(int(within.max()) + 2, len(field))]
    layers = (layers - first).astype(np.float32)
    target = np.empty((field.shape[0], 3, field.shape[1], shape[2]), np.float32)
    over_slabs(lambda a, b: resampling.stretch_rows(a, b, field, matrix, columns, target), len(field), target.size // 3)
    return target, layers, rows
