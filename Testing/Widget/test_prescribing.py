"""A prescribed change from the panel: the table is filled, edited, saved, opened, and done on the chosen scan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import Harness

from SITTranslateLib.systems.prescribed.changes import read_table
from SITTranslateLib.systems.prescribed.presets import preset_changes


def test_a_preset_fills_the_table_and_a_file_keeps_it(panel: Any, slicer_harness: Harness, tmp_path: Path) -> None:
    section = panel.prescribe
    assert section.changes() == {}
    section.ui.yearsSpinBox.value = 20.0
    section.fill()
    slicer_harness.wait(lambda: bool(section.changes()), what="the preset")
    expected = preset_changes("healthy-ageing", 60.0, 20.0)
    assert section.changes() == {name: f"{value:+.1f} %" for name, value in expected.items()}
    section.ui.changesTable.item(3, 2).setText("-9 %")
    assert section.changes()["left hippocampus"] == "-9 %"
    file = tmp_path / "changes.toml"
    section.save_table(str(file))
    kept = read_table(file)
    assert kept.years == 20.0 and str(kept.changes["left hippocampus"]) == "-9 %"
    section.set_changes({})
    section.open_table(str(file))
    slicer_harness.wait(lambda: bool(section.changes()), what="the file")
    assert section.changes()["left hippocampus"] == "-9 %"


def test_what_cannot_be_done_is_said_below_the_table(panel: Any, slicer_harness: Harness, head_node: Any) -> None:
    section = panel.prescribe
    section.ui.prescribeButton.click()
    assert "Choose a scan" in section.ui.prescribeLabel.text
    panel.input.set_node(head_node)
    section.ui.prescribeButton.click()
    assert "fill in the table" in section.ui.prescribeLabel.text
    section.set_changes({"hippocampus": "much"})
    section.ui.prescribeButton.click()
    slicer_harness.wait(lambda: not panel.session.running, what="the refusal")
    assert panel.session.shown is None and "much" in panel.apply.ui.messageLabel.text
