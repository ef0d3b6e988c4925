"""Contours of structures before and after, and the steps in which long work is done."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import vtk
from vtk.util.numpy_support import vtk_to_numpy

from SITTranslateLib.scene import contours, display, segmentation, transforms
from SITTranslateLib.scene.contours import ROLES, adding_contours, has_contours, remove_contours
from SITTranslateLib.scene.headless.application import Application
from SITTranslateLib.scene.result import add_translation
from SITTranslateLib.scene.segmentation import add_segmentation_node
from SITTranslateLib.scene.volumes import matrix_to_array
from SITTranslateLib.steps import finish
from SITTranslateLib.translation import Translation
from SITTranslateLib.volume import Grid, Volume

NAMES = {1: "brain", 2: "ventricles", 9: "absent"}


def places_of(mask: Any, grid: Grid) -> Any:
    """RAS mm of the voxels of a mask, in order."""
    return grid.to_world(np.argwhere(mask)[:, ::-1].astype(np.float64))


def test_each_segment_is_its_label_where_it_lies(app: Application, labels: Volume) -> None:
    found = add_segmentation_node(app.scene, labels, NAMES, "Segments").GetSegmentation()
    assert [found.GetNthSegment(n).GetName() for n in range(found.GetNumberOfSegments())] == ["brain", "ventricles"]
    for index, label in enumerate((1, 2)):
        image, matrix = found.GetNthSegment(index).GetRepresentation("Binary labelmap"), vtk.vtkMatrix4x4()
        image.GetImageToWorldMatrix(matrix)
        mask = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])
        places = places_of(mask, Grid(mask.shape, matrix_to_array(matrix)))
        np.testing.assert_allclose(places, places_of(labels.array == label, labels.grid), atol=1e-3)


@pytest.mark.parametrize("step_voxels", [1, 5_000, 10**9])
def test_masks_do_not_depend_on_the_size_of_a_step(
    step_voxels: int, labels: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmentation, "STEP_VOXELS", step_voxels)
    masks = finish(segmentation.cropping(labels, NAMES))
    assert sorted(masks) == [1, 2]
    for label, (mask, grid) in masks.items():
        np.testing.assert_allclose(places_of(mask, grid), places_of(labels.array == label, labels.grid), atol=1e-6)


def test_contours_stand_before_and_after_and_a_large_structure_is_drawn_by_voxels(
    app: Application, translation: Translation, labels: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = add_translation(translation)
    ventricles = finish(segmentation.cropping(labels, [2]))[2][0]
    faces = sum(int(np.abs(np.diff(ventricles.astype(int), axis=axis)).sum()) for axis in range(3))
    monkeypatch.setattr(contours, "MOST_FACES", faces)
    nodes = finish(adding_contours(app.scene, result, [(labels, NAMES)], [1, 2]))
    assert [node.GetAttribute("SITTranslate.Role") for node in nodes] == [*ROLES, *ROLES]
    small, small_after, large, large_after = (node.GetSegmentation() for node in nodes)
    assert [s.GetNthSegment(0).GetName() for s in (small, small_after, large)] == ["ventricles", "ventricles", "brain"]
    assert small.ContainsRepresentation("Closed surface") and not large.ContainsRepresentation("Closed surface")
    surfaces = [s.GetNthSegment(0).GetRepresentation("Closed surface") for s in (small, small_after)]
    assert surfaces[0].GetNumberOfPoints() == surfaces[1].GetNumberOfPoints() > 100
    assert [node.GetParentTransformNode() for node in nodes] == [None, result.motion] * 2
    assert small.GetNthSegment(0).GetColor() != small_after.GetNthSegment(0).GetColor()
    assert large_after.GetNumberOfSegments() == 1 and has_contours(result)
    remove_contours(app.scene, result)
    assert not has_contours(result) and app.scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


@pytest.mark.parametrize("step_voxels", [1, 3_000, 10**9])
def test_the_hull_lies_between_head_voxels_along_every_axis(step_voxels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(display, "STEP_VOXELS", step_voxels)
    head = np.zeros((9, 11, 13), np.float32)
    head[2:7, 3:8, 4:10] = 100.0
    head[3:6, 4:7, 5:9] = 0.0
    head[4, 5, 0] = 100.0
    expected = np.zeros(head.shape, bool)
    # The hole is filled; what stands alone is itself, for nothing lies beside it along two axes.
    expected[2:7, 3:8, 4:10] = True
    expected[4, 5, 0] = True
    np.testing.assert_array_equal(display.head_hull(head), expected)


@pytest.mark.parametrize("step_bytes", [1, 10**9])
def test_picked_vectors_do_not_depend_on_the_size_of_a_step(
    step_bytes: int, translation: Translation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transforms, "STEP_BYTES", step_bytes)
    motion = translation.motion
    assert motion is not None
    thin = transforms.thinned(motion, 6.0)
    k, j, i = (np.unique([*range(0, n, s), n - 1]) for n, s in zip(motion.grid.shape, (2, 2, 2), strict=True))
    np.testing.assert_array_equal(thin.array, motion.array[np.ix_(k, j, i)])
