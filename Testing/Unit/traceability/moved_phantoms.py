"""Phantoms with a known motion, on grids as clinics make them: oblique, anisotropic, odd."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from SITTranslateLib import fields
from SITTranslateLib.translation import FieldOrigin, Provenance, Translation
from SITTranslateLib.volume import Grid, VectorField, Volume

PROVENANCE = Provenance("phantom", "1", "", "phantom", {}, 0, "cpu", "", "", 0.0)


def oblique_grid(shape: tuple[int, int, int] = (40, 58, 62), spacing: tuple[float, ...] = (1.0, 1.1, 1.7)) -> Grid:
    """A grid turned about all three axes, with (i, j, k) spacing, centred near the origin."""
    a, b, c = 0.4, -0.3, 0.25
    turn_k = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn_j = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    turn_i = np.array([[1, 0, 0], [0, np.cos(c), -np.sin(c)], [0, np.sin(c), np.cos(c)]])
    affine = np.eye(4)
    affine[:3, :3] = turn_k @ turn_j @ turn_i @ np.diag(spacing)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2) + [0.3, -0.2, 0.4]
    return Grid(shape, affine)


def world(grid: Grid) -> np.ndarray:
    """RAS points of all voxels ``(K, J, I, 3)``."""
    k, j, i = np.indices(grid.shape)
    return grid.to_world(np.stack((i, j, k), axis=-1))


def field_of(grid: Grid, function: Callable[[np.ndarray], np.ndarray]) -> VectorField:
    return VectorField(function(world(grid)).astype(np.float32), grid.affine)


def moved(
    source: Volume,
    motion: VectorField,
    sampling: VectorField,
    change: Volume | None = None,
    velocity: VectorField | None = None,
) -> Translation:
    """The translation of a scan by a known motion and intensity change."""
    changed = source if change is None else source.with_array(source.array + change.array)
    translated = fields.warp(changed, sampling)
    zero = source.with_array(np.zeros(source.shape))
    return Translation(
        source=source,
        translated=Volume(translated.array, translated.affine, "translated"),
        velocity=velocity,
        motion=motion,
        sampling=sampling,
        jacobian=fields.jacobian(motion),
        intensity_change=zero if change is None else change,
        field_origin=FieldOrigin.MODEL,
        recomposition_error=0.0,
        provenance=PROVENANCE,
    )
