"""Volumes of structures in the panel: asked for with every result, one line, a table, a node of the scene."""

from __future__ import annotations

from typing import Any

import pytest
from harness import Harness
from walking import translate

from SITTranslateLib.scene.table import rows_of_node


def test_they_come_with_a_result(panel: Any, slicer_harness: Harness, head_node: Any, scene: Any) -> None:
    panel.structures.automatic = True
    translate(slicer_harness, panel, head_node)
    section = panel.structures
    slicer_harness.wait(lambda: section.found is not None, what="the structures")
    table = section.ui.structuresTable
    assert table.rowCount == len(section.found.whole)
    assert section.found.note in section.ui.structuresLabel.text
    nodes = [
        scene.GetNthNodeByClass(n, "vtkMRMLTableNode") for n in range(scene.GetNumberOfNodesByClass("vtkMRMLTableNode"))
    ]
    if section.found:
        assert section.found.headline() in section.ui.structuresLabel.text
        assert table.item(0, 0).text() == "whole brain"
        (node,) = [one for one in nodes if one.GetName().endswith("structures")]
        rows = rows_of_node(node)
        assert rows[0]["before_ml"] == pytest.approx(section.found[0].before_ml, abs=1e-3)
    panel.session.remove_shown()
    assert section.found is None and table.rowCount == 0 and section.ui.structuresLabel.text == ""
    assert scene.GetNumberOfNodesByClass("vtkMRMLTableNode") == 0


def test_a_refusal_is_shown_in_the_section(panel: Any, slicer_harness: Harness, head_node: Any) -> None:
    shown = translate(slicer_harness, panel, head_node)
    assert panel.structures.found is None and panel.structures.ui.structuresLabel.text == ""
    panel.session.host.forget(shown.translation)
    panel.structures.ask()
    assert "no longer held" in panel.structures.ui.structuresLabel.text
