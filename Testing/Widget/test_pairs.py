"""Two scans that are there already: an estimated motion between them, shown, traced and measured like any other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import Harness
from walking import translate

from SITTranslateLib.scene.runs import PREFIX
from SITTranslateLib.scene.volumes import add_volume_node, volume_from_node


@pytest.fixture
def second_node(panel: Any, slicer_harness: Harness, head_node: Any, scene: Any) -> Any:
    """The head 20 years on, as another program would have left it: a plain volume."""
    made = translate(slicer_harness, panel, head_node)
    volume = volume_from_node(made.nodes.translated)
    panel.session.remove_shown()
    return add_volume_node(scene, volume, "second visit")


def press(harness: Harness, panel: Any, source: Any, translated: Any) -> None:
    ui = panel.pair.ui
    ui.pairSourceSelector.setCurrentNode(source)
    ui.pairTranslatedSelector.setCurrentNode(translated)
    assert ui.pairButton.enabled
    ui.pairButton.click()
    harness.wait(lambda: not panel.session.running, what="the estimate")


def test_a_pair_is_estimated_traced_and_measured(
    panel: Any, slicer_harness: Harness, head_node: Any, second_node: Any, scene: Any
) -> None:
    before = volume_from_node(second_node).array.copy()
    press(slicer_harness, panel, head_node, second_node)
    shown = panel.session.shown
    assert shown is not None, panel.apply.ui.messageLabel.text
    assert (shown.nodes.source, shown.nodes.translated) == (head_node, second_node)
    assert shown.translation.field_origin == "estimated"
    assert (
        "ESTIMATED" in panel.change.ui.summaryLabel.text and "Where nothing moves" in panel.change.ui.summaryLabel.text
    )
    assert "estimated" in shown.nodes.motion.GetName()
    assert not panel.change.ui.strengthSlider.enabled
    # The scans are the user's: unchanged, and not called synthetic.
    assert second_node.GetName() == "second visit" and second_node.GetAttribute(PREFIX + "Synthetic") is None
    np.testing.assert_array_equal(volume_from_node(second_node).array, before)
    middle = volume_from_node(head_node).grid.centre
    panel.trace.trace(middle)
    slicer_harness.wait(lambda: bool(panel.trace.points), what="the traced point")
    assert panel.trace.points[0]["traceable"]
    panel.session.remove_shown()
    assert scene.IsNodePresent(head_node) and scene.IsNodePresent(second_node)
    assert scene.GetNumberOfNodesByClass("vtkMRMLGridTransformNode") == 0


def test_a_finer_estimate_is_asked_for(
    panel: Any, slicer_harness: Harness, head_node: Any, second_node: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []
    monkeypatch.setattr(panel.session, "estimate_pair", lambda *given: asked.append(given))
    for finer in (False, True):
        panel.pair.ui.pairFinerBox.checked = finer
        press(slicer_harness, panel, head_node, second_node)
    assert asked == [(head_node, second_node, False), (head_node, second_node, True)]


def test_what_is_no_pair_is_refused_in_one_sentence(
    panel: Any, slicer_harness: Harness, head_node: Any, second_node: Any, scene: Any
) -> None:
    ui, count = panel.pair.ui, scene.GetNumberOfNodes()
    ui.pairSourceSelector.setCurrentNode(head_node)
    assert not ui.pairButton.enabled
    ui.pairTranslatedSelector.setCurrentNode(head_node)
    ui.pairButton.click()
    assert "two different ones" in ui.pairLabel.text
    far = volume_from_node(second_node)
    affine = far.affine.copy()
    affine[:3, 3] += 900.0
    elsewhere = add_volume_node(scene, type(far)(far.array, affine, "far"), "far away")
    press(slicer_harness, panel, head_node, elsewhere)
    assert panel.session.shown is None
    assert "do not overlap in space" in panel.apply.ui.messageLabel.text
    scene.RemoveNode(elsewhere)
    assert scene.GetNumberOfNodes() == count


def test_deleting_either_scan_cancels(panel: Any, slicer_harness: Harness, head_node: Any, second_node: Any) -> None:
    panel.pair.trace(head_node, second_node)
    assert panel.session.running
    head_node.GetScene().RemoveNode(second_node)
    slicer_harness.wait(lambda: not panel.session.running)
    assert panel.session.shown is None
