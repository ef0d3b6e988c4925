"""Field algebra on :class:`VectorField` and :class:`Volume`: arrays in, arrays out.

Every function keeps the grid with the values, so that millimetres and RAS never get lost.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from SITTranslateLib.fields import tensors
from SITTranslateLib.volume import Grid, VectorField, Volume


def _as_tensor(field: VectorField) -> Tensor:
    return torch.from_numpy(field.array).permute(3, 0, 1, 2)[None]


def _as_field(tensor: Tensor, affine: NDArray[np.float64]) -> VectorField:
    return VectorField(tensor[0].permute(1, 2, 3, 0).contiguous().numpy(), affine)


@torch.no_grad()
def exponential(velocity: VectorField, time: float = 1.0, steps: int | None = None) -> VectorField:
    """Displacement (mm) of the flow of a stationary velocity (mm per unit time) after ``time``; -1 gives the inverse."""
    tensor, axes = _as_tensor(velocity), velocity.grid.axes
    count = tensors.squarings(tensor, axes, time) if steps is None else steps
    return _as_field(tensors.exponential(tensor, axes, time, count), velocity.affine)


def resample_field(field: VectorField, grid: Grid) -> VectorField:
    """The field read at the voxels of another grid (linear; the border vector is repeated outside)."""
    if field.grid.matches(grid, 1e-6):
        return field
    return _as_field(tensors.sample(_as_tensor(field), _indices_between(grid, field.grid)), grid.affine)


def resample_volume(volume: Volume, grid: Grid, mode: str = "bilinear") -> Volume:
    """The volume read at the voxels of another grid; outside, the border value is repeated."""
    image = torch.from_numpy(volume.array)[None, None]
    values = tensors.sample(image, _indices_between(grid, volume.grid), mode)
    return Volume(values[0, 0].numpy(), grid.affine, volume.name)


def warp(volume: Volume, sampling: VectorField, mode: str = "bilinear") -> Volume:
    """``out(y) = volume(y + u(y))`` on the sampling field's grid; the volume may lie on any other grid."""
    points = _world(sampling.grid) + torch.from_numpy(sampling.array).double()
    indices = _world_to_indices(points, volume.grid)
    values = tensors.sample(torch.from_numpy(volume.array)[None, None], indices[None].float(), mode)
    return Volume(values[0, 0].numpy(), sampling.affine, volume.name)


def compose(outer: VectorField, inner: VectorField) -> VectorField:
    """Displacement of ``outer`` after ``inner``, on the grid of ``inner``."""
    points = _world(inner.grid) + torch.from_numpy(inner.array).double()
    indices = _world_to_indices(points, outer.grid)
    moved = tensors.sample(_as_tensor(outer), indices[None].float())
    return _as_field(_as_tensor(inner) + moved, inner.affine)


def jacobian(motion: VectorField) -> Volume:
    """``det D(x + w(x))`` of a motion: > 1 the anatomy expands, < 1 it shrinks, <= 0 folded."""
    determinant = tensors.jacobian(_as_tensor(motion), motion.grid.axes)
    return Volume(determinant[0, 0].numpy(), motion.affine, "Jacobian")


def invert(displacement: VectorField, iterations: int = 30) -> VectorField:
    """Inverse displacement by fixed-point iteration ``w <- -u(y + w)``; for fields that have no velocity."""
    inverse = VectorField(-displacement.array, displacement.affine)
    for _ in range(iterations):
        moved = compose(displacement, inverse).array - inverse.array
        inverse = VectorField(-moved, displacement.affine)
    return inverse


def band_limit(field: VectorField, sigma_mm: float) -> VectorField:
    """Gaussian smoothing with ``sigma_mm`` along every axis."""
    sigma = tuple(sigma_mm / s for s in reversed(field.grid.spacing))
    return _as_field(tensors.gaussian(_as_tensor(field), sigma), field.affine)  # type: ignore[arg-type]


def soft_bound(field: VectorField, limit_mm: float) -> VectorField:
    """The field with every vector brought smoothly below ``limit_mm``."""
    return _as_field(tensors.soft_bound(_as_tensor(field), limit_mm), field.affine)


def sample_field(field: VectorField, points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Vectors (mm RAS) at RAS points ``(N, 3)`` in mm, linear."""
    indices = torch.from_numpy(field.grid.to_indices(points)).float().view(1, 1, 1, -1, 3)
    return tensors.sample(_as_tensor(field), indices)[0, :, 0, 0].T.double().numpy()


def _world(grid: Grid) -> Tensor:
    indices = tensors.identity_indices(grid.shape, torch.device("cpu")).double()
    return indices @ torch.from_numpy(grid.axes.T.copy()) + torch.from_numpy(grid.affine[:3, 3].copy())


def _world_to_indices(points: Tensor, grid: Grid) -> Tensor:
    inverse = np.linalg.inv(grid.axes)
    return (points - torch.from_numpy(grid.affine[:3, 3].copy())) @ torch.from_numpy(inverse.T.copy())


def _indices_between(grid: Grid, other: Grid) -> Tensor:
    return _world_to_indices(_world(grid), other).float()[None]
