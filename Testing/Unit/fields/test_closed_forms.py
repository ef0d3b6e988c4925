"""The field engine against flows whose exponential, inverse and Jacobian are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from fields_for_tests import inside, oblique_affine, points_of, random_volume, smooth_field
from numpy.typing import NDArray
from scipy.linalg import expm, logm
from scipy.ndimage import gaussian_filter

from SITTranslateLib import fields
from SITTranslateLib.fields.engine import engine_used
from SITTranslateLib.volume import Grid, VectorField, Volume

SEEDS = (0, 1, 2)


def linear_velocity(grid: Grid, generator: NDArray[np.float64]) -> VectorField:
    """``v(x) = G (x - c)`` around the middle of the grid; its flow is ``c + exp(tG)(x - c)``."""
    return VectorField((points_of(grid) - grid.centre) @ generator.T, grid.affine)


def rotation_about(axis: NDArray[np.float64], degrees: float) -> NDArray[np.float64]:
    x, y, z = axis / np.linalg.norm(axis) * np.deg2rad(degrees)
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])


@pytest.mark.parametrize("seed", SEEDS)
def test_constant_velocity_translates_every_voxel_also_at_the_border(seed: int) -> None:
    grid = Grid((9, 12, 11), oblique_affine(seed))
    vector = np.array([3.0, -2.0, 5.5])
    velocity = VectorField(np.broadcast_to(vector, (*grid.shape, 3)), grid.affine)
    np.testing.assert_allclose(fields.exponential(velocity).array, velocity.array, atol=2e-5)
    np.testing.assert_allclose(fields.exponential(velocity, -0.5).array, -0.5 * velocity.array, atol=2e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_linear_velocity_rotates(seed: int) -> None:
    grid = Grid((25, 24, 27), oblique_affine(seed))
    generator = rotation_about(np.array([1.0, 2.0, -0.5]), 8.0)
    motion = fields.exponential(linear_velocity(grid, generator), steps=9)
    expected = (points_of(grid) - grid.centre) @ (expm(generator) - np.eye(3)).T
    # Points near the border leave the grid on their way; the repeated border is not linear there.
    np.testing.assert_allclose(inside(motion.array, 5), inside(expected, 5), atol=0.01)
    np.testing.assert_allclose(inside(fields.jacobian(motion).array, 6), 1.0, atol=2e-3)


@pytest.mark.parametrize("factor", [0.8, 1.25])
def test_linear_velocity_scales_and_the_jacobian_is_the_cube(factor: float) -> None:
    grid = Grid((24, 25, 23), oblique_affine(5, (1.0, 1.5, 2.0)))
    motion = fields.exponential(linear_velocity(grid, np.eye(3) * np.log(factor)), steps=10)
    expected = (points_of(grid) - grid.centre) * (factor - 1)
    margin = 5
    np.testing.assert_allclose(inside(motion.array, margin), inside(expected, margin), atol=0.01)
    jacobian = inside(fields.jacobian(motion).array, margin + 1)
    assert (jacobian > 1).all() == (factor > 1), "above 1 the anatomy expands: the Jacobian is the motion's"
    np.testing.assert_allclose(jacobian, factor**3, rtol=5e-3)


@pytest.mark.parametrize("time", [1.0, -1.0, 0.4])
def test_nonlinear_flow_with_a_known_solution(time: float) -> None:
    # dx/dt = a sin(x / l) has the flow tan(x(t) / 2l) = tan(x(0) / 2l) exp(a t / l).
    amplitude, length = 4.0, 15.0
    affine = np.diag([0.5, 1.0, 1.0, 1.0])
    affine[:3, 3] = (-20.0, -3.0, -3.0)
    grid = Grid((7, 7, 81), affine)
    x = points_of(grid)[..., 0]
    array = np.zeros((*grid.shape, 3))
    array[..., 0] = amplitude * np.sin(x / length)
    motion = fields.exponential(VectorField(array, affine), time, steps=10).array
    expected = 2 * length * np.arctan(np.tan(x / (2 * length)) * np.exp(amplitude * time / length)) - x
    np.testing.assert_allclose(motion[..., 12:-12, 0], expected[..., 12:-12], atol=5e-3)
    np.testing.assert_allclose(motion[..., 1:], 0.0, atol=1e-6)


def test_squarings_chosen_by_the_speed_agree_with_many_squarings() -> None:
    grid = Grid((32, 30, 34), oblique_affine(1, (1.0, 1.0, 1.2)))
    velocity = smooth_field(grid, 8.0, 4.0)
    chosen, many = fields.exponential(velocity).array, fields.exponential(velocity, steps=12).array
    assert np.abs(chosen - many).max() < 0.08
    assert np.abs(chosen - many).mean() < 0.008
    np.testing.assert_array_equal(fields.exponential(VectorField(0 * velocity.array, grid.affine)).array, 0.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_negative_time_is_the_inverse(seed: int) -> None:
    grid = Grid((36, 34, 38), oblique_affine(seed, (1.0, 1.1, 1.3)))
    velocity = smooth_field(grid, 5.0, 4.0, seed)
    motion, sampling = fields.exponential(velocity), fields.exponential(velocity, -1.0)
    residual = inside(fields.compose(motion, sampling).magnitude(), 6)
    assert np.percentile(residual, 99) < 0.1
    assert residual.mean() < 0.02
    iterated = inside(fields.invert(motion).array - sampling.array, 6)
    assert np.abs(iterated).mean() < 0.02


@pytest.mark.parametrize("engine", ["compiled", "torch"])
def test_an_inverse_is_one_up_to_the_border_and_leaves_its_start_alone(engine: str) -> None:
    grid = Grid((52, 50, 48), oblique_affine(2, (1.0, 1.2, 1.1)))
    motion = fields.exponential(smooth_field(grid, 5.0, 8.0, 3))
    with engine_used(engine):
        inverse = fields.invert(motion)
        residual = fields.compose(motion, inverse).magnitude()
        assert residual.max() < 5e-4, "also where the motion comes from beyond the grid"
        start = VectorField(0.9 * inverse.array, grid.affine)
        before = start.array.copy()
        again = fields.invert(motion, start=start)
    np.testing.assert_array_equal(start.array, before)
    np.testing.assert_allclose(again.array, inverse.array, atol=1e-3)


def test_vectors_at_points_come_with_their_derivative() -> None:
    grid = Grid((14, 12, 16), oblique_affine(5))
    field = smooth_field(grid, 3.0, 3.0, 2)
    # In the middle of cells, so that the differences stay within them.
    indices = np.random.default_rng(0).integers(1, 10, (40, 3)) + 0.5
    points = grid.to_world(indices)
    vectors, derivative = fields.sample_field_with_derivative(field, points)
    np.testing.assert_allclose(vectors, fields.sample_field(field, points), atol=1e-6)
    for axis in range(3):
        shift = 0.05 * np.eye(3)[axis]
        ahead, behind = fields.sample_field(field, points + shift), fields.sample_field(field, points - shift)
        np.testing.assert_allclose(derivative[:, :, axis], (ahead - behind) / 0.1, atol=1e-5)
    _, beyond = fields.sample_field_with_derivative(field, grid.to_world(np.full((1, 3), -3.0)))
    np.testing.assert_array_equal(beyond, 0.0)


def test_composition_of_affine_maps_is_their_product() -> None:
    grid = Grid((20, 22, 21), oblique_affine(3))
    centred = points_of(grid) - grid.centre
    first, second = expm(rotation_about(np.array([1.0, 1.0, 0.0]), 5.0)), np.diag([1.05, 0.96, 1.02])
    inner = VectorField(centred @ (first - np.eye(3)).T, grid.affine)
    outer = VectorField(centred @ (second - np.eye(3)).T, grid.affine)
    expected = centred @ (second @ first - np.eye(3)).T
    np.testing.assert_allclose(inside(fields.compose(outer, inner).array, 4), inside(expected, 4), atol=1e-4)


def test_one_parameter_group() -> None:
    grid = Grid((30, 30, 30), oblique_affine(4, (1.0, 1.0, 1.0)))
    velocity = smooth_field(grid, 4.0, 4.0, 8)
    halves = fields.compose(fields.exponential(velocity, 0.5), fields.exponential(velocity, 0.5))
    whole = fields.exponential(velocity)
    assert np.abs(halves.array - whole.array).max() < 0.08


@pytest.mark.parametrize("seed", SEEDS)
def test_jacobian_of_an_affine_motion_is_its_determinant_at_every_voxel(seed: int) -> None:
    grid = Grid((5, 8, 7), oblique_affine(seed))
    matrix = np.eye(3) + np.random.default_rng(seed).normal(size=(3, 3)) * 0.2
    motion = VectorField((points_of(grid) - grid.centre) @ (matrix - np.eye(3)).T, grid.affine)
    np.testing.assert_allclose(fields.jacobian(motion).array, np.linalg.det(matrix), atol=1e-3)


def test_folding_shows_as_a_jacobian_of_zero_or_less() -> None:
    grid = Grid((6, 6, 6), np.eye(4))
    mirrored = points_of(grid) - grid.centre
    motion = VectorField(mirrored * np.array([-2.0, 0, 0]), grid.affine)
    np.testing.assert_allclose(fields.jacobian(motion).array, -1.0, atol=1e-5)


def test_warp_reads_a_linear_image_exactly_and_from_another_grid() -> None:
    source_grid = Grid((30, 30, 30), oblique_affine(6, (2.0, 2.0, 2.0)))
    weights = np.array([1.5, -0.7, 0.3])
    source = Volume(points_of(source_grid) @ weights, source_grid.affine)
    target = Grid((6, 5, 7), oblique_affine(9, (1.3, 0.8, 1.1)))
    target.affine[:3, 3] += source_grid.centre - target.centre
    sampling = smooth_field(target, 3.0, 2.0)
    warped = fields.warp(source, sampling)
    expected = (points_of(target) + sampling.array) @ weights
    np.testing.assert_allclose(warped.array, expected, atol=2e-3)
    np.testing.assert_allclose(warped.affine, target.affine)


def test_warp_repeats_the_border_outside() -> None:
    grid = Grid((4, 5, 6), np.eye(4))
    volume = random_volume(grid)
    far = VectorField(np.broadcast_to(np.array([100.0, 0, 0]), (*grid.shape, 3)), grid.affine)
    np.testing.assert_allclose(fields.warp(volume, far).array, np.repeat(volume.array[:, :, -1:], 6, axis=2), rtol=1e-5)


def test_warp_nearest_keeps_labels() -> None:
    grid = Grid((9, 9, 9), oblique_affine(2))
    labels = Volume(np.random.default_rng(0).integers(0, 40, grid.shape), grid.affine)
    warped = fields.warp(labels, smooth_field(grid, 3.0, 2.0), mode="nearest").array
    assert set(np.unique(warped)) <= set(np.unique(labels.array))


def test_band_limit_is_a_gaussian_in_millimetres() -> None:
    grid = Grid((20, 24, 22), oblique_affine(0, (1.0, 1.5, 2.0)))
    field = smooth_field(grid, 3.0, 1.0)
    smoothed = fields.band_limit(field, 3.0).array
    sigma = [3.0 / s for s in reversed(grid.spacing)]
    expected = np.stack(
        [gaussian_filter(field.array[..., c], sigma, mode="nearest", truncate=3.0) for c in range(3)], -1
    )
    np.testing.assert_allclose(smoothed, expected, atol=2e-3)
    constant = VectorField(np.full((*grid.shape, 3), 2.0), grid.affine)
    np.testing.assert_allclose(fields.band_limit(constant, 3.0).array, 2.0, atol=1e-5)


def test_soft_bound_holds_length_direction_and_small_vectors() -> None:
    grid = Grid((4, 4, 4), np.eye(4))
    directions = np.random.default_rng(1).normal(size=(*grid.shape, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    for length in (1e-3, 0.5, 12.0, 500.0):
        bounded = fields.soft_bound(VectorField(directions * length, grid.affine), 12.0)
        np.testing.assert_allclose(bounded.magnitude(), 12.0 * np.tanh(length / 12.0), rtol=1e-4)
        np.testing.assert_allclose(bounded.array / bounded.magnitude()[..., None], directions, atol=1e-4)
    still = VectorField(np.zeros((*grid.shape, 3)), grid.affine)
    np.testing.assert_array_equal(fields.soft_bound(still, 12.0).array, 0.0)


def test_a_rigid_motion_has_the_logarithm_as_velocity_on_any_grid() -> None:
    # The same physical velocity on two different grids moves the same points the same way.
    generator = np.real(logm(expm(rotation_about(np.array([0.2, 1.0, 0.4]), 6.0))))
    fine = Grid((40, 40, 40), oblique_affine(1, (1.0, 1.0, 1.0)))
    coarse = fine.coarsened(2)
    on_fine, on_coarse = (
        fields.exponential(VectorField((points_of(g) - fine.centre) @ generator.T, g.affine)) for g in (fine, coarse)
    )
    points = fine.centre + np.random.default_rng(0).uniform(-9, 9, (50, 3))
    expected = (points - fine.centre) @ (expm(generator) - np.eye(3)).T
    np.testing.assert_allclose(fields.sample_field(on_fine, points), expected, atol=0.01)
    np.testing.assert_allclose(fields.sample_field(on_coarse, points), expected, atol=0.01)
