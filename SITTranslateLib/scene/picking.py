"""Clicks in the views as points, by Slicer's place mode, whose state is restored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

_CLASS = "vtkMRMLMarkupsFiducialNode"


@contextmanager
def active_list_kept(scene: Any) -> Iterator[None]:
    """Keep the list that clicks go to: Slicer makes every new markups node the active one."""
    selection = scene.GetSingletonNode("Singleton", "vtkMRMLSelectionNode")
    active = selection.GetActivePlaceNodeID() if selection is not None else None
    try:
        yield
    finally:
        if selection is not None:
            selection.SetActivePlaceNodeID(active)


class Picker:
    """Place mode with a hidden list of points that each click empties again.

    Args:
        scene: the scene.
        picked: called with the RAS point (mm) of every click.
        ended: called when place mode ends elsewhere, by the tool bar or a key.
    """

    def __init__(self, scene: Any, picked: Callable[[list[float]], None], ended: Callable[[], None]) -> None:
        import slicer

        self._scene, self._picked, self._ended = scene, picked, ended
        self._observers: list[tuple[Any, int]] = []
        self._before: dict[str, Any] = {}
        with active_list_kept(scene):
            self.node: Any = scene.AddNewNodeByClass(_CLASS, "Trace")
        self.node.SetHideFromEditors(True)
        self.node.SetSaveWithScene(False)
        self.node.CreateDefaultDisplayNodes()
        self.node.GetDisplayNode().SetPointLabelsVisibility(False)
        self._observe(self.node, slicer.vtkMRMLMarkupsNode.PointPositionDefinedEvent, self._on_point)
        selection, interaction = self._singletons()
        if selection is None or interaction is None:
            return
        self._before = {
            "class": selection.GetActivePlaceNodeClassName(),
            "list": selection.GetActivePlaceNodeID(),
            "persistence": interaction.GetPlaceModePersistence(),
        }
        selection.SetReferenceActivePlaceNodeClassName(_CLASS)
        selection.SetActivePlaceNodeID(self.node.GetID())
        interaction.SetPlaceModePersistence(1)
        interaction.SetCurrentInteractionMode(interaction.Place)
        self._observe(interaction, interaction.InteractionModeChangedEvent, self._on_mode)

    def stop(self) -> None:
        """Leave place mode and give back the active list and whether the mode persists."""
        for node, tag in self._observers:
            node.RemoveObserver(tag)
        self._observers = []
        selection, interaction = self._singletons()
        if self._before and selection is not None and interaction is not None:
            interaction.SetPlaceModePersistence(self._before["persistence"])
            if interaction.GetCurrentInteractionMode() == interaction.Place:
                interaction.SetCurrentInteractionMode(interaction.ViewTransform)
            selection.SetReferenceActivePlaceNodeClassName(self._before["class"])
        node, self.node = self.node, None
        if node is not None and self._scene.IsNodePresent(node):
            self._scene.RemoveNode(node)
        if self._before and selection is not None:
            kept = self._scene.GetNodeByID(self._before["list"] or "")
            selection.SetActivePlaceNodeID(kept.GetID() if kept is not None else None)
        self._before = {}

    def _singletons(self) -> tuple[Any, Any]:
        names = ("vtkMRMLSelectionNode", "vtkMRMLInteractionNode")
        selection, interaction = (self._scene.GetSingletonNode("Singleton", name) for name in names)
        return selection, interaction

    def _observe(self, node: Any, event: Any, method: Any) -> None:
        self._observers.append((node, node.AddObserver(event, method)))

    def _on_point(self, *_event: Any) -> None:
        if self.node.GetNumberOfDefinedControlPoints() == 0:
            return
        place = np.zeros(3)
        self.node.GetNthControlPointPositionWorld(self.node.GetNumberOfControlPoints() - 1, place)
        self.node.RemoveAllControlPoints()
        self._picked([float(value) for value in place])

    def _on_mode(self, *_event: Any) -> None:
        interaction = self._singletons()[1]
        if interaction is not None and interaction.GetCurrentInteractionMode() != interaction.Place:
            self._ended()
