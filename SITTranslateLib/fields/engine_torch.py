"""The array form of the field engine by torch, for machines without numba; same functions as ``engine_compiled``.

Works in slabs of layers, so that no full-size grid of positions is made.
"""

from __future__ import annotations

import math
import warnings
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from SITTranslateLib.fields import tensors
from SITTranslateLib.fields.shares import corner_shares

Array = NDArray[np.float32]
Matrix = NDArray[np.float64]
Shape = tuple[int, int, int]

#: Voxels of a slab: positions take 24 bytes a voxel.
SLAB_VOXELS = 1_000_000


def to_steps(field: Array, axes: Matrix) -> tuple[Array, float]:
    """Vectors in mm as index steps ``(3, K, J, I)``, and the largest step along any axis."""
    steps = torch.einsum("kjid,cd->ckji", _tensor(field), tensors.index_steps(axes, torch.empty(0)))
    return steps.contiguous().numpy(), float(steps.abs().amax())


def exponential(steps: Array, axes: Matrix, longest: float, scale: float, squarings: int) -> Array:
    """Displacement in mm ``(K, J, I, 3)`` of ``scale`` times a velocity in index steps, by that many squarings."""
    with torch.no_grad():
        displacement = tensors.exponential(_tensor(steps)[None], np.eye(3), scale, squarings)[0]
        return torch.einsum("ckji,dc->kjid", displacement, _float(axes)).contiguous().numpy()


def resample(image: Array, places: Matrix, shape: Shape, nearest: bool) -> Array:
    """A volume read at the voxels of another grid; ``places`` is 3x4 from its voxels to the volume's."""
    source, target = _tensor(image)[None, None], np.empty(shape, np.float32)
    for part in _slabs(shape):
        target[part] = _sampled(source, _positions(places, part, shape), nearest)[0, 0].numpy()
    return target


def resample_vectors(field: Array, places: Matrix, shape: Shape) -> Array:
    """A field ``(K, J, I, 3)`` read at the voxels of another grid."""
    source, target = _channels(field), np.empty((*shape, 3), np.float32)
    for part in _slabs(shape):
        target[part] = _sampled(source, _positions(places, part, shape))[0].permute(1, 2, 3, 0).numpy()
    return target


def warp(image: Array, places: Matrix, field: Array, matrix: Matrix, nearest: bool) -> Array:
    """A volume read at the voxels of the field's grid, each moved by its vector (``matrix``: mm to index steps)."""
    shape: Shape = field.shape[:3]  # type: ignore[assignment]
    source, vectors, target = _tensor(image)[None, None], _tensor(field), np.empty(shape, np.float32)
    for part in _slabs(shape):
        positions = _positions(places, part, shape) + (vectors[part] @ _float(matrix).T)[None]
        target[part] = _sampled(source, positions, nearest)[0, 0].numpy()
    return target


def warp_through(
    image: Array, places: Matrix, shape: Shape, field: Array, field_places: Matrix, matrix: Matrix, nearest: bool
) -> Array:
    """As :func:`warp` on a grid of ``shape`` with the field on another grid, read on the way."""
    source, vectors, target = _tensor(image)[None, None], _channels(field), np.empty(shape, np.float32)
    for part in _slabs(shape):
        steps = _sampled(vectors, _positions(field_places, part, shape)).permute(0, 2, 3, 4, 1) @ _float(matrix).T
        target[part] = _sampled(source, _positions(places, part, shape) + steps, nearest)[0, 0].numpy()
    return target


def compose(outer: Array, places: Matrix, inner: Array, matrix: Matrix) -> Array:
    """``inner(x) + outer(x + inner(x))`` on the inner field's grid."""
    shape: Shape = inner.shape[:3]  # type: ignore[assignment]
    source, vectors, target = _channels(outer), _tensor(inner), np.empty_like(inner)
    for part in _slabs(shape):
        positions = _positions(places, part, shape) + (vectors[part] @ _float(matrix).T)[None]
        moved = _sampled(source, positions)[0].permute(1, 2, 3, 0).numpy()
        target[part] = inner[part] + moved
    return target


def improve_inverse(field: Array, inverse: Array, matrix: Matrix, target: Array) -> tuple[Array, float]:
    """A Newton step towards the inverse of a displacement on the same grid, and its longest correction in mm.

    The better inverse is written to ``target``.
    """
    residual = _channels(compose(field, np.eye(4)[:3], inverse, matrix))
    current, steps = _channels(inverse), _float(matrix)
    shape: Shape = inverse.shape[:3]  # type: ignore[assignment]
    places = tensors.identity_indices(shape, current.device) + torch.einsum("bckji,dc->bkjid", current, steps)[0]
    last = torch.tensor(shape[::-1], dtype=torch.float32) - 1
    # Beyond the grid the displacement is constant along that axis.
    within = ((places >= 0) & (places <= last)).permute(3, 0, 1, 2)[None]
    by_index = torch.einsum("bckji,dc->bdkji", residual, steps) * within
    derivative = tensors.gradient(current, np.eye(3))
    correction = residual + torch.einsum("bcrkji,brkji->bckji", derivative, by_index)
    longest = float(correction.norm(dim=1).max())
    target[:] = (current - correction)[0].permute(1, 2, 3, 0).numpy()
    return target, longest


def jacobian(motion: Array, axes: Matrix) -> Array:
    """``det D(x + w(x))`` at every voxel."""
    layers = len(motion)
    target = np.empty(motion.shape[:3], np.float32)
    for part in _slabs(motion.shape[:3]):  # type: ignore[arg-type]
        # A layer more on either side, so that only the volume's own edge is one-sided.
        first, last = max(part.start - 1, 0), min(part.stop + 1, layers)
        determinant = tensors.jacobian(_channels(motion[first:last]), axes)[0, 0]
        target[part] = determinant[part.start - first : part.stop - first].numpy()
    return target


def label_sums(
    labels: NDArray[np.integer], arrays: tuple[Array, ...], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]] | None:
    """Voxels and sums of every label below ``count``; None if a label is not."""
    if labels.size and (labels.min() < 0 or labels.max() >= count):
        return None
    totals = np.zeros((count, len(arrays)))
    for n, array in enumerate(arrays):
        totals[:, n] = np.bincount(labels, array, count)
    return np.bincount(labels, minlength=count).astype(np.int64), totals


def carried_sums(
    labels: NDArray[np.int32], places: Matrix, field: Array, matrix: Matrix, image: Array, count: int
) -> NDArray[np.float64]:
    """Share of every label below ``count`` on the field's grid, and its share of the image: ``(count, 2)``."""
    totals, slab = np.zeros((count, 2)), max(1, 500_000 // image[0].size)
    for first in range(0, len(image), slab):
        part = slice(first, first + slab)
        k, j, i = np.indices(image[part].shape).reshape(3, -1)
        indices = np.stack((i, j, k + first), axis=-1) @ places[:, :3].T + places[:, 3]
        for label, weight in corner_shares(labels, indices + field[part].reshape(-1, 3) @ matrix.T):
            totals[:, 0] += np.bincount(label, weight, count)
            totals[:, 1] += np.bincount(label, weight * image[part].ravel(), count)
    return totals


def _tensor(array: Array) -> Tensor:
    if array.flags.writeable:
        return torch.from_numpy(array)
    with warnings.catch_warnings():
        # Nothing here writes to its input.
        warnings.simplefilter("ignore", UserWarning)
        return torch.from_numpy(array)


def _float(matrix: Matrix) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(matrix, dtype=np.float32))


def _channels(field: Array) -> Tensor:
    return _tensor(field).permute(3, 0, 1, 2)[None]


def _slabs(shape: Shape) -> list[slice]:
    count = max(1, math.ceil(shape[0] * shape[1] * shape[2] / SLAB_VOXELS))
    edges = [shape[0] * n // count for n in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(edges) if b > a]


def _positions(places: Matrix, part: slice, shape: Shape) -> Tensor:
    """Positions ``(1, k, j, i, 3)`` of some layers, in voxels of what is read."""
    ranges = [torch.arange(n, dtype=torch.float64) for n in shape]
    k, j, i = torch.meshgrid(ranges[0][part], ranges[1], ranges[2], indexing="ij")
    matrix = torch.from_numpy(np.ascontiguousarray(places))
    rows = [matrix[n, 0] * i + matrix[n, 1] * j + matrix[n, 2] * k + matrix[n, 3] for n in range(3)]
    return torch.stack([row.float() for row in rows], dim=-1)[None]


def _sampled(source: Tensor, positions: Tensor, nearest: bool = False) -> Tensor:
    with torch.no_grad():
        return tensors.sample(source, positions, "nearest" if nearest else "bilinear")
