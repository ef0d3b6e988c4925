"""What a clinician sees and presses: few steps to a result, true words, keys, and several results."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import slicer
from harness import Harness
from PySide6 import QtGui
from walking import translate

from SITTranslateLib.packages import Attribute
from SITTranslateLib.scene import layout
from SITTranslateLib.scene.contours import ROLES
from SITTranslateLib.scene.display import transform_display
from SITTranslateLib.scene.ranges import Ranges
from SITTranslateLib.scene.volumes import add_volume_node, volume_from_node


@pytest.fixture
def shown(slicer_harness: Harness, panel: Any, head_node: Any) -> Any:
    return translate(slicer_harness, panel, head_node)


def test_the_first_scan_is_chosen_and_what_needs_a_result_is_folded(
    panel: Any, widget: Any, head_node: Any, slicer_harness: Harness
) -> None:
    widget.exit()
    widget.enter()
    assert panel.input.node is head_node
    folded = {name: bool(getattr(panel, name).ui.sectionButton.collapsed) for name in ("change", "trace", "sweep")}
    assert folded == {"change": True, "trace": True, "sweep": True}
    assert panel.model.ui.advancedButton.collapsed
    translate(slicer_harness, panel, head_node)
    assert not panel.change.ui.sectionButton.collapsed and not panel.trace.ui.sectionButton.collapsed


def test_a_synthetic_scan_is_recognised_and_not_chosen_by_itself(panel: Any, widget: Any, shown: Any) -> None:
    panel.input.set_node(shown.nodes.translated)
    assert "SYNTHETIC" in panel.input.ui.factsLabel.text
    scan = volume_from_node(shown.nodes.translated)
    panel.session.remove_shown()
    slicer.mrmlScene.RemoveNode(shown.nodes.source)
    add_volume_node(slicer.mrmlScene, scan, "a SYNTHETIC head from elsewhere")
    widget.exit()
    widget.enter()
    assert panel.input.node is None


def test_sliders_say_what_they_ask_and_that_nothing_is_asked(panel: Any) -> None:
    age = Attribute("age", "Age", "years", -20, 30, 10, "Years to add.")
    section = panel.attributes
    section.set_card(SimpleNamespace(offered=(age,)), {})
    slider = section._sliders["age"]
    assert (slider.prefix, slider.suffix) == ("+", " years older")
    slider.value = -5.0
    assert (slider.prefix, slider.suffix) == ("", " years younger")
    assert section.ui.hintLabel.text == ""
    slider.value = 0.0
    assert "will be the scan itself" in section.ui.hintLabel.text


def test_what_is_known_of_the_scan_is_no_change(panel: Any) -> None:
    panel.model.select("brain-change-t1w")
    sliders = panel.attributes._sliders
    panel.attributes.set_values({"age": 60.0, "years": 20.0})
    assert (sliders["age"].prefix, sliders["age"].suffix) == ("", " years")
    assert (sliders["years"].prefix, sliders["years"].suffix) == ("+", " years older")
    panel.attributes.set_values({"years": 0.0})
    assert "will be the scan itself" in panel.attributes.ui.hintLabel.text
    selector = panel.sweep.ui.sweepAttributeSelector
    assert [selector.itemData(n) for n in range(selector.count)] == ["years", "severity"]


def test_numbers_are_true_of_every_voxel(shown: Any, panel: Any) -> None:
    from SITTranslateLib.ui.change_section import motion_words, recomposition_words, volume_words

    assert recomposition_words(1.7e-5).endswith("the difference is less than 0.01 %.")
    assert recomposition_words(0.034).endswith("the difference is 0.034 %.")
    assert motion_words(Ranges((0, 1), 2.4, 5.0, 1.0, False, 2.89)) == (
        "99 % of the head moved less than 2.4 mm, the rest at most 2.9 mm."
    )
    assert "99 % of the head moved less than" in panel.change.ui.summaryLabel.text
    rows = [
        {"name": "Ventricles", "change_percent": 43.2, "volume_before_mm3": 30000.0},
        {"name": "Hippocampus", "change_percent": -8.04, "volume_before_mm3": 4000.0},
        {"name": "A few voxels", "change_percent": 90.0, "volume_before_mm3": 20.0},
        {"name": "Cut off", "change_percent": None, "volume_before_mm3": 5000.0},
    ]
    assert volume_words(rows) == "Ventricles +43 %, Hippocampus -8.0 %"


def test_the_title_tells_how_much_longer_the_arrows_are(shown: Any, panel: Any) -> None:
    panel.change.ui.scaleSlider.value = 350.0
    assert panel.titles._shown[layout.MOTION].text == "How the anatomy moved, arrows \u00d73.5"
    assert panel.titles._shown[layout.THREE_D].text == "What expanded, what shrank (3D)"
    panel.change.ui.arrows3DCheckBox.click()
    assert panel.titles._shown[layout.THREE_D].text.startswith("How the anatomy moved")


def test_structures_are_measured_by_themselves_and_drawn_before_and_after(
    panel: Any, slicer_harness: Harness, head_node: Any, scene: Any
) -> None:
    head = volume_from_node(head_node)
    labels = np.zeros(head.shape, np.float32)
    labels[14:22, 14:22, 14:22], labels[14:22, 14:22, 25:29] = 1, 2
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "structures")
    node.SetReferenceImageGeometryParameterFromVolumeNode(head_node)
    for value, name in ((1, "Middle"), (2, "Side")):
        identifier = node.GetSegmentation().AddEmptySegment(name, name)
        mask = (labels == value).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, identifier, head_node)
    panel.trace.ui.segmentSelector.setCurrentNode(node)
    nodes = translate(slicer_harness, panel, head_node).nodes
    slicer_harness.wait(lambda: panel.trace.table is not None and not panel.session.busy, what="the table")
    changes = [abs(row["change_percent"]) for row in panel.trace.table["segments"]]
    assert changes == sorted(changes, reverse=True)
    assert "Middle" in panel.change.ui.volumesLabel.text and "%" in panel.change.ui.volumesLabel.text
    drawn = {
        n.GetAttribute("SITTranslate.Role"): n for n in nodes.nodes if n.GetAttribute("SITTranslate.Role") in ROLES
    }
    assert drawn[ROLES[1]].GetTransformNodeID() == nodes.motion.GetID()
    views = [drawn[ROLES[0]].GetDisplayNode().GetNthViewNodeID(index) for index in range(2)]
    assert views == [layout.view_id(layout.SOURCE), layout.view_id(layout.TRANSLATED)]
    panel.keys.next_change()
    assert panel.trace.ui.segmentTable.currentRow() == 0
    panel.keys.previous_change()
    assert panel.trace.ui.segmentTable.currentRow() == 1


def test_no_key_is_one_of_slicers_own(panel: Any) -> None:
    # The main window's module history has the keys of "back" and "forward"; a key that two claim does neither.
    history = (QtGui.QKeySequence.StandardKey.Back, QtGui.QKeySequence.StandardKey.Forward)
    taken = {key.toString() for action in history for key in QtGui.QKeySequence.keyBindings(action)}
    assert "Alt+Left" in taken
    taken |= {"Ctrl+Left", "Ctrl+Right", *(f"Alt+{letter}" for letter in "FEVH")}
    assert taken.isdisjoint(shortcut.key.toString() for shortcut in panel.keys._shortcuts)


def test_keys_flicker_and_take_the_overlays_off_and_on(shown: Any, panel: Any, scene: Any) -> None:
    translated = layout.composite_node(scene, layout.TRANSLATED)
    panel.keys.flicker()
    assert translated.GetBackgroundVolumeID() == shown.nodes.source.GetID()
    assert panel.titles._shown[layout.TRANSLATED].text == "Source"
    panel.keys.flicker()
    assert panel.titles._shown[layout.TRANSLATED].synthetic
    change = layout.composite_node(scene, layout.CHANGE)
    panel.keys.toggle_overlay()
    assert change.GetForegroundVolumeID() is None
    assert not transform_display(shown.nodes.motion, "glyphs").GetVisibility()
    panel.keys.toggle_overlay()
    assert change.GetForegroundVolumeID() == shown.nodes.change.GetID()
    assert change.GetForegroundOpacity() <= 0.5
    assert transform_display(shown.nodes.motion, "glyphs").GetVisibility()


def test_results_are_told_apart_switched_and_compared(
    shown: Any, panel: Any, slicer_harness: Harness, head_node: Any, scene: Any
) -> None:
    second = translate(slicer_harness, panel, head_node, age=5.0)
    ui = panel.change.ui
    titles = [ui.resultComboBox.itemText(index) for index in range(ui.resultComboBox.count)]
    # A narrow list cuts off the end: what tells results apart stands first.
    assert [title.startswith(asked) for title, asked in zip(titles, ("age +20", "age +5"), strict=True)] == [True, True]
    assert ui.resultComboBox.currentIndex == 1
    assert "age +5" in second.nodes.translated.GetName()
    ui.compareComboBox.setCurrentIndex(1)
    assert layout.composite_node(scene, layout.CHANGE).GetBackgroundVolumeID() == shown.nodes.translated.GetID()
    titles = {name: panel.titles._shown[name] for name in (layout.TRANSLATED, layout.CHANGE)}
    assert [title.text for title in titles.values()] == [
        "Translated: age +5, lesions +0",
        "Translated: age +20, lesions +0",
    ]
    assert all(title.synthetic for title in titles.values())
    shown.nodes.translated.SetAttribute("SITTranslate.Package", "another-model")
    panel.titles._on_changed()
    assert panel.titles._shown[layout.CHANGE].text == "Translated by another-model: age +20, lesions +0"
    assert panel.titles._shown[layout.TRANSLATED].text == "Translated by tiny-ageing: age +5, lesions +0"
    # Nothing again: the map comes back over the source.
    ui.compareComboBox.setCurrentIndex(0)
    assert layout.composite_node(scene, layout.CHANGE).GetForegroundVolumeID() == second.nodes.change.GetID()
    assert panel.titles._shown[layout.TRANSLATED].text == "Translated" and ui.changeMapButton.checked
    # So does a map that is chosen meanwhile.
    ui.compareComboBox.setCurrentIndex(1)
    ui.jacobianMapButton.click()
    assert ui.compareComboBox.currentIndex == 0
    assert panel.titles._shown[layout.CHANGE].text == "What expanded, what shrank"
    ui.resultComboBox.setCurrentIndex(0)
    slicer_harness.wait(lambda: panel.session.shown is not None, what="the other result")
    assert panel.session.shown.nodes.folder == shown.nodes.folder


def test_a_result_is_removed_after_a_question_only(shown: Any, panel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slicer.util, "confirmOkCancelDisplay", lambda *_, **__: False)
    panel.change.ui.removeButton.click()
    assert panel.session.shown is shown


def test_the_seed_is_asked_for_recorded_and_kept(panel: Any, slicer_harness: Harness, head_node: Any) -> None:
    panel.model.ui.seedSpinBox.setValue(7)
    made = translate(slicer_harness, panel, head_node)
    assert made.translation.provenance.seed == 7
    assert panel.parameters.seed == 7
    panel.model.ui.seedSpinBox.setValue(0)
