"""Sizes and places where field code usually goes wrong: one-voxel-thin axes, odd sizes, half voxels, borders."""

from __future__ import annotations

import numpy as np
import pytest
from fields_for_tests import oblique_affine, points_of, random_volume, smooth_field

from SITTranslateLib import fields
from SITTranslateLib.volume import Grid, VectorField, Volume


@pytest.mark.parametrize("shape", [(1, 9, 8), (9, 1, 8), (9, 8, 1), (1, 1, 6), (1, 1, 1), (2, 2, 2)])
def test_one_voxel_thin_axes(shape: tuple[int, int, int]) -> None:
    grid = Grid(shape, oblique_affine(0))
    vector = np.array([1.0, -2.0, 0.5])
    velocity = VectorField(np.broadcast_to(vector, (*shape, 3)), grid.affine)
    np.testing.assert_allclose(fields.exponential(velocity).array, velocity.array, atol=1e-5)
    np.testing.assert_allclose(fields.jacobian(velocity).array, 1.0, atol=1e-5)
    volume = random_volume(grid)
    still = VectorField(np.zeros((*shape, 3)), grid.affine)
    np.testing.assert_allclose(fields.warp(volume, still).array, volume.array, atol=1e-3)
    smoothed = fields.band_limit(velocity, 2.0)
    np.testing.assert_allclose(smoothed.array, velocity.array, atol=1e-5)


def test_half_a_voxel_averages_the_two_neighbours() -> None:
    affine = oblique_affine(1)
    grid = Grid((6, 7, 8), affine)
    volume = random_volume(grid)
    for axis, dimension in enumerate((2, 1, 0)):
        shift = np.broadcast_to(grid.axes[:, axis] / 2, (*grid.shape, 3))
        warped = fields.warp(volume, VectorField(shift, affine)).array
        last = volume.shape[dimension] - 1
        left, right = (np.take(volume.array, range(s, last + s), dimension) for s in (0, 1))
        np.testing.assert_allclose(np.take(warped, range(last), dimension), (left + right) / 2, atol=0.01)
        # The last voxel has no right neighbour: the border is repeated.
        np.testing.assert_allclose(np.take(warped, last, dimension), np.take(volume.array, last, dimension), atol=0.01)


@pytest.mark.parametrize("shape", [(7, 9, 11), (8, 9, 10), (1, 5, 6), (16, 16, 16)])
@pytest.mark.parametrize("factor", [2, 3])
def test_coarsened_grid_covers_the_fine_one_around_the_same_centre(shape: tuple[int, int, int], factor: int) -> None:
    fine = Grid(shape, oblique_affine(2))
    coarse = fine.coarsened(factor)
    np.testing.assert_allclose(coarse.centre, fine.centre, atol=1e-9)
    indices = coarse.to_indices(points_of(fine))
    assert (indices > -1e-9).all()
    assert (indices < np.array(coarse.shape[::-1]) - 1 + 1e-9).all()


def test_a_coarse_linear_field_reads_exactly_on_the_fine_grid() -> None:
    fine = Grid((9, 10, 11), oblique_affine(3))
    coarse = fine.coarsened(2)
    matrix = np.random.default_rng(0).normal(size=(3, 3)) * 0.1
    on_coarse = VectorField((points_of(coarse) - fine.centre) @ matrix.T, coarse.affine)
    expected = (points_of(fine) - fine.centre) @ matrix.T
    np.testing.assert_allclose(fields.resample_field(on_coarse, fine).array, expected, atol=1e-4)


def test_fields_outside_their_grid_repeat_the_border() -> None:
    grid = Grid((5, 5, 5), np.eye(4))
    field = smooth_field(grid, 2.0, 1.0)
    values = fields.sample_field(field, np.array([[-50.0, 2, 2], [2, 2, 90.0]]))
    np.testing.assert_allclose(values, [field.array[2, 2, 0], field.array[4, 2, 2]], atol=1e-6)


def test_a_volume_has_three_axes_and_a_field_three_components() -> None:
    with pytest.raises(ValueError, match="three axes"):
        Volume(np.zeros((3, 3)), np.eye(4))
    with pytest.raises(ValueError, match="shape"):
        VectorField(np.zeros((3, 3, 3, 2)), np.eye(4))
    with pytest.raises(ValueError, match="4 x 4"):
        Grid((2, 2, 2), np.eye(3))


@pytest.mark.parametrize("dtype", [np.float64, np.int16, np.uint8, ">f4"])
def test_any_dtype_or_memory_order_gives_the_same(dtype: object) -> None:
    grid = Grid((6, 7, 8), oblique_affine(4))
    values = np.random.default_rng(0).integers(0, 200, grid.shape).astype(np.float32)
    sampling = smooth_field(grid, 2.0, 2.0)
    expected = fields.warp(Volume(values, grid.affine), sampling).array
    for other in (values.astype(dtype), np.asfortranarray(values.astype(dtype))):  # type: ignore[call-overload]
        np.testing.assert_array_equal(fields.warp(Volume(other, grid.affine), sampling).array, expected)
    turned = VectorField(np.asfortranarray(sampling.array.astype(np.float64)), grid.affine)
    np.testing.assert_array_equal(fields.warp(Volume(values, grid.affine), turned).array, expected)


def test_inputs_are_left_as_they_were() -> None:
    grid = Grid((8, 8, 8), oblique_affine(5))
    velocity, volume = smooth_field(grid, 3.0, 2.0), random_volume(grid)
    before = velocity.array.copy(), volume.array.copy()
    for array in (velocity.array, volume.array):
        array.setflags(write=False)
    sampling = fields.exponential(velocity, -1.0)
    fields.warp(volume, sampling)
    fields.jacobian(sampling)
    fields.band_limit(velocity, 2.0)
    np.testing.assert_array_equal(velocity.array, before[0])
    np.testing.assert_array_equal(volume.array, before[1])
