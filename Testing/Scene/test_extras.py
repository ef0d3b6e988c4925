"""What a model says besides the translation: maps and labels in the run's folder, with it, and gone with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from SITTranslateLib.scene import extras, hierarchy
from SITTranslateLib.scene.headless.application import Application
from SITTranslateLib.scene.headless.pictures import compress
from SITTranslateLib.scene.restoring import result_of_nodes
from SITTranslateLib.scene.result import add_translation
from SITTranslateLib.scene.volumes import volume_from_node
from SITTranslateLib.translate.translation import Translation


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


def test_they_come_back_with_a_saved_scene(app: Application, said_more: Translation, tmp_path: Path) -> None:
    made = add_translation(said_more)
    names = {role: getattr(made, role).GetName() for role in ("source", "translated", "sampling", "motion", "change")}
    compress(made.nodes)
    assert app.scene.WriteToMRB(str(tmp_path / "scene.mrb"))
    app.clear()
    assert app.scene.ReadFromMRB(str(tmp_path / "scene.mrb"), True)
    back = {role: app.scene.GetFirstNodeByName(name) for role, name in names.items()}
    again = result_of_nodes(app.scene, back, said_more)
    assert set(again.extras) == set(said_more.extras)
    assert again.extras["segmentation"].IsA("vtkMRMLLabelMapVolumeNode")
