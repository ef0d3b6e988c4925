"""Traced points as two lists of markups: positions in the source, and their partners in the translation."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from SITTranslateLib.scene import layout
from SITTranslateLib.scene.colours import AFTER, BEFORE
from SITTranslateLib.scene.picking import active_list_kept
from SITTranslateLib.scene.presentation import put_with
from SITTranslateLib.scene.result import SceneResult
from SITTranslateLib.scene.runs import PREFIX

SOURCE_COLOUR, TRANSLATED_COLOUR = BEFORE, AFTER


class PointPairs:
    """Two lists of points with the same labels: one in the views of the source, one in that of the translation."""

    def __init__(self, scene: Any, source: Any, translated: Any) -> None:
        self._scene, self.source, self.translated = scene, source, translated

    @classmethod
    def adding(cls, scene: Any, result: SceneResult) -> Generator[None, None, PointPairs]:
        """Add both lists to the folder of a result, in steps of a list."""
        name = result.source.GetName()
        views = [layout.view_id(view) for view in (layout.SOURCE, layout.MOTION, layout.CHANGE)]
        source = _point_list(scene, f"{name} points", SOURCE_COLOUR, views)
        yield
        views = [layout.view_id(layout.TRANSLATED)]
        translated = _point_list(scene, f"{name} points in the translation", TRANSLATED_COLOUR, views)
        for node, role in ((source, "points"), (translated, "translated points")):
            node.SetAttribute(PREFIX + "Role", role)
            put_with(scene, result, node)
        return cls(scene, source, translated)

    def add(self, label: str, source: Sequence[float], translated: Sequence[float]) -> None:
        for node, point in ((self.source, source), (self.translated, translated)):
            index = node.AddControlPointWorld(*(float(value) for value in point))
            node.SetNthControlPointLabel(index, label)
            node.SetNthControlPointLocked(index, True)

    def remove(self, but: Any = None) -> None:
        """Take both lists out of the scene, but for one that is going already."""
        for node in (self.source, self.translated):
            if node is not but and self._scene.IsNodePresent(node):
                self._scene.RemoveNode(node)


def _point_list(scene: Any, name: str, colour: tuple[float, float, float], views: list[str]) -> Any:
    with active_list_kept(scene):
        node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", scene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetSelectedColor(*colour)
    display.SetColor(*colour)
    display.SetTextScale(4.0)
    display.SetUseGlyphScale(True)
    display.SetGlyphScale(2.5)
    # A partner rarely lies in the very slice that is shown: draw it on the slice all the same, paler.
    display.SetSliceProjection(True)
    display.SetSliceProjectionUseFiducialColor(True)
    display.SetSliceProjectionOpacity(0.75)
    for view in views:
        display.AddViewNodeID(view)
    return node
