"""A translation whose every part is known in closed form, on a small oblique anisotropic head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from SITTranslateLib import fields
from SITTranslateLib.translation import FieldOrigin, Provenance, Translation
from SITTranslateLib.volume import Grid, VectorField, Volume

CENTRE = np.array([5.0, -8.0, 12.0])
PROVENANCE = Provenance(
    package="brain-ageing-t1w", version="0.0.0", sha256="0" * 64, system="sit", attributes={"age": 20.0}, seed=0,
    device="cpu", source_sha256="1" * 64, created="2026-01-01T00:00:00+00:00", seconds=1.0,
)  # fmt: skip


def oblique_grid(shape: tuple[int, int, int] = (48, 60, 56)) -> Grid:
    """About 2.5 mm, anisotropic, turned by 20 and 10 degrees, its middle at ``CENTRE``."""
    a, b = np.deg2rad(20.0), np.deg2rad(10.0)
    about_s = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_r = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = about_s @ about_r @ np.diag([2.6, 2.4, 3.0])
    affine[:3, 3] = CENTRE - affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2.0)
    return Grid(shape, affine)


def points_of(grid: Grid) -> np.ndarray:
    """RAS mm of every voxel, ``(K, J, I, 3)``."""
    k, j, i = np.meshgrid(*[np.arange(n, dtype=np.float64) for n in grid.shape], indexing="ij")
    return grid.to_world(np.stack([i, j, k], axis=-1))


def head(grid: Grid) -> tuple[Volume, Volume]:
    """A head with two ventricles and a bright mark on its **left** only; and its label map (1 brain, 2 ventricles)."""
    r, a, s = np.moveaxis(points_of(grid) - CENTRE, -1, 0)
    brain = (r / 55) ** 2 + (a / 60) ** 2 + (s / 55) ** 2 < 1
    ventricles = ((np.abs(r) - 14) / 7) ** 2 + (a / 22) ** 2 + (s / 12) ** 2 < 1
    mark = (r + 38) ** 2 + (a - 10) ** 2 + s**2 < 9**2  # R is positive: the patient's left is negative
    image = np.where(brain, 600.0, 0.0) + np.where(brain & mark, 350.0, 0.0)
    image[ventricles] = 150.0
    labels = np.where(ventricles, 2, np.where(brain, 1, 0)).astype(np.float32)
    return Volume(image.astype(np.float32), grid.affine, "Head"), Volume(labels, grid.affine, "Labels")


def synthetic_translation(grid: Grid | None = None, *, origin: FieldOrigin = FieldOrigin.MODEL) -> Translation:
    """The ventricles grow (up to about 3 mm), and tissue in front of them gets darker."""
    grid = grid or oblique_grid()
    source, _labels = head(grid)
    offset = points_of(grid) - CENTRE
    reach = np.exp(-np.sum(offset**2, axis=-1, keepdims=True) / (2 * 22.0**2))
    velocity = VectorField((0.22 * offset * reach).astype(np.float32), grid.affine)
    motion, sampling = fields.exponential(velocity), fields.exponential(velocity, -1.0)
    spot = np.exp(-np.sum((offset - np.array([0.0, 34.0, 0.0])) ** 2, axis=-1) / (2 * 8.0**2))
    change = source.with_array(-140.0 * spot, "Intensity change")
    translated = fields.warp(source.with_array(source.array + change.array), sampling)
    return Translation(
        source=source,
        translated=Volume(translated.array, grid.affine, "Head translated"),
        velocity=velocity,
        motion=motion,
        sampling=sampling,
        jacobian=fields.jacobian(motion),
        intensity_change=change,
        field_origin=origin,
        recomposition_error=0.0,
        provenance=PROVENANCE,
    )


def in_steps(translation: Translation, shares: Sequence[float]) -> Translation:
    """With a map, and steps that each hold a share of the translated scan."""
    source, names = translation.source, [f"after step {n + 1} of {len(shares)}" for n in range(len(shares))]
    steps = {
        name: source.with_array(np.float32(share) * translation.translated.array, name)
        for name, share in zip(names, shares, strict=True)
    }
    maps = {"attention 1": source.with_array(source.array / np.float32(1e3), "attention 1")}
    return replace(translation, extras=maps | steps, steps=tuple(names))
