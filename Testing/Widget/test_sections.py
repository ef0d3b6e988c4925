"""Each section of the panel by itself."""

from __future__ import annotations

import contextlib
import csv
import gc
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import slicer
from harness import Harness
from walking import translate

from SITTranslateLib.host.requests import ExamineRequest
from SITTranslateLib.packages import Attribute
from SITTranslateLib.scene import layout
from SITTranslateLib.scene.segmentation import add_segmentation_node
from SITTranslateLib.scene.volumes import add_volume_node, volume_from_node


@pytest.fixture
def shown(slicer_harness: Harness, panel: Any, head_node: Any) -> Any:
    return translate(slicer_harness, panel, head_node)


def test_the_scan_is_described_with_its_obliqueness(panel: Any, head_node: Any) -> None:
    panel.input.set_node(head_node)
    assert "36 x 36 x 36 voxels of 5 x 5 x 5 mm, turned by 8 degrees" in panel.input.ui.factsLabel.text


def test_a_scan_under_a_bending_transform_is_refused_with_what_to_do(panel: Any, head_node: Any, scene: Any) -> None:
    from SITTranslateLib.scene.transforms import add_sampling_node
    from SITTranslateLib.volume import VectorField

    affine = np.diag([20.0, 20.0, 20.0, 1.0])
    field = VectorField(np.random.default_rng(0).normal(size=(6, 6, 6, 3)).astype(np.float32), affine)
    head_node.SetAndObserveTransformNodeID(add_sampling_node(scene, field, "bend").GetID())
    panel.input.set_node(head_node)
    panel.model.select("tiny-ageing")
    assert not panel.apply.ui.applyButton.enabled
    assert "harden" in panel.apply.ui.stageLabel.text


def test_a_scan_that_does_not_suit_the_model_needs_an_override(
    panel: Any, slicer_harness: Harness, scene: Any, head_node: Any
) -> None:
    head = volume_from_node(head_node)
    # Too coarse to see anything in: the gate refuses it whatever it shows.
    node = add_volume_node(
        scene, type(head)(head.array[::3, ::3, ::3], head.affine @ np.diag([3, 3, 3, 1.0]), "x"), "x"
    )
    panel.model.select("tiny-ageing")
    panel.input.set_node(node)
    slicer_harness.wait(lambda: "not suit" in panel.input.ui.fitLabel.text, what="the refusal")
    assert not panel.apply.ui.applyButton.enabled
    panel.input.ui.forceCheckBox.setChecked(True)
    assert panel.apply.ui.applyButton.enabled


def test_naming_the_contrast_of_the_scan_has_it_looked_at_again(
    panel: Any, head_node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    panel.model.select("tiny-ageing")
    panel.input.set_node(head_node)
    source = Attribute("source", "The scan is", "", 0, 1, 0, "-", ("as it looks", "FLAIR"))
    card = replace(panel.model.package.card, attributes=(source, panel.attributes._attributes[0]))
    panel.attributes.set_card(card, {})
    panel.input.set_model(card, str(panel.model.package.folder), panel.attributes.values())
    asked: list[Any] = []
    monkeypatch.setattr(panel.session, "ask", lambda request, *_answers: asked.append(request))
    panel.attributes.set_values({"age": 5.0})
    assert asked == []
    panel.attributes.set_values({"source": 1.0})
    assert [type(request) for request in asked] == [ExamineRequest]
    assert asked[0].attributes == {"source": 1.0, "age": 5.0}


def test_search_narrows_the_list_of_models(panel: Any) -> None:
    everything = panel.model.ui.modelList.count
    panel.model.ui.searchEdit.setText("tiny")
    assert panel.model.ui.modelList.count == 1
    assert panel.model.package.name == "tiny-ageing"
    panel.model.ui.searchEdit.setText("no such thing")
    assert panel.model.package is None
    assert not panel.apply.ui.applyButton.enabled
    panel.model.ui.searchEdit.setText("")
    assert panel.model.ui.modelList.count == everything


def test_devices_are_listed_with_their_free_memory_and_the_choice_is_kept(panel: Any, slicer_harness: Harness) -> None:
    selector = panel.model.ui.deviceSelector
    slicer_harness.wait(lambda: selector.count > 1 and "free" in selector.itemText(1), what="the devices")
    panel.model.set_device("cpu")
    assert panel.model.device == "cpu"
    assert re.search(r"\(\d+(\.\d)? [MG]B free\)", selector.currentText)
    panel.model.ask_devices()
    slicer_harness.wait(lambda: panel.session.host.busy is False, what="the answer")
    assert panel.model.device == "cpu"


def test_every_fact_of_the_card_is_shown(panel: Any) -> None:
    panel.model.select("tiny-ageing")
    details = panel.model.ui.detailsLabel.text
    for words in ("Random weights.", "recomposition error", "Apache-2.0", "Citation", "sha256", "kB"):
        assert words in details, words
    assert "simulated" in panel.model.ui.useLabel.text


def test_a_package_is_added_and_removed_again(panel: Any, tmp_path: Path, models: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(models / "tiny-ageing", other)
    card = json.loads((other / "model.json").read_text(encoding="utf-8"))
    (other / "model.json").write_text(json.dumps(card | {"name": "other", "title": "Other"}))
    panel.model.add(other)
    assert panel.model.package.name == "other"
    assert (models / "other-0.1.0" / "weights.safetensors").is_file()
    panel.model.remove()
    assert not (models / "other-0.1.0").exists()
    assert "other" not in panel.model.packages


def test_an_altered_package_is_not_added(panel: Any, tmp_path: Path, models: Path) -> None:
    from SITTranslateLib.errors import PackageError

    bad = tmp_path / "bad"
    shutil.copytree(models / "tiny-ageing", bad)
    content = bytearray((bad / "weights.safetensors").read_bytes())
    content[-1] ^= 1
    (bad / "weights.safetensors").write_bytes(content)
    with pytest.raises(PackageError, match="altered"):
        panel.model.add(bad)
    assert sorted(p.name for p in models.iterdir()) == ["tiny-ageing"]


def test_a_restricting_licence_must_be_accepted_once(
    panel: Any, slicer_harness: Harness, head_node: Any, tmp_path: Path, models: Path
) -> None:
    strict = tmp_path / "strict"
    shutil.copytree(models / "tiny-ageing", strict)
    card = json.loads((strict / "model.json").read_text(encoding="utf-8"))
    (strict / "model.json").write_text(json.dumps(card | {"name": "strict", "licence": "CC BY-NC 4.0"}))
    from SITTranslateLib.ui.licences import needs_acceptance

    assert needs_acceptance("RAIL-M")
    assert not needs_acceptance("CC BY 4.0")
    assert needs_acceptance("CC BY-NC 4.0")
    panel.model.add(strict)
    try:
        panel.input.set_node(head_node)
        assert not panel.apply.ui.applyButton.enabled
        assert "licence" in panel.apply.ui.stageLabel.text
        panel.model.ui.licenceCheckBox.setChecked(True)
        assert "licence" not in panel.apply.ui.stageLabel.text
        panel.model.refresh("strict")
        assert panel.model.ui.licenceCheckBox.isHidden()
    finally:
        panel.model.remove()


def test_attributes_are_built_from_the_card_and_kept_in_the_scene(panel: Any) -> None:
    panel.model.select("tiny-ageing")
    assert panel.attributes.values() == {"age": 10.0, "lesions": 0.0}
    panel.attributes.set_values({"age": -7.0})
    assert panel.parameters.attributes("tiny-ageing")["age"] == -7.0
    panel.attributes.set_values({"age": 900.0})
    assert panel.attributes.values()["age"] == 30.0


def held(function: Any) -> list[Any]:
    """What a function keeps alive: its defaults and what it closes over."""
    cells = []
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):
            cells.append(cell.cell_contents)
    return [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values(), *cells]


def test_a_slider_is_not_held_by_what_is_connected_to_it(panel: Any) -> None:
    # PythonQt deletes a widget a second time, and Slicer ends, where a function of its own signal holds it last.
    panel.model.select("tiny-ageing")
    sliders = list(panel.attributes._sliders.values())
    assert sliders
    ours = [
        f for f in gc.get_objects() if type(f) is FunctionType and str(f.__module__).startswith("SITTranslateLib.ui")
    ]
    assert [f.__qualname__ for f in ours if any(value is slider for value in held(f) for slider in sliders)] == []


def test_an_attribute_with_choices_is_a_list_and_cannot_be_swept(panel: Any) -> None:
    target = Attribute("target", "Target", "", 0, 2, 0, "What to make.", ("T2w", "FLAIR", "T1w"))
    steps = Attribute("steps", "Steps", "", 0, 20, 3, "Of the diffusion.")
    section, seen = panel.attributes, []
    section.set_card(SimpleNamespace(offered=(target, steps)), {"target": 1.0})
    assert section.values() == {"target": 1.0, "steps": 3.0}
    section.changed.connect(seen.append)
    section.set_values({"target": 2.0})
    assert seen[-1] == {"target": 2.0, "steps": 3.0} == section.values()
    section.set_card(SimpleNamespace(offered=(target,)), {"target": 40.0})
    assert section.values() == {"target": 2.0}
    panel.sweep.set_card(SimpleNamespace(name="several", offered=(target, steps)))
    assert panel.sweep.ui.sweepAttributeSelector.count == 1


def test_points_go_to_the_translation_and_back(shown: Any, panel: Any, slicer_harness: Harness, tmp_path: Path) -> None:
    panel.trace.trace([10.0, 20.0, 5.0])
    slicer_harness.wait(lambda: len(panel.trace.points) == 1)
    there = panel.trace.points[0]["translated"]
    panel.trace.trace(there, from_translated=True)
    slicer_harness.wait(lambda: len(panel.trace.points) == 2)
    assert np.linalg.norm(np.subtract(panel.trace.points[1]["source"], [10.0, 20.0, 5.0])) < 0.05
    assert panel.trace.ui.pointTable.rowCount == 2
    pairs = panel.trace._pairs
    place = [0.0, 0.0, 0.0]
    pairs.translated.GetNthControlPointPositionWorld(0, place)
    np.testing.assert_allclose(place, there, atol=1e-4)
    panel.trace.save_points(tmp_path / "points.csv")
    rows = list(csv.DictReader((tmp_path / "points.csv").open()))
    assert float(rows[0]["residual_mm"]) < 0.05
    panel.trace.ui.clearButton.click()
    assert panel.trace.ui.pointTable.rowCount == 0
    assert not slicer.mrmlScene.IsNodePresent(pairs.source)


def test_segments_are_measured_and_a_row_jumps_to_its_segment(
    shown: Any, panel: Any, slicer_harness: Harness, head_node: Any, scene: Any, tmp_path: Path
) -> None:
    head = volume_from_node(head_node)
    middle = np.zeros_like(head.array)
    middle[14:22, 14:22, 14:22] = 1
    middle[14:22, 14:22, 26:30] = 2
    node = add_segmentation_node(scene, head.with_array(middle), {1: "centre", 2: "side"}, "segments")
    panel.trace.ui.segmentSelector.setCurrentNode(node)
    panel.trace.ui.measureButton.click()
    slicer_harness.wait(lambda: panel.trace.table is not None, what="the table")
    rows = {row["name"]: row for row in panel.trace.table["segments"]}
    assert rows["centre"]["volume_before_mm3"] == pytest.approx(512 * 125.0, rel=1e-3)
    assert "The whole:" in panel.trace.ui.verdictLabel.text
    panel.trace.ui.segmentTable.selectRow(1)
    label = panel.trace.table["segments"][1]["label"]
    wanted = panel.trace._middles[label]
    view = layout.slice_node(scene, layout.SOURCE)
    assert view.GetSliceOffset() == pytest.approx(wanted[2], abs=0.01)
    panel.trace.save_segments(tmp_path / "segments.csv")
    assert len(list(csv.DictReader((tmp_path / "segments.csv").open()))) == 2


def test_a_segment_without_a_volume_after_says_why(
    shown: Any, panel: Any, slicer_harness: Harness, head_node: Any, scene: Any
) -> None:
    head = volume_from_node(head_node)
    labels = np.zeros_like(head.array)
    labels[:3, 14:22, 14:22] = 1
    labels[14:22, 14:22, 14:22] = 2
    node = add_segmentation_node(scene, head.with_array(labels), {1: "bottom", 2: "centre"}, "segments")
    panel.trace.ui.segmentSelector.setCurrentNode(node)
    panel.trace.measure()
    slicer_harness.wait(lambda: panel.trace.table is not None, what="the table")
    rows = {row["name"]: row["verdict"] for row in panel.trace.table["segments"]}
    assert rows["bottom"] != "traceable"
    assert "No volume after: bottom (touches the border of the scan)." in panel.trace.ui.verdictLabel.text


def test_an_empty_segmentation_is_one_sentence(shown: Any, panel: Any, slicer_harness: Harness, scene: Any) -> None:
    panel.trace.ui.segmentSelector.setCurrentNode(scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "nothing"))
    panel.trace.ui.measureButton.click()
    slicer_harness.wait(lambda: not panel.session.busy, what="the sentence")
    assert "no segments" in panel.trace.ui.verdictLabel.text


def test_a_sweep_becomes_sequences_that_play_together(shown: Any, panel: Any, slicer_harness: Harness) -> None:
    source = shown.translation.source.array
    scene, scans = slicer.mrmlScene, slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    panel.sweep.run("age", [0.0, 10.0, 20.0])
    slicer_harness.wait(lambda: panel.sweep.browser is not None, what="the sweep")
    browser = panel.sweep.browser
    assert browser.GetNumberOfItems() == 3
    assert browser.GetNumberOfSynchronizedSequenceNodes(True) == 4
    browser.SetSelectedItemNumber(0)
    np.testing.assert_allclose(volume_from_node_of(shown.nodes.translated), source, atol=1e-3)
    browser.SetSelectedItemNumber(2)
    assert np.abs(volume_from_node_of(shown.nodes.translated) - source).max() > 0.1
    assert shown.nodes.translated.GetAttribute("SITTranslate.Synthetic") == "1", "a frame is marked as the result is"
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == scans, "they play in the nodes of the result"
    panel.change.ui.removeButton.click()
    slicer_harness.wait(lambda: not panel.session.busy, what="the removal")
    assert not scene.IsNodePresent(browser) and scene.GetNumberOfNodesByClass("vtkMRMLSequenceNode") == 0
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1


def test_a_sweep_can_be_stopped(shown: Any, panel: Any, slicer_harness: Harness, scene: Any) -> None:
    before = scene.GetNumberOfNodes()
    panel.sweep.ui.sweepButton.click()
    panel.sweep.ui.sweepButton.click()
    slicer_harness.wait(lambda: panel.sweep._job is None)
    assert scene.GetNumberOfNodes() == before
    assert panel.sweep.ui.sweepButton.text == "Make the sequence"


def test_titles_and_marks_stand_in_the_views(shown: Any, panel: Any, slicer_harness: Harness) -> None:
    view = slicer_harness.layout_manager.view(layout.TRANSLATED)
    if view is None:
        pytest.skip("no off-screen OpenGL")
    texts = texts_in(view.renderer)
    assert "Translated" in texts
    assert "synthetic, research use only" in texts
    assert {"R", "L"} <= texts
    view.node.SetOrientation("Sagittal")
    assert {"A", "P"} <= texts_in(view.renderer)
    assert "R" not in texts_in(view.renderer)
    panel.titles.clear()
    assert not texts_in(view.renderer) & {"Translated", "R"}


def test_scripting_works_without_the_panel(module: Any, head_node: Any, models: Path, scene: Any) -> None:
    from SITTranslateLib.errors import InputError

    logic = module.SITTranslateLogic()
    assert "tiny-ageing" in logic.models()
    result = logic.translate(head_node, "tiny-ageing", {"age": 5}, device="cpu", force=True)
    assert result.source is head_node
    before = scene.GetNumberOfNodes()
    with pytest.raises(InputError, match="out of range"):
        logic.translate(head_node, "tiny-ageing", {"age": 500}, device="cpu", force=True)
    assert scene.GetNumberOfNodes() == before


def volume_from_node_of(node: Any) -> Any:
    return slicer.util.arrayFromVolume(node)


def texts_in(renderer: Any) -> set[str]:
    props = renderer.GetViewProps()
    every = (props.GetItemAsObject(index) for index in range(props.GetNumberOfItems()))
    return {prop.GetInput() for prop in every if prop.IsA("vtkTextActor")}
