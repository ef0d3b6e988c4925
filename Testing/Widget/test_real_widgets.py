"""Faults seen in the real application: the stand-ins behave as its widgets and logics do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import slicer
from harness import Harness
from PySide6 import QtCore
from walking import choose, start, translate

from SITTranslateLib.scene import layout
from SITTranslateLib.scene.display import transform_display
from SITTranslateLib.scene.volumes import add_volume_node, volume_from_node


@pytest.fixture
def shown(slicer_harness: Harness, panel: Any, head_node: Any) -> Any:
    return translate(slicer_harness, panel, head_node)


def click(scene: Any, point: list[float]) -> None:
    """A click in place mode: the point goes to the list that is active, whichever that is."""
    selection = scene.GetSingletonNode("Singleton", "vtkMRMLSelectionNode")
    scene.GetNodeByID(selection.GetActivePlaceNodeID()).AddControlPointWorld(*point)


def singletons(scene: Any) -> tuple[Any, Any]:
    selection, interaction = (
        scene.GetSingletonNode("Singleton", f"vtkMRML{name}Node") for name in ("Selection", "Interaction")
    )
    return selection, interaction


def test_every_click_is_traced_and_place_mode_is_left_as_it_was(
    shown: Any, panel: Any, slicer_harness: Harness, scene: Any
) -> None:
    selection, interaction = singletons(scene)
    users = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "the user's")
    panel.trace.ui.pickButton.setChecked(True)
    for number, point in enumerate(([12.0, -8.0, 3.0], [4.0, 10.0, 6.0], [-9.0, 2.0, 1.0]), start=1):
        click(scene, point)
        slicer_harness.wait(lambda number=number: len(panel.trace.points) == number, what=f"click {number}")
        np.testing.assert_allclose(panel.trace.points[-1]["source"], point, atol=1e-6)
    assert panel.trace._pairs.source.GetNumberOfControlPoints() == 3
    panel.trace.ui.pickButton.setChecked(False)
    assert selection.GetActivePlaceNodeID() == users.GetID()
    assert not interaction.GetPlaceModePersistence()
    assert interaction.GetCurrentInteractionMode() == interaction.ViewTransform


def test_the_button_rises_when_place_mode_ends_elsewhere(shown: Any, panel: Any, scene: Any) -> None:
    _selection, interaction = singletons(scene)
    panel.trace.ui.pickButton.setChecked(True)
    assert interaction.GetCurrentInteractionMode() == interaction.Place
    interaction.SetCurrentInteractionMode(interaction.ViewTransform)
    assert not panel.trace.ui.pickButton.checked
    assert panel.trace._picker is None


def test_a_list_of_points_removed_by_hand_takes_its_rows_along(
    shown: Any, panel: Any, slicer_harness: Harness, scene: Any
) -> None:
    panel.trace.trace([10.0, 20.0, 5.0])
    slicer_harness.wait(lambda: len(panel.trace.points) == 1)
    pairs = panel.trace._pairs
    scene.RemoveNode(pairs.source)
    assert panel.trace.points == [] and panel.trace.ui.pointTable.rowCount == 0
    assert not scene.IsNodePresent(pairs.translated)


def visible(nodes: Any) -> set[str]:
    kinds = ("glyphs", "grid", "contours", "arrows")
    return {kind for kind in kinds if transform_display(nodes.motion, kind).GetVisibility()}


def test_only_the_shown_result_is_drawn_and_the_one_before_comes_back(
    shown: Any, panel: Any, slicer_harness: Harness, head_node: Any, scene: Any
) -> None:
    panel.change.ui.gridCheckBox.click()
    second = translate(slicer_harness, panel, head_node, age=5.0)
    assert visible(shown.nodes) == set() and visible(second.nodes) == {"glyphs"}
    assert not shown.nodes.outline.GetDisplayNode().GetVisibility()
    panel.change.ui.removeButton.click()
    slicer_harness.wait(lambda: panel.session.shown is not None, what="the result before")
    assert panel.session.shown.nodes.folder == shown.nodes.folder
    assert visible(shown.nodes) == {"glyphs"}
    assert shown.nodes.outline.GetDisplayNode().GetVisibility()
    composite = layout.composite_node(scene, layout.TRANSLATED)
    assert composite.GetBackgroundVolumeID() == shown.nodes.translated.GetID()
    assert panel.titles._shown[layout.TRANSLATED].synthetic
    panel.change.ui.removeButton.click()
    assert panel.session.shown is None
    assert all(not composite_of(scene, name) for name in layout.SLICES)


def composite_of(scene: Any, name: str) -> str:
    composite = layout.composite_node(scene, name)
    return (composite.GetBackgroundVolumeID() or "") + (composite.GetForegroundVolumeID() or "")


def test_titles_and_switches_follow_what_the_views_show(
    shown: Any, panel: Any, widget: Any, slicer_harness: Harness, head_node: Any, scene: Any
) -> None:
    panel.change.ui.jacobianMapButton.click()
    assert panel.titles._shown[layout.CHANGE].text == "What expanded, what shrank"
    widget.exit()
    widget.enter()
    panel.change.ui.layoutButton.click()
    assert composite_of(scene, layout.CHANGE).endswith(shown.nodes.jacobian.GetID())
    assert panel.titles._shown[layout.CHANGE].text == "What expanded, what shrank"
    assert panel.change.ui.jacobianMapButton.checked
    # Whoever changes the view: the title and the switch say what it shows.
    layout.composite_node(scene, layout.CHANGE).SetForegroundVolumeID(shown.nodes.change.GetID())
    assert panel.titles._shown[layout.CHANGE].text == "How the intensity changed"
    assert panel.change.ui.changeMapButton.checked
    slicer.util.setSliceViewerLayers(background=head_node, foreground=None)
    assert not panel.titles._shown[layout.TRANSLATED].synthetic
    transform_display(shown.nodes.motion, "glyphs").SetVisibility(0)
    assert not panel.change.ui.glyphsCheckBox.checked
    assert panel.titles._shown[layout.MOTION].text == "Source"
    panel.change.ui.noMapButton.click()
    second = translate(slicer_harness, panel, head_node, age=5.0)
    assert composite_of(scene, layout.CHANGE).endswith(second.nodes.change.GetID())
    assert panel.titles._shown[layout.CHANGE].text == "How the intensity changed"
    assert panel.change.ui.changeMapButton.checked and panel.change.ui.glyphsCheckBox.checked


def test_removing_a_volume_puts_no_other_into_our_views_and_selectors(
    shown: Any, panel: Any, head_node: Any, scene: Any
) -> None:
    other = add_volume_node(scene, volume_from_node(head_node), "another patient")
    ours = {name: composite_of(scene, name) for name in layout.SLICES}
    scene.RemoveNode(shown.nodes.change)
    assert composite_of(scene, layout.CHANGE) == head_node.GetID()
    assert all(composite_of(scene, name) == ours[name] for name in layout.SLICES if name != layout.CHANGE)
    scene.RemoveNode(head_node)
    assert all(other.GetID() not in composite_of(scene, name) for name in layout.SLICES)
    assert panel.input.node is None
    assert panel.parameters.input_node is None


def test_a_run_that_ends_while_another_module_is_open_leaves_its_layout(
    panel: Any, widget: Any, slicer_harness: Harness, head_node: Any
) -> None:
    start(slicer_harness, panel, head_node)
    widget.exit()
    slicer_harness.layout_manager.setLayout(4)
    slicer_harness.wait(lambda: not panel.session.running, what="the end of the run")
    assert panel.session.shown is not None
    assert slicer_harness.layout_manager.layout == 4
    widget.enter()
    assert slicer_harness.layout_manager.layout == layout.LAYOUT_ID
    assert panel.titles._shown[layout.TRANSLATED].synthetic


def test_a_scan_that_was_removed_is_what_the_panel_says(
    panel: Any, slicer_harness: Harness, head_node: Any, scene: Any
) -> None:
    start(slicer_harness, panel, head_node)
    scene.RemoveNode(head_node)
    slicer_harness.wait(lambda: not panel.session.running)
    assert panel.apply.ui.messageLabel.text == "The scan was removed: the translation was cancelled."


def test_a_result_comes_in_steps_and_half_of_one_is_taken_out(
    panel: Any, slicer_harness: Harness, head_node: Any, scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from SITTranslateLib import steps

    # A step a turn.
    monkeypatch.setattr(steps, "TURN_SECONDS", 0.0)
    choose(slicer_harness, panel, head_node)
    panel.apply.ui.applyButton.click()
    name = "head translated, age +10, lesions +0 (synthetic, research use only)"
    slicer_harness.wait(lambda: scene.GetFirstNodeByName(name), what="the first node of the result")
    assert panel.session.running and panel.session.shown is None
    scene.AddNewNodeByClass("vtkMRMLTextNode", "the user's")
    panel.apply.ui.cancelButton.click()
    assert not panel.session.running
    assert scene.GetFirstNodeByName("the user's") is not None
    nodes = [scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes())]
    assert not [node.GetName() for node in nodes if node.GetAttribute("SITTranslate.Role")]
    assert not [node.GetName() for node in nodes if node.GetAttribute("SITTranslate.Colours")]
    assert scene.GetNumberOfNodesByClass("vtkMRMLVolumeNode") == 1


def test_overlapping_segments_are_each_measured_whole(
    shown: Any, panel: Any, slicer_harness: Harness, head_node: Any, scene: Any
) -> None:
    head = volume_from_node(head_node)
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "overlapping")
    node.SetReferenceImageGeometryParameterFromVolumeNode(head_node)
    for name, low, high in (("brain", 12, 24), ("ventricles", 16, 20), ("side", 24, 26)):
        mask = np.zeros(head.shape, np.uint8)
        mask[14:22, 14:22, low:high] = 1
        identifier = node.GetSegmentation().AddEmptySegment(name, name)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, identifier, head_node)
    panel.trace.ui.segmentSelector.setCurrentNode(node)
    panel.trace.measure()
    slicer_harness.wait(lambda: panel.trace.table is not None, what="the table")
    voxels = {row["name"]: row["voxels"] for row in panel.trace.table["segments"]}
    assert voxels == {"brain": 8 * 8 * 12, "ventricles": 8 * 8 * 4, "side": 8 * 8 * 2}


def test_the_panel_fits_beside_the_views_of_a_small_screen(panel: Any, widget: Any, shown: Any) -> None:
    widths = {section.UI: int(section.widget.minimumSizeHint().width()) for section in panel.sections}
    assert max(widths.values()) <= 400, widths


def test_three_clicks_lead_to_a_result_on_a_small_screen(
    widget: Any, panel: Any, slicer_harness: Harness, head_node: Any
) -> None:
    """A 1366 x 768 screen leaves a module panel about 570 pixels under Slicer's tool bars and the module's title."""
    widget.exit()
    widget.enter()
    assert panel.input.node is head_node, "the first scan is chosen"
    usual = panel.model.package.name
    widget.parent.resize(414, 570)
    widget.parent.show()
    lowest = {}
    # The usual one as it is found on opening.
    for name in [usual, *(other for other in panel.model.packages if other != usual)]:
        panel.model.select(name)
        for _ in range(4):
            slicer_harness.qt_app.processEvents()
        widths = {section.UI: int(section.widget.minimumSizeHint().width()) for section in panel.sections}
        assert max(widths.values()) <= 400, (name, widths)
        button = panel.apply.ui.applyButton
        lowest[name] = button.mapTo(widget.parent, QtCore.QPoint(0, int(button.height))).y()
    # A model with three sliders takes one turn of the wheel.
    assert lowest[usual] <= 570 and max(lowest.values()) <= 680, lowest


def test_sliders_of_a_sweep_have_decimals_for_a_small_range(panel: Any) -> None:
    from types import SimpleNamespace

    from SITTranslateLib.packages import Attribute

    severity = Attribute("severity", "Severity", "", 0, 1, 0, "Of the disease.")
    panel.sweep.set_card(SimpleNamespace(name="fine", offered=(severity,)))
    panel.sweep.ui.fromSlider.value = 0.35
    assert panel.sweep.ui.fromSlider.value == pytest.approx(0.35)


def test_pair_selectors_list_scans_only(panel: Any, head_node: Any, scene: Any) -> None:
    add_volume_node(scene, volume_from_node(head_node), "labels", "vtkMRMLLabelMapVolumeNode")
    scene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "vectors")
    for selector in (panel.pair.ui.pairSourceSelector, panel.pair.ui.pairTranslatedSelector):
        assert [node.GetName() for node in selector.nodes()] == ["head"]


def test_a_section_is_never_lower_than_its_wrapped_text_needs(panel: Any, slicer_harness: Harness) -> None:
    # Slicer's panel gives the content its minimum height: without one, text was cut and the list of models squeezed.
    section = panel.apply
    section.ui.sectionButton.collapsed = False
    parent = section.widget.parentWidget()
    section.widget.setParent(None)
    section.widget.resize(320, 200)
    section.widget.show()
    heights = []
    for words in (80, 1, 0):
        section.say("word " * words)
        # Inner layouts ask the outer ones for another round.
        for _round in range(4):
            slicer_harness.qt_app.processEvents()
        heights.append(int(section.widget.minimumHeight))
    section.widget.setParent(parent)
    assert heights[0] > heights[1] >= heights[2]
    assert heights[0] - heights[1] >= 3 * section.ui.messageLabel.fontMetrics().height()
