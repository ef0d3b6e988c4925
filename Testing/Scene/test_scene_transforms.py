"""Fields in Slicer: the same numbers as our own engine, and arrows that show the motion."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_translation import CENTRE, oblique_grid

from SITTranslateLib import fields
from SITTranslateLib.scene.display import style_glyphs
from SITTranslateLib.scene.headless.application import Application
from SITTranslateLib.scene.transforms import (
    BORDER,
    add_motion_node,
    add_sampling_node,
    field_of_node,
    moved_points,
    thinned,
)
from SITTranslateLib.scene.volumes import add_volume_node, array_to_matrix
from SITTranslateLib.translation import Translation
from SITTranslateLib.volume import Grid, VectorField, Volume


def constant(grid: Grid, vector: tuple[float, float, float]) -> VectorField:
    return VectorField(np.broadcast_to(np.float32(vector), (*grid.shape, 3)).copy(), grid.affine)


def test_slicer_resamples_as_our_engine_does(app: Application, translation: Translation) -> None:
    """Slicer's own reslice through the node against fields.warp, on an oblique anisotropic grid.

    Slicer reads the field between voxels cubically and ours is read at voxels, so that voxels agree to arithmetic.
    """
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    source = translation.source
    node = add_volume_node(app.scene, source, "head")
    sampling = add_sampling_node(app.scene, translation.sampling, "sampling")
    from_world = vtk.vtkGeneralTransform()
    sampling.GetTransformFromWorld(from_world)
    chain = vtk.vtkGeneralTransform()
    chain.PostMultiply()
    chain.Concatenate(array_to_matrix(source.affine))
    chain.Concatenate(from_world)
    chain.Concatenate(array_to_matrix(np.linalg.inv(source.affine)))
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(node.GetImageData())
    reslice.SetResliceTransform(chain)
    reslice.SetInterpolationModeToLinear()
    reslice.SetOutputExtent(node.GetImageData().GetExtent())
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.TransformInputSamplingOff()
    reslice.BorderOn()
    reslice.Update()
    by_slicer = vtk_to_numpy(reslice.GetOutput().GetPointData().GetScalars()).reshape(source.shape)
    ours = fields.warp(source, translation.sampling).array
    inner = (slice(3, -3),) * 3
    assert np.abs(ours - source.array).max() > 50, "nothing moved: the test would prove nothing"
    assert np.abs(by_slicer - ours)[inner].max() < 0.01 * 16 / 100 * ours.std()


def test_points_under_the_sampling_node_move_along_the_motion(app: Application, translation: Translation) -> None:
    grid = translation.source.grid
    rng = np.random.default_rng(0)
    points = grid.to_world(rng.uniform(8, np.array(grid.shape[::-1]) - 9, size=(400, 3)))
    expected = points + fields.sample_field(translation.motion, points)
    node = add_sampling_node(app.scene, translation.sampling, "sampling")
    error = np.linalg.norm(moved_points(node, points) - expected, axis=1)
    assert np.linalg.norm(expected - points, axis=1).max() > 2.0
    assert error.max() < 0.1  # cubic and inverted numerically there, linear between voxels here


@pytest.mark.parametrize("vector", [(5.0, 0.0, 0.0), (0.0, -4.0, 0.0), (1.0, 2.0, 3.0)])
def test_a_known_motion_has_the_known_direction(app: Application, vector: tuple[float, float, float]) -> None:
    """A motion of +5 mm to the right: points go right by 5 mm; the sampling field of it is -5 mm."""
    grid = oblique_grid()
    motion = add_motion_node(app.scene, constant(grid, vector), "motion")
    sampling = add_sampling_node(app.scene, constant(grid, tuple(-v for v in vector)), "sampling")
    for node in (motion, sampling):
        assert moved_points(node, CENTRE[None])[0] - CENTRE == pytest.approx(vector, abs=1e-2)


def test_arrows_draw_the_motion(app: Application) -> None:
    """Slicer's own arrow geometry for a motion of +6 mm to the right points to the right."""
    import slicer
    import vtk
    from vtk.util.numpy_support import vtk_to_numpy

    grid = oblique_grid()
    volume = add_volume_node(app.scene, Volume(np.ones(grid.shape), grid.affine), "region")
    for make, sign in ((add_motion_node, 1.0), (add_sampling_node, -1.0)):
        node = make(app.scene, constant(grid, (6.0 * sign, 0.0, 0.0)), "field")
        display = style_glyphs(node, volume, 6.0, 20.0, [])
        arrows = vtk.vtkPolyData()
        slicer.vtkSlicerTransformLogic.GetVisualization3d(arrows, display, volume)
        points = vtk_to_numpy(arrows.GetPoints().GetData())
        assert len(points) > 100
        # Each arrow starts on its sample point and ends to the right of it: the cloud is shifted to +R only.
        middle = points.mean(axis=0) - CENTRE
        assert middle[0] > 3.0
        assert abs(middle[1]) < 3.0
        assert abs(middle[2]) < 3.0


def test_beyond_the_grid_nothing_moves(app: Application) -> None:
    grid = oblique_grid()
    node = add_sampling_node(app.scene, constant(grid, (-3.0, 0.0, 0.0)), "sampling")
    far = CENTRE + np.array([[400.0, 0.0, 0.0], [0.0, -400.0, 0.0], [0.0, 0.0, 400.0]])
    assert moved_points(node, far) == pytest.approx(far, abs=1e-3)


def test_the_stored_field_is_the_given_one(app: Application, translation: Translation) -> None:
    node = add_sampling_node(app.scene, translation.sampling, "sampling")
    stored = field_of_node(node)
    inner = (slice(BORDER, -BORDER),) * 3
    assert np.array_equal(stored.array[inner], translation.sampling.array)
    assert not stored.array[0].any()
    origin = stored.grid.to_world(np.full(3, float(BORDER)))
    assert origin == pytest.approx(translation.sampling.affine[:3, 3])
    assert node.GetTransformFromParentAs("vtkOrientedGridTransform", False, True) is not None


@pytest.mark.parametrize("finest", [1.0, 4.0, 7.5, 500.0])
def test_thinning_keeps_picked_vectors_and_covers_the_grid(
    app: Application, translation: Translation, finest: float
) -> None:
    thin = thinned(translation.motion, finest)
    picked = translation.motion.grid.to_indices(thin.affine[:3, 3])
    assert picked == pytest.approx(0.0, abs=1e-9)
    assert np.array_equal(thin.array[0, 0, 0], translation.motion.array[0, 0, 0])
    node = add_motion_node(app.scene, thin, "motion")
    grid = translation.motion.grid
    k, j, i = grid.shape
    corners = np.array([[a, b, c] for a in (0, i - 1) for b in (0, j - 1) for c in (0, k - 1)], dtype=np.float64)
    field = field_of_node(node).grid
    indices = field.to_indices(grid.to_world(corners))
    assert np.all(indices >= -1e-3) and np.all(indices <= np.array(field.shape[::-1]) - 1 + 1e-3)


def test_the_motion_node_is_accurate_enough_to_look_at(app: Application, translation: Translation) -> None:
    grid = translation.source.grid
    rng = np.random.default_rng(1)
    points = grid.to_world(rng.uniform(8, np.array(grid.shape[::-1]) - 9, size=(400, 3)))
    node = add_motion_node(app.scene, thinned(translation.motion, 5.0), "motion")
    expected = points + fields.sample_field(translation.motion, points)
    assert np.linalg.norm(moved_points(node, points) - expected, axis=1).max() < 0.1
