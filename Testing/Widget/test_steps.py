"""The steps of a diffusion in the panel: asked for by a list, told while they are made, played in the views."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import slicer
import tiny_package
from harness import Harness
from tiny_model import write_tiny_plasticine

from SITTranslateLib.scene import layout, sequences
from SITTranslateLib.scene.extras import STEPS
from SITTranslateLib.scene.volumes import add_volume_node

QUICK, SLOW = "tiny-steps", "tiny-many-steps"
SEQUENCES = ("vtkMRMLSequenceNode", "vtkMRMLSequenceBrowserNode")


@pytest.fixture(scope="module", autouse=True)
def _steps_of_a_diffusion(models: Path) -> Iterator[None]:
    """Two more models where the shared worker looks for them."""
    made = [
        write_tiny_plasticine(models / QUICK).folder,
        write_tiny_plasticine(models / SLOW, steps=200, samples=1).folder,
    ]
    yield
    for folder in made:
        shutil.rmtree(folder)


def ask(harness: Harness, panel: Any, name: str, intermediate: int) -> None:
    """Choose a new head, a model, and whether to keep its steps; everything but Apply."""
    panel.input.set_node(add_volume_node(slicer.mrmlScene, tiny_package.head(), "head"))
    panel.model.select(name)
    harness.wait(lambda: panel.input.ui.fitLabel.text != "", what="the gate's answer")
    if panel.input.why_not():
        panel.input.ui.forceCheckBox.setChecked(True)
    panel.attributes._lists["intermediate"].setCurrentIndex(intermediate)


def translate(harness: Harness, panel: Any, intermediate: int) -> Any:
    ask(harness, panel, QUICK, intermediate)
    panel.apply.ui.applyButton.click()
    harness.wait(lambda: not panel.session.running, what="the translation")
    assert panel.session.shown is not None, panel.apply.ui.messageLabel.text
    return panel.session.shown


def counts(scene: Any) -> list[int]:
    return [scene.GetNumberOfNodesByClass(name) for name in SEQUENCES]


def test_the_card_asks_for_them_with_a_list(panel: Any, slicer_harness: Harness, scene: Any) -> None:
    ask(slicer_harness, panel, QUICK, 1)
    choices = panel.attributes._lists["intermediate"]
    assert [choices.itemText(n) for n in range(choices.count)] == ["no", "yes"]
    assert panel.attributes.values() == {"age": 10.0, "intermediate": 1.0}


def test_nobody_asks_and_there_is_no_sequence(panel: Any, slicer_harness: Harness, scene: Any) -> None:
    shown = translate(slicer_harness, panel, 0)
    assert STEPS not in shown.nodes.extras and counts(scene) == [0, 0]


def test_they_come_as_a_sequence_that_the_views_play(
    panel: Any, slicer_harness: Harness, scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []
    panel.session.progress.connect(lambda fraction, seconds_left: told.append(fraction))
    shown = translate(slicer_harness, panel, 1)
    assert counts(scene) == [1, 1] and shown.translation.steps == ("after step 1 of 2", "after step 2 of 2")
    # How many of the steps are heard of depends on how quick they are; that each is told is a test of the network.
    assert told and told == sorted(told), told
    played: list[Any] = []
    tools = SimpleNamespace(setToolBarActiveBrowserNode=played.append, setToolBarVisible=lambda visible: None)
    monkeypatch.setattr(slicer.modules, "sequences", tools)
    node = shown.nodes.extras[STEPS]
    names = [panel.change.ui.extraComboBox.itemText(n) for n in range(panel.change.ui.extraComboBox.count)]
    panel.change.ui.extraComboBox.setCurrentIndex(names.index(STEPS))
    view = layout.composite_node(scene, layout.CHANGE)
    assert view.GetForegroundVolumeID() == node.GetID() and view.GetForegroundOpacity() == 1.0
    assert played == [sequences.browser_of(node)] and panel.titles._shown[layout.CHANGE].text == "Step by step"
    panel.change.ui.changeMapButton.click()
    assert view.GetForegroundOpacity() < 1.0
    panel.change.ui.removeButton.click()
    slicer_harness.wait(lambda: not panel.session.busy, what="the removal")
    assert counts(scene) == [0, 0] and scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1


def test_cancelling_between_two_steps_leaves_the_scene_as_it_was(
    panel: Any, slicer_harness: Harness, scene: Any
) -> None:
    ask(slicer_harness, panel, SLOW, 1)
    before = sorted(scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes()))
    fractions: list[float] = []

    def cancel_within(fraction: float, seconds_left: float | None) -> None:
        fractions.append(fraction)
        if fraction > 0.33:
            panel.apply.ui.cancelButton.click()

    panel.session.progress.connect(cancel_within)
    panel.apply.ui.applyButton.click()
    slicer_harness.wait(lambda: not panel.session.running, what="the cancel")
    assert max(fractions) > 0.33, "the steps had begun"
    assert panel.session.shown is None
    assert sorted(scene.GetNthNode(n).GetID() for n in range(scene.GetNumberOfNodes())) == before


def test_a_sweep_asks_for_no_steps(
    panel: Any, slicer_harness: Harness, scene: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    translate(slicer_harness, panel, 1)
    asked: list[Any] = []
    monkeypatch.setattr(panel.session, "ask", lambda request, *_answers: asked.append(request))
    panel.sweep.run("age", [5.0])
    assert [request.attributes for request in asked] == [{"age": 5.0}]
