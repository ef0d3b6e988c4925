"""Volumes of structures in the panel: asked for with every result, one line, a table, a node of the scene."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from harness import Harness
from walking import translate

from SITTranslateLib.scene.table import rows_of_node
from SITTranslateLib.structure_table import PARCELLATION, StructureVolume, StructureVolumes


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


def test_the_table_fits_a_narrow_panel_and_its_line_says_who_found_them(panel: Any) -> None:
    rows = [
        ("lateral ventricle", "both", 17.7, 25.8, (30.0, 48.0)),
        ("lateral ventricle", "left", 8.7, 12.8, None),
        ("lateral ventricle", "right", 9.0, 13.0, None),
        ("fourth ventricle", "", 1.9, 1.9, (0.0, 0.0)),
    ]
    found = StructureVolumes(tuple(StructureVolume(*row) for row in rows), PARCELLATION)
    panel.structures._show(found)
    table = panel.structures.ui.structuresTable
    assert [[table.item(row, column).text() for column in range(4)] for row in (0, 1)] == [
        ["lateral ventricles", "17.7 to 25.8\n+46 %", "L +47 %\nR +44 %", "+30\nto +48 %"],
        ["fourth ventricle", "1.9 to 1.9\n+0.0 %", "", "no change"],
    ]
    # A panel of 420 pixels leaves the columns 355 where a letter takes 7.
    letters = sum(table.columnWidth(column) for column in range(4)) / table.fontMetrics().averageCharWidth()
    assert letters <= 58
    assert panel.structures.ui.structuresLabel.text.startswith("Found by the program: Lateral ventricles 17.7 to")
    panel.change.show_volumes({
        "segments": [{"name": "Lateral ventricles", "change_percent": 53.0, "volume_before_mm3": 20000.0}]
    })  # fmt: skip
    assert panel.change.ui.volumesLabel.text == "Your segments: Lateral ventricles +53 %"


def test_they_are_drawn_before_and_after_unless_the_users_own_segments_are(
    panel: Any, slicer_harness: Harness, head_node: Any
) -> None:
    shown = translate(slicer_harness, panel, head_node)
    head = shown.translation.source
    labels = head.with_array(np.zeros(head.shape, np.float32))
    labels.array[14:22, 14:22, 14:22] = 4
    for name in ("left lateral ventricle", "another"):
        panel.structures._draw(labels, {4: name})
        slicer_harness.wait(lambda: not panel.session.busy, what="the contours")
        drawn = [node for node in shown.nodes.nodes if node.IsA("vtkMRMLSegmentationNode")]
        assert [node.GetAttribute("SITTranslate.Role") for node in drawn] == ["contours before", "contours after"]
        assert drawn[0].GetSegmentation().GetNthSegment(0).GetName() == "left lateral ventricle"
    assert drawn[1].GetTransformNodeID() == shown.nodes.motion.GetID()


def test_a_refusal_is_shown_in_the_section(panel: Any, slicer_harness: Harness, head_node: Any) -> None:
    shown = translate(slicer_harness, panel, head_node)
    assert panel.structures.found is None and panel.structures.ui.structuresLabel.text == ""
    panel.session.host.forget(shown.translation)
    panel.structures.ask()
    assert "no longer held" in panel.structures.ui.structuresLabel.text
