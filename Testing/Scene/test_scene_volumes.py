"""Volumes in and out of the scene: geometry is never lost, and what is no scan is refused in one sentence."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic_translation import oblique_grid

from SITTranslateLib.errors import InputError
from SITTranslateLib.scene.headless.application import Application
from SITTranslateLib.scene.transforms import add_motion_node
from SITTranslateLib.scene.volumes import (
    add_volume_node,
    array_to_matrix,
    grid_of_node,
    volume_from_node,
    writing_voxels,
)
from SITTranslateLib.translation import Translation
from SITTranslateLib.volume import Volume


def test_a_volume_comes_back_as_it_went(app: Application, translation: Translation) -> None:
    node = add_volume_node(app.scene, translation.source, "head")
    back = volume_from_node(node)
    assert np.array_equal(back.array, translation.source.array)
    assert np.allclose(back.affine, translation.source.affine, atol=1e-12)
    assert back.name == "head"
    assert grid_of_node(node).matches(translation.source.grid)


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.uint16, np.int32, np.float64])
def test_every_scalar_type_is_read(app: Application, dtype: type) -> None:
    from SITTranslateLib.scene.volumes import image_from_array

    node = add_volume_node(app.scene, Volume(np.zeros((3, 4, 5)), np.eye(4)), "v")
    values = np.arange(60).reshape(3, 4, 5).astype(dtype)
    node.SetAndObserveImageData(image_from_array(values))
    assert np.array_equal(volume_from_node(node).array, values.astype(np.float32))


def test_a_linear_parent_is_folded_in(app: Application, translation: Translation) -> None:
    node = add_volume_node(app.scene, translation.source, "head")
    parent = app.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = np.eye(4)
    matrix[:3, 3] = [10.0, -20.0, 5.0]
    matrix[:2, :2] = [[0.0, -1.0], [1.0, 0.0]]
    parent.SetMatrixTransformToParent(array_to_matrix(matrix))
    node.SetAndObserveTransformNodeID(parent.GetID())
    assert np.allclose(volume_from_node(node).affine, matrix @ translation.source.affine)


def test_a_bending_parent_is_refused(app: Application, translation: Translation) -> None:
    node = add_volume_node(app.scene, translation.source, "head")
    node.SetAndObserveTransformNodeID(add_motion_node(app.scene, translation.motion, "bends").GetID())
    with pytest.raises(InputError, match="harden it"):
        volume_from_node(node)


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        ("vtkMRMLLabelMapVolumeNode", "a label map"),
        ("vtkMRMLVectorVolumeNode", "a vector volume"),
        ("vtkMRMLModelNode", "not a volume"),
        ("vtkMRMLScalarVolumeNode", "no voxels"),
    ],
)
def test_what_is_no_scan_is_refused(app: Application, cls: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        volume_from_node(app.scene.AddNewNodeByClass(cls, "x"))


def test_other_voxels_are_written_in_place_in_steps_and_told_once(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    from SITTranslateLib.scene import volumes

    monkeypatch.setattr(volumes, "STEP_BYTES", 2 * 4 * 5 * 4)
    node = add_volume_node(app.scene, Volume(np.zeros((5, 4, 5)), np.eye(4)), "v")
    image, told = node.GetImageData(), []
    node.AddObserver(node.ImageDataModifiedEvent, lambda *_: told.append(1))
    wanted = np.arange(100, dtype=np.float32).reshape(5, 4, 5)
    assert len(list(volumes.writing_voxels(node, wanted.shape, lambda part: wanted[part]))) == 3
    assert node.GetImageData() is image and len(told) == 1
    np.testing.assert_array_equal(volume_from_node(node).array, wanted)
    other = wanted[:2, :3]
    list(volumes.writing_voxels(node, other.shape, lambda part: other[part]))
    np.testing.assert_array_equal(volume_from_node(node).array, other)


def test_nothing_chosen_and_colour_images_are_refused(app: Application) -> None:
    import vtk

    with pytest.raises(InputError, match="No scan is chosen"):
        volume_from_node(None)
    node = app.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "rgb")
    image = vtk.vtkImageData()
    image.SetDimensions(4, 4, 4)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    node.SetAndObserveImageData(image)
    with pytest.raises(InputError, match="colour image"):
        volume_from_node(node)


def test_a_frame_of_a_sequence_is_refused(app: Application) -> None:
    sequence = app.scene.AddNewNodeByClass("vtkMRMLSequenceNode", "sequence")
    browser = app.scene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    volume = add_volume_node(app.scene, Volume(np.ones((4, 4, 4)), oblique_grid().affine), "frame")
    sequence.SetDataNodeAtValue(volume, "0")
    browser.AddSynchronizedSequenceNode(sequence)
    proxy = browser.GetProxyNode(sequence) or browser.AddProxyNode(volume, sequence, False)
    played = sequence.GetNthDataNode(0)
    proxy.SetAndObserveImageData(played.GetImageData())
    other = np.full((4, 4, 4), 7.0, np.float32)
    list(writing_voxels(proxy, other.shape, lambda part: other[part]))
    assert proxy.GetImageData().GetScalarRange() == (7.0, 7.0)
    assert played.GetImageData().GetScalarRange() == (1.0, 1.0), "the frame is not written over"
    with pytest.raises(InputError, match="frame of a sequence"):
        volume_from_node(proxy)
