"""The same displacement in SimpleITK: points, images, Jacobian (LPS there, RAS here)."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from fields_for_tests import inside, oblique_affine, points_of, random_volume, smooth_field

from SITTranslateLib import fields
from SITTranslateLib.volume import Grid, VectorField, Volume

LPS = np.array([-1.0, -1.0, 1.0])


def itk_image(array: np.ndarray, grid: Grid, vector: bool = False) -> sitk.Image:
    image = sitk.GetImageFromArray(array, isVector=vector)
    spacing = np.array(grid.spacing)
    image.SetSpacing(spacing.tolist())
    image.SetDirection(((LPS[:, None] * grid.axes) / spacing).ravel().tolist())
    image.SetOrigin((LPS * grid.affine[:3, 3]).tolist())
    return image


def itk_transform(field: VectorField) -> sitk.DisplacementFieldTransform:
    image = itk_image(field.array.astype(np.float64) * LPS, field.grid, vector=True)
    return sitk.DisplacementFieldTransform(image)


# SimpleITK refuses nothing here: mirrored grids (odd seeds) are checked too.
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_points_move_as_in_simpleitk(seed: int) -> None:
    grid = Grid((21, 24, 19), oblique_affine(seed))
    field = smooth_field(grid, 8.0, 3.0, seed)
    transform = itk_transform(field)
    rng = np.random.default_rng(seed)
    indices = rng.uniform(0.01, np.array(grid.shape[::-1]) - 1.01, (300, 3))
    points = grid.to_world(indices)
    theirs = np.array([transform.TransformPoint((LPS * p).tolist()) for p in points]) * LPS - points
    np.testing.assert_allclose(fields.sample_field(field, points), theirs, atol=1e-4)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_images_warp_as_in_simpleitk(seed: int) -> None:
    grid = Grid((21, 24, 19), oblique_affine(seed))
    volume, sampling = random_volume(grid, seed), smooth_field(grid, 5.0, 3.0, seed)
    reference = itk_image(volume.array, grid)
    nothing = -1e6
    theirs = sitk.GetArrayFromImage(
        sitk.Resample(reference, reference, itk_transform(sampling), sitk.sitkLinear, nothing, sitk.sitkFloat32)
    )
    ours = fields.warp(volume, sampling).array
    indices = grid.to_indices(points_of(grid) + sampling.array)
    within = ((indices > 0) & (indices < np.array(grid.shape[::-1]) - 1)).all(axis=-1)
    assert within.mean() > 0.5
    # The image is white noise (sd 100): 1e-4 of a voxel is about 0.05.
    np.testing.assert_allclose(ours[within], theirs[within], atol=0.05)


@pytest.mark.parametrize("seed", [0, 1])
def test_volumes_resample_as_in_simpleitk(seed: int) -> None:
    source, target = Grid((21, 24, 19), oblique_affine(seed)), Grid((15, 14, 17), oblique_affine(seed + 2))
    target.affine[:3, 3] += source.centre - target.centre
    volume = random_volume(source, seed)
    theirs = sitk.GetArrayFromImage(
        sitk.Resample(
            itk_image(volume.array, source),
            itk_image(np.zeros(target.shape), target),
            sitk.Transform(),
            sitk.sitkLinear,
        )
    )
    ours = fields.resample_volume(volume, target).array
    indices = source.to_indices(points_of(target))
    within = ((indices > 0) & (indices < np.array(source.shape[::-1]) - 1)).all(axis=-1)
    np.testing.assert_allclose(ours[within], theirs[within], atol=0.05)


def test_jacobian_as_in_simpleitk() -> None:
    # On upright grids only: ITK differentiates along the index axes and leaves the vectors in world axes.
    grid = Grid((21, 24, 19), np.diag([-0.9, -1.4, 2.1, 1.0]))
    for seed in (0, 1):
        motion = smooth_field(grid, 6.0, 4.0, seed)
        theirs = sitk.GetArrayFromImage(
            sitk.DisplacementFieldJacobianDeterminant(itk_image(motion.array * LPS, grid, vector=True))
        )
        np.testing.assert_allclose(inside(fields.jacobian(motion).array, 1), inside(theirs, 1), atol=1e-4)


def test_inverse_agrees_with_simpleitks() -> None:
    grid = Grid((32, 32, 32), oblique_affine(1, (1.0, 1.0, 1.0)))
    motion, ours = (fields.exponential(smooth_field(grid, 5.0, 4.0, 1), time) for time in (1.0, -1.0))
    inverted = sitk.GetArrayFromImage(sitk.InvertDisplacementField(itk_image(motion.array * LPS, grid, vector=True)))
    np.testing.assert_allclose(inside(ours.array, 7), inside(inverted * LPS, 7), atol=0.05)


def test_a_volume_and_its_grid_survive_the_round_trip() -> None:
    grid = Grid((5, 6, 7), oblique_affine(1))
    image = itk_image(random_volume(grid).array, grid)
    corner = np.array(image.TransformIndexToPhysicalPoint((6, 5, 4))) * LPS
    np.testing.assert_allclose(corner, grid.to_world(np.array([6, 5, 4])), atol=1e-9)
    assert Volume(sitk.GetArrayFromImage(image), grid.affine).grid.matches(grid)
