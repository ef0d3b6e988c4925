"""What a model says besides the translation: maps and labels in the run's folder, with it, and gone with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic_translation import in_steps
from vtk.util.numpy_support import vtk_to_numpy

from SITTranslateLib.scene import extras, hierarchy, sequences, volumes
from SITTranslateLib.scene.headless.application import Application
from SITTranslateLib.scene.headless.bundle import compress
from SITTranslateLib.scene.restoring import gathering_result
from SITTranslateLib.scene.result import SceneResult, add_translation
from SITTranslateLib.scene.volumes import volume_from_node
from SITTranslateLib.steps import finish
from SITTranslateLib.translation import Translation

#: Of the translated scan, step by step.
SHARES = (0.5, 0.8, 1.0)


@pytest.fixture
def said_more(translation: Translation) -> Translation:
    """With an attention map, a signed map and a segmentation."""
    source = translation.source
    smooth = (source.array / source.array.max()).astype(np.float32)
    labels = np.rint(2.0 * smooth).astype(np.float32)
    maps = {"attention 1": smooth, "for or against": smooth - 0.5, "segmentation": labels}
    return replace(translation, extras={name: source.with_array(array, name) for name, array in maps.items()})


def test_each_is_a_node_of_the_run(app: Application, said_more: Translation) -> None:
    made = add_translation(said_more)
    assert set(made.extras) == set(said_more.extras)
    inside = hierarchy.nodes_in(app.scene, made.folder)
    for name, node in made.extras.items():
        assert node in inside and node in made.nodes and name in node.GetName()
        assert node.GetAttribute("SITTranslate.Extra") == name and node.GetAttribute("SITTranslate.Synthetic") == "1"
    assert made.extras["segmentation"].IsA("vtkMRMLLabelMapVolumeNode")
    shown = made.extras["attention 1"].GetDisplayNode()
    assert shown.GetWindowLevelMin() == 0.0 and shown.GetWindowLevelMax() == pytest.approx(0.64)
    both = made.extras["for or against"].GetDisplayNode()
    assert both.GetWindowLevelMin() == pytest.approx(-both.GetWindowLevelMax())


def test_values_are_those_of_the_model_inside_the_head(app: Application, said_more: Translation) -> None:
    made = add_translation(said_more)
    head = said_more.source.array > 0
    found = volume_from_node(made.extras["attention 1"]).array
    np.testing.assert_array_equal(found[head], said_more.extras["attention 1"].array[head])


def test_labels_are_few_whole_numbers() -> None:
    assert extras.is_labels(np.array([0.0, 1.0, 5.0]))
    assert not extras.is_labels(np.array([0.0, 0.5])) and not extras.is_labels(np.array([-1.0, 1.0]))
    assert not extras.is_labels(np.arange(100.0)) and not extras.is_labels(np.array([0.0, 1000.0]))


def test_label_colours_show_the_anatomy_at_0_and_differ(app: Application, said_more: Translation) -> None:
    table = add_translation(said_more).extras["segmentation"].GetDisplayNode().GetColorNode()
    colours = []
    for number in range(7):
        colour = [0.0] * 4
        table.GetColor(number, colour)
        colours.append(np.array(colour))
    assert colours[0][3] == 0.0 and all(colour[3] == 1.0 for colour in colours[1:])
    apart = [np.abs(a - b).max() for i, a in enumerate(colours[1:]) for b in colours[2 + i :]]
    assert min(apart) > 0.15


def saved_and_read(app: Application, made: SceneResult, folder: Path) -> dict[str, Any]:
    """The result's nodes by role, from the file that the scene was saved in."""
    names = {role: getattr(made, role).GetName() for role in ("source", "translated", "sampling", "motion", "change")}
    compress(made.nodes)
    assert app.scene.WriteToMRB(str(folder / "scene.mrb"))
    app.clear()
    assert app.scene.ReadFromMRB(str(folder / "scene.mrb"), True)
    return {role: app.scene.GetFirstNodeByName(name) for role, name in names.items()}


def test_they_come_back_with_a_saved_scene(app: Application, said_more: Translation, tmp_path: Path) -> None:
    made = add_translation(said_more)
    back = saved_and_read(app, made, tmp_path)
    again = finish(gathering_result(app.scene, back, said_more))
    assert set(again.extras) == set(said_more.extras)
    assert again.extras["segmentation"].IsA("vtkMRMLLabelMapVolumeNode")


@pytest.fixture
def with_steps(translation: Translation) -> Translation:
    return in_steps(translation, SHARES)


def shares_of(node: object, translation: Translation) -> float:
    """How much of the translated scan a node shows."""
    shown, whole = values_of(node), translation.translated.array
    share = float(shown.sum() / whole.sum())
    np.testing.assert_allclose(shown, np.float32(share) * whole, rtol=1e-3, atol=1e-2)
    return share


def values_of(node: Any) -> np.ndarray:
    image = node.GetImageData()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(image.GetDimensions()[::-1])


def of_sequences(scene: Any) -> dict[str, list[Any]]:
    classes = ("vtkMRMLSequenceNode", "vtkMRMLSequenceBrowserNode")
    return {
        cls: [scene.GetNthNodeByClass(index, cls) for index in range(scene.GetNumberOfNodesByClass(cls))]
        for cls in classes
    }


def names_in(scene: Any) -> list[str]:
    return sorted(scene.GetNthNode(index).GetName() or "" for index in range(scene.GetNumberOfNodes()))


def test_steps_are_one_sequence_played_in_one_volume(app: Application, with_steps: Translation) -> None:
    scans = app.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    plain = add_translation(replace(with_steps, extras={"attention 1": with_steps.extras["attention 1"]}, steps=()))
    scans = app.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") - scans
    app.clear()
    made = add_translation(with_steps)
    assert list(plain.extras) == ["attention 1"] and list(made.extras) == ["attention 1", extras.STEPS]
    assert app.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == scans + 1, "no volume that nobody asked for"
    ((sequence,), (browser,)) = of_sequences(app.scene).values()
    node = made.extras[extras.STEPS]
    assert (sequence.GetIndexName(), sequence.GetIndexUnit(), sequence.GetIndexTypeAsString()) == (
        "step",
        "",
        "numeric",
    )
    assert [sequence.GetNthIndexValue(n) for n in range(sequence.GetNumberOfDataNodes())] == ["1", "2", "3"]
    assert sequence.GetNthDataNode(1).GetName() == "after step 2 of 3"
    assert sequence.GetName() == "Head brain-ageing-t1w steps" and "synthetic" in node.GetName()
    assert browser.GetProxyNode(sequence) is node and sequences.browser_of(node) is browser
    inside = hierarchy.nodes_in(app.scene, made.folder)
    assert all(each in inside and each in made.nodes for each in (sequence, browser, node))
    name = node.GetName()
    for number in (1, 2, 0):
        browser.SetSelectedItemNumber(number)
        assert shares_of(node, with_steps) == pytest.approx(SHARES[number], abs=1e-3)
        assert node.GetName() == name and node.GetAttribute("SITTranslate.Synthetic") == "1"
        assert node.GetAttribute("SITTranslate.Provenance") and "research" in node.GetDescription()
    grids = [volumes.grid_of_node(each) for each in (node, made.translated)]
    assert grids[0].matches(grids[1])
    shown, wanted = node.GetDisplayNode(), made.translated.GetDisplayNode()
    for one in (shown, wanted):
        assert not one.GetAutoWindowLevel()
    assert shown.GetWindowLevelMin() == wanted.GetWindowLevelMin()
    assert shown.GetWindowLevelMax() == wanted.GetWindowLevelMax()
    assert shown.GetColorNodeID() == wanted.GetColorNodeID()


def test_steps_go_with_their_result(app: Application, with_steps: Translation) -> None:
    kept = add_translation(with_steps)
    before = names_in(app.scene)
    gone = add_translation(with_steps)
    assert len(of_sequences(app.scene)["vtkMRMLSequenceNode"]) == 2
    hierarchy.remove_folder(app.scene, gone.folder)
    assert names_in(app.scene) == before
    browser = sequences.browser_of(kept.extras[extras.STEPS])
    browser.SetSelectedItemNumber(2)
    assert shares_of(kept.extras[extras.STEPS], with_steps) == pytest.approx(SHARES[2], abs=1e-3)


def test_steps_come_back_with_a_saved_scene(app: Application, with_steps: Translation, tmp_path: Path) -> None:
    made = add_translation(with_steps)
    sequences.browser_of(made.extras[extras.STEPS]).SetSelectedItemNumber(1)
    back = saved_and_read(app, made, tmp_path)
    again = finish(gathering_result(app.scene, back, replace(with_steps, extras={}, steps=())))
    node = again.extras[extras.STEPS]
    assert shares_of(node, with_steps) == pytest.approx(SHARES[1], abs=1e-3)
    browser = sequences.browser_of(node)
    assert browser.GetMasterSequenceNode().GetIndexName() == "step"
    browser.SetSelectedItemNumber(2)
    assert shares_of(node, with_steps) == pytest.approx(SHARES[2], abs=1e-3)
    assert "synthetic" in node.GetName() and browser.GetAttribute("SITTranslate.Provenance")
    before = len(names_in(app.scene))
    hierarchy.remove_folder(app.scene, again.folder)
    assert not any(of_sequences(app.scene).values()) and len(names_in(app.scene)) < before


def test_without_sequences_each_step_is_a_volume(
    app: Application, with_steps: Translation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequences, "available", lambda: False)
    made = add_translation(with_steps)
    assert list(made.extras) == ["attention 1", *with_steps.steps] and not any(of_sequences(app.scene).values())
    assert shares_of(made.extras["after step 2 of 3"], with_steps) == pytest.approx(SHARES[1], abs=1e-3)
