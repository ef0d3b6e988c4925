"""Grids and fields with known properties for the tests of the field engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from SITTranslateLib.volume import Grid, VectorField, Volume


def oblique_affine(seed: int, spacing: tuple[float, float, float] = (0.9, 1.4, 2.1)) -> NDArray[np.float64]:
    """A random rotation (with a mirror for odd seeds) with unequal voxel sizes and a far origin."""
    rng = np.random.default_rng(seed)
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    if np.linalg.det(rotation) < 0:
        rotation[:, 0] *= -1
    if seed % 2:
        rotation[:, 0] *= -1
    affine = np.eye(4)
    affine[:3, :3] = rotation * np.array(spacing)
    affine[:3, 3] = rng.uniform(-120, 120, 3)
    return affine


def points_of(grid: Grid) -> NDArray[np.float64]:
    """RAS mm of every voxel centre ``(K, J, I, 3)``."""
    k, j, i = np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij")
    return grid.to_world(np.stack((i, j, k), axis=-1))


def smooth_field(grid: Grid, largest_mm: float, sigma_mm: float, seed: int = 0) -> VectorField:
    """A random field smooth to ``sigma_mm`` with its longest vector ``largest_mm``."""
    rng = np.random.default_rng(seed)
    sigma = [sigma_mm / s for s in reversed(grid.spacing)]
    noise = rng.normal(size=(*grid.shape, 3))
    array = np.stack([gaussian_filter(noise[..., c], sigma, mode="nearest") for c in range(3)], axis=-1)
    return VectorField(array * (largest_mm / np.linalg.norm(array, axis=-1).max()), grid.affine)


def random_volume(grid: Grid, seed: int = 0) -> Volume:
    rng = np.random.default_rng(seed)
    return Volume(rng.normal(size=grid.shape).astype(np.float32) * 100, grid.affine)


def inside(array: NDArray[np.generic], margin: int) -> NDArray[np.generic]:
    """The part at least ``margin`` voxels from the border."""
    return array[margin:-margin, margin:-margin, margin:-margin]
