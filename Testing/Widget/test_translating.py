"""From the panel to the scene, with a real worker."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import slicer
from faulty_worker import with_fault
from harness import Harness
from walking import choose, translate

from SITTranslateLib.scene import layout
from SITTranslateLib.scene.display import transform_display
from SITTranslateLib.scene.volumes import add_volume_node, volume_from_node


@pytest.fixture
def shown(slicer_harness: Harness, panel: Any, head_node: Any) -> Any:
    return translate(slicer_harness, panel, head_node)


def test_apply_puts_everything_into_one_folder_beside_the_scan(shown: Any, head_node: Any, panel: Any) -> None:
    nodes = shown.nodes
    assert nodes.source is head_node
    assert nodes.translated.GetImageData().GetDimensions() == head_node.GetImageData().GetDimensions()
    assert "synthetic" in nodes.translated.GetName()
    assert nodes.motion is not None
    assert nodes.jacobian is not None
    assert nodes.change is not None
    assert panel.apply.ui.messageLabel.text == ""
    assert "99 % of the head moved less than" in panel.change.ui.summaryLabel.text


def test_the_faster_precision_is_asked_for_recorded_and_kept(
    panel: Any, slicer_harness: Harness, head_node: Any
) -> None:
    panel.model.ui.fastCheckBox.setChecked(True)
    shown = translate(slicer_harness, panel, head_node)
    assert shown.translation.provenance.precision == "bfloat16"
    assert panel.parameters.precision == "bfloat16"
    panel.model.ui.fastCheckBox.setChecked(False)
    assert panel.model.precision == "float32"


def test_the_uncertainty_is_asked_for_mapped_and_kept(panel: Any, slicer_harness: Harness, head_node: Any) -> None:
    panel.model.ui.uncertaintyCheckBox.setChecked(True)
    shown = translate(slicer_harness, panel, head_node)
    node = shown.nodes.extras["uncertainty"]
    assert volume_from_node(node).array.max() > 0 and shown.translation.provenance.ensemble == 8
    assert panel.change.ui.extraComboBox.itemText(0) == "uncertainty"
    assert panel.parameters.ensemble == 8
    # A model that withdraws it does not offer it, nor what it withdraws of its attributes.
    panel.model.select("brain-contrasts")
    assert not panel.model.ui.uncertaintyCheckBox.enabled and panel.model.ensemble == 1
    assert "do not differ" in panel.model.ui.uncertaintyCheckBox.toolTip
    assert set(panel.attributes.values()) == {"target", "source", "steps", "intermediate"}
    panel.model.select("tiny-ageing")
    assert panel.model.ui.uncertaintyCheckBox.enabled and panel.model.ensemble == 8
    panel.model.ui.uncertaintyCheckBox.setChecked(False)
    assert panel.model.ensemble == 1


def test_apply_is_off_until_something_can_be_translated(panel: Any, slicer_harness: Harness) -> None:
    assert not panel.apply.ui.applyButton.enabled
    assert "scan" in panel.apply.ui.applyButton.toolTip


def test_strength_slider_changes_the_translation_without_the_network(
    shown: Any, panel: Any, slicer_harness: Harness, head_node: Any
) -> None:
    source = volume_from_node(head_node).array
    panel.change.set_strength(0.0)
    slicer_harness.wait(lambda: np.allclose(volume_from_node(shown.nodes.translated).array, source, atol=1e-3))
    panel.change.set_strength(100.0)
    full = shown.translation.translated.array
    slicer_harness.wait(lambda: np.allclose(volume_from_node(shown.nodes.translated).array, full, atol=1e-3))
    assert shown.nodes.translated.GetAttribute("SITTranslate.Strength") == "1"
    panel.change.ui.intensityButton.click()
    expected = source + shown.translation.intensity_change.array
    slicer_harness.wait(lambda: np.allclose(volume_from_node(shown.nodes.translated).array, expected, atol=1e-3))
    assert not transform_display(shown.nodes.motion, "glyphs").GetVisibility()


def test_switches_change_what_is_drawn(shown: Any, panel: Any, scene: Any) -> None:
    ui = panel.change.ui
    ui.gridCheckBox.click()
    ui.glyphsCheckBox.click()
    assert transform_display(shown.nodes.motion, "grid").GetVisibility()
    assert not transform_display(shown.nodes.motion, "glyphs").GetVisibility()
    ui.spacingSlider.value = 9.0
    assert transform_display(shown.nodes.motion, "glyphs").GetGlyphSpacingMm() == 9.0
    change_view = layout.composite_node(scene, layout.CHANGE)
    ui.jacobianMapButton.click()
    assert change_view.GetForegroundVolumeID() == shown.nodes.jacobian.GetID()
    assert panel.titles._shown[layout.CHANGE].text == "What expanded, what shrank"
    ui.noMapButton.click()
    assert change_view.GetForegroundVolumeID() is None


def test_colour_ranges_stay_symmetric_and_shared(shown: Any, panel: Any) -> None:
    panel.change.ui.rangeSlider.value = 50.0
    for node in (shown.nodes.jacobian, shown.nodes.change):
        display = node.GetDisplayNode()
        assert display.GetWindowLevelMin() == pytest.approx(-display.GetWindowLevelMax())
        assert display.GetWindowLevelMax() > 0


def test_our_layout_comes_and_goes(shown: Any, widget: Any, slicer_harness: Harness) -> None:
    assert slicer_harness.layout_manager.layout == layout.LAYOUT_ID
    widget.exit()
    assert slicer_harness.layout_manager.layout != layout.LAYOUT_ID
    widget.enter()
    assert slicer_harness.layout_manager.layout == layout.LAYOUT_ID


def test_cancel_leaves_no_node(panel: Any, slicer_harness: Harness, head_node: Any, scene: Any) -> None:
    choose(slicer_harness, panel, head_node)
    before = scene.GetNumberOfNodes()
    panel.apply.ui.applyButton.click()
    assert panel.apply.ui.cancelButton.enabled
    assert not panel.apply.ui.applyButton.enabled
    panel.apply.ui.cancelButton.click()
    slicer_harness.wait(lambda: not panel.session.running, what="the cancel")
    assert panel.session.shown is None
    assert scene.GetNumberOfNodes() == before
    assert panel.apply.ui.applyButton.enabled


def test_a_second_result_stands_beside_the_first(
    shown: Any, panel: Any, slicer_harness: Harness, head_node: Any, scene: Any
) -> None:
    second = translate(slicer_harness, panel, head_node, age=-20.0)
    assert second is not shown
    assert scene.IsNodePresent(shown.nodes.translated)
    assert second.nodes.translated.GetName() != shown.nodes.translated.GetName()
    panel.change.ui.removeButton.click()
    slicer_harness.wait(lambda: not panel.session.busy, what="the removal")
    assert not scene.IsNodePresent(second.nodes.translated)
    assert scene.IsNodePresent(shown.nodes.translated)
    assert scene.IsNodePresent(head_node)


@pytest.mark.usefixtures("own_host")
def test_a_worker_that_dies_is_told_and_another_starts(
    panel: Any, slicer_harness: Harness, head_node: Any, scene: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = 'if stage == "preparing": os.kill(os.getpid(), signal.SIGKILL)'
    # The panel has asked one for the devices.
    panel.session.host.close()
    monkeypatch.setattr(panel.session.host, "_start", with_fault(fault, tmp_path / "once"))
    choose(slicer_harness, panel, head_node)
    before = scene.GetNumberOfNodes()
    panel.apply.ui.applyButton.click()
    slicer_harness.wait(lambda: not panel.session.running)
    assert "ended unexpectedly" in panel.apply.ui.messageLabel.text
    assert scene.GetNumberOfNodes() == before
    panel.apply.ui.applyButton.click()
    slicer_harness.wait(lambda: not panel.session.running)
    assert panel.session.shown is not None


def test_slicers_own_process_loads_nothing_heavy_to_open_the_panel() -> None:
    import subprocess
    import sys

    here = Path(__file__).resolve().parent
    code = (
        f"import sys; sys.path.insert(0, {str(here)!r})\n"
        "import harness; from pathlib import Path; h = harness.harness()\n"
        f"m, parent = h.load(Path({str(here.parents[1] / 'SITTranslate' / 'SITTranslate.py')!r}))\n"
        "w = h.open(m, 'SITTranslate'); w.cleanup()\n"
        "print([n for n in ('torch', 'monai', 'SimpleITK', 'scipy', 'numba') if n in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip().splitlines()[-1] == "[]"
    assert slicer.app.testingEnabled()


def test_what_the_model_says_besides_can_be_laid_over_the_source(shown: Any, panel: Any, scene: Any) -> None:
    ui, source = panel.change.ui, shown.translation.source
    assert not ui.extraComboBox.visible, "this model says nothing else"
    maps = {"attention 1": source.array / 500.0, "segmentation": (source.array > 100.0).astype(np.float32)}
    more = {name: source.with_array(array.astype(np.float32), name) for name, array in maps.items()}
    nodes = panel.session.show(replace(shown.translation, extras=more), shown.nodes.source)
    view = layout.composite_node(scene, layout.CHANGE)
    ui.extraMapButton.click()
    assert view.GetForegroundVolumeID() == nodes.extras["attention 1"].GetID()
    ui.extraComboBox.setCurrentIndex(1)
    assert view.GetForegroundVolumeID() == nodes.extras["segmentation"].GetID()
    assert panel.titles._shown[layout.CHANGE].text == "segmentation"
    ui.changeMapButton.click()
    assert view.GetForegroundVolumeID() == nodes.change.GetID()


def test_a_chosen_output_takes_the_place_of_the_earlier_result(
    panel: Any, slicer_harness: Harness, head_node: Any, scene: Any
) -> None:
    first = translate(slicer_harness, panel, head_node)
    output, folder = first.nodes.translated, first.nodes.folder
    before = scene.GetNumberOfNodes()
    assert panel.apply.ui.outputSelector.nodes() == [output], "a patient's scan can never be chosen"
    panel.apply.ui.outputSelector.setCurrentNode(output)
    second = translate(slicer_harness, panel, head_node, age=5.0)
    assert second.nodes.translated is output and second.nodes.folder != folder
    assert output.GetName() == "head translated, age +5, lesions +0 (synthetic, research use only)"
    np.testing.assert_array_equal(slicer.util.arrayFromVolume(output), second.translation.translated.array)
    assert [run.folder for run in panel.session.runs()] == [second.nodes.folder]
    assert scene.GetNumberOfNodes() == before
    assert layout.composite_node(scene, layout.TRANSLATED).GetBackgroundVolumeID() == output.GetID()
    assert panel.apply.output is output


def test_the_scan_itself_is_no_output(panel: Any, slicer_harness: Harness, head_node: Any) -> None:
    first = translate(slicer_harness, panel, head_node)
    panel.apply.ui.outputSelector.setCurrentNode(first.nodes.translated)
    choose(slicer_harness, panel, first.nodes.translated)
    panel.apply.ui.applyButton.click()
    assert not panel.session.running
    assert panel.apply.ui.messageLabel.text == "The scan would be overwritten: choose another output."


def test_a_volume_that_slicer_saved_is_known_as_synthetic_again(
    shown: Any, panel: Any, scene: Any, tmp_path: Path
) -> None:
    """NRRD carries the node's attributes; NIfTI has no place for them, but the file takes the node's name."""
    node = shown.nodes.translated
    storage = slicer.vtkMRMLNRRDStorageNode()
    storage.SetFileName(str(tmp_path / "renamed by the user.nrrd"))
    assert storage.WriteData(node)
    again = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "renamed by the user")
    assert storage.ReadData(again)
    assert again.GetAttribute("SITTranslate.Package") == "tiny-ageing"
    panel.input.set_node(again)
    assert "SYNTHETIC" in panel.input.ui.factsLabel.text
    panel.input.set_node(volume_named(scene, node, f"{node.GetName()}.nii"))
    assert "SYNTHETIC" in panel.input.ui.factsLabel.text


def volume_named(scene: Any, node: Any, name: str) -> Any:
    """The voxels of a node alone, as a file without a header of ours brings them."""
    return add_volume_node(scene, volume_from_node(node), name)
