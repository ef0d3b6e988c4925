"""Scene, scan, module and application going away, in the middle of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from harness import Harness
from walking import start, translate

from SITTranslateLib.scene.display import head_hull
from SITTranslateLib.scene.volumes import add_volume_node, volume_from_node


def test_closing_the_scene_while_it_runs_leaves_the_new_scene_empty(
    panel: Any, slicer_harness: Harness, head_node: Any, scene: Any
) -> None:
    start(slicer_harness, panel, head_node)
    scene.Clear(False)
    slicer_harness.wait(lambda: not panel.session.running, what="the end of the run")
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    assert panel.input.node is None
    assert not panel.apply.ui.applyButton.enabled
    assert panel.parameters is not None


def test_deleting_the_scan_while_it_runs_cancels(
    panel: Any, slicer_harness: Harness, head_node: Any, scene: Any
) -> None:
    start(slicer_harness, panel, head_node)
    scene.RemoveNode(head_node)
    slicer_harness.wait(lambda: not panel.session.running)
    assert scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
    assert panel.session.shown is None


def test_editing_the_scan_while_it_runs_keeps_the_scan_as_it_was_beside_the_result(
    panel: Any, slicer_harness: Harness, head_node: Any
) -> None:
    before = volume_from_node(head_node).array.copy()
    start(slicer_harness, panel, head_node)
    slicer.util.arrayFromVolume(head_node)[:] = 7.0
    slicer.util.arrayFromVolumeModified(head_node)
    slicer_harness.wait(lambda: not panel.session.running)
    source = panel.session.shown.nodes.source
    assert source is not head_node
    assert (volume_from_node(source).array == before).all()
    assert "edited" in panel.apply.ui.messageLabel.text


def test_removing_the_translation_by_hand_forgets_the_result(
    panel: Any, slicer_harness: Harness, head_node: Any, scene: Any
) -> None:
    shown = translate(slicer_harness, panel, head_node)
    scene.RemoveNode(shown.nodes.translated)
    assert panel.session.shown is None
    assert not panel.change.ui.strengthSlider.enabled


def test_two_scenes_in_a_row(panel: Any, slicer_harness: Harness, head_node: Any, scene: Any) -> None:
    translate(slicer_harness, panel, head_node)
    volume = volume_from_node(head_node)
    scene.Clear(False)
    assert panel.session.shown is None
    again = add_volume_node(scene, volume, "another")
    shown = translate(slicer_harness, panel, again)
    assert shown.nodes.source is again


def test_choices_and_results_survive_saving_and_loading(
    panel: Any, slicer_harness: Harness, head_node: Any, scene: Any, tmp_path: Path
) -> None:
    translate(slicer_harness, panel, head_node, age=15.0)
    bundle = str(tmp_path / "scene.mrb")
    assert scene.WriteToMRB(bundle)
    scene.Clear(False)
    assert scene.ReadFromMRB(bundle, True)
    slicer_harness.qt_app.processEvents()
    assert panel.input.node is not None
    assert panel.input.node.GetName() == "head"
    assert panel.parameters.model == "tiny-ageing"
    assert panel.attributes.values()["age"] == 15.0
    nodes = panel.parameters.result_nodes()
    assert nodes["translated"].GetAttribute("SITTranslate.Synthetic") == "1"
    assert nodes["motion"].IsA("vtkMRMLTransformNode")
    assert nodes["jacobian"] is not None


def test_a_loaded_result_is_traced_and_its_strength_changed_without_another_apply(
    panel: Any, slicer_harness: Harness, head_node: Any, scene: Any, tmp_path: Path
) -> None:
    made = translate(slicer_harness, panel, head_node, age=15.0).translation
    bundle = str(tmp_path / "scene.mrb")
    assert scene.WriteToMRB(bundle)
    scene.Clear(False)
    assert panel.session.shown is None
    assert scene.ReadFromMRB(bundle, True)
    slicer_harness.wait(lambda: panel.session.shown is not None, what="the saved result")
    shown = panel.session.shown
    assert shown.nodes.translated is panel.parameters.result_nodes()["translated"]
    assert shown.nodes.made_here
    # A result keeps its fields to 2^-10 mm, half of which may be lost.
    np.testing.assert_allclose(shown.translation.motion.array, made.motion.array, atol=6e-4)
    np.testing.assert_allclose(shown.translation.jacobian.array, made.jacobian.array, atol=1e-4)
    inside = np.abs(volume_from_node(shown.nodes.change).array) > 0
    change, before = shown.translation.intensity_change.array, made.intensity_change.array
    np.testing.assert_allclose(change[inside], before[inside], atol=1e-3)
    assert shown.translation.provenance == made.provenance
    panel.change.set_strength(0.0)
    source = volume_from_node(shown.nodes.source).array
    slicer_harness.wait(lambda: np.allclose(volume_from_node(shown.nodes.translated).array, source, atol=1e-3))
    panel.trace.trace([10.0, 20.0, 5.0])
    slicer_harness.wait(lambda: len(panel.trace.points) == 1)
    assert panel.trace.points[0]["residual_mm"] < 0.05
    panel.change.ui.removeButton.click()
    assert panel.session.shown is None
    slicer_harness.wait(lambda: not panel.session.busy, what="the removal")
    assert scene.GetFirstNodeByName("head") is not None
    assert not any(panel.parameters.result_nodes().values())


def test_a_result_saved_at_another_strength_comes_back_whole(
    panel: Any, slicer_harness: Harness, head_node: Any, scene: Any, tmp_path: Path
) -> None:
    shown = translate(slicer_harness, panel, head_node)
    full = shown.translation.translated.array
    panel.change.set_strength(50.0)
    slicer_harness.wait(lambda: shown.nodes.translated.GetAttribute("SITTranslate.Strength") == "0.5")
    bundle = str(tmp_path / "scene.mrb")
    assert scene.WriteToMRB(bundle)
    scene.Clear(False)
    assert scene.ReadFromMRB(bundle, True)
    slicer_harness.wait(lambda: panel.session.shown is not None, what="the saved result")
    again = panel.session.shown
    inside = head_hull(again.translation.source.array)
    span = np.ptp(full)
    assert np.percentile(np.abs(again.translation.translated.array - full)[inside], 99) < 0.01 * span
    assert panel.change.ui.strengthSlider.value == 50.0


def test_an_edited_result_is_not_taken_up(
    panel: Any, slicer_harness: Harness, head_node: Any, scene: Any, tmp_path: Path
) -> None:
    translate(slicer_harness, panel, head_node)
    slicer.util.arrayFromVolume(head_node)[:] *= 2
    bundle = str(tmp_path / "scene.mrb")
    assert scene.WriteToMRB(bundle)
    scene.Clear(False)
    assert scene.ReadFromMRB(bundle, True)
    slicer_harness.wait(lambda: "not the scan" in panel.apply.ui.messageLabel.text, what="the sentence")
    assert panel.session.shown is None


def test_leaving_the_module_while_it_runs_lets_it_finish(
    widget: Any, panel: Any, slicer_harness: Harness, head_node: Any
) -> None:
    start(slicer_harness, panel, head_node)
    widget.exit()
    slicer_harness.wait(lambda: not panel.session.running)
    assert panel.session.shown is not None


@pytest.mark.usefixtures("own_host")
def test_reload_forgets_the_library_and_ends_the_worker(
    slicer_harness: Harness, module: Any, scene: Any, head_node: Any
) -> None:
    opened = slicer_harness.open(module, "SITTranslate")
    start(slicer_harness, opened.panel, head_node)
    worker = opened.panel.session.host._worker
    kept = library_modules()
    try:
        opened.onReload()
        assert worker.exit_code() is not None
        # Not one module of before is used again, and the new panel is at work without the user leaving the module.
        assert not [name for name, m in library_modules().items() if kept.get(name) is m]
        renewed = slicer.modules.SITTranslateWidget
        assert renewed is not opened
        slicer_harness.wait(lambda: bool(renewed.panel.model.packages), what="the list of models")
        assert renewed.panel.timer.active
        renewed.cleanup()
        assert not renewed.panel
    finally:
        for name in library_modules():
            del sys.modules[name]
        sys.modules.update(kept)


def library_modules() -> dict[str, Any]:
    return {name: m for name, m in sys.modules.items() if name.split(".")[0] == "SITTranslateLib"}


@pytest.mark.usefixtures("own_host")
def test_quitting_the_application_leaves_no_process_and_no_file(
    slicer_harness: Harness, module: Any, scene: Any, head_node: Any
) -> None:
    opened = slicer_harness.open(module, "SITTranslate")
    start(slicer_harness, opened.panel, head_node)
    host = opened.panel.session.host
    folder, worker = host._folder, host._worker
    slicer.app.aboutToQuit.emit()
    assert not folder.exists()
    assert worker.exit_code() is not None
    with pytest.raises(ProcessLookupError):
        os.kill(worker.pid, 0)
