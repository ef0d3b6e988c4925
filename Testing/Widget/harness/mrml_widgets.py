# ruff: noqa: N801, N815 - the names are Slicer's
"""The qMRML widgets that the module uses, on a real scene."""

from __future__ import annotations

from typing import Any

import shiboken6
import vtk
from PySide6 import QtWidgets
from PySide6.QtCore import Property, Signal

from harness.pythonqt import speaks_pythonqt


@speaks_pythonqt
class qMRMLWidget(QtWidgets.QWidget):
    """Hands its scene to the widgets that the ``.ui`` file connects with it, and as in Slicer to no others."""

    mrmlSceneChanged = Signal(object)

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self.mrmlScene():
            return
        self.__dict__["_scene"] = scene
        for receiver in self.__dict__.get("_scene_receivers", ()):
            receiver.setMRMLScene(scene)
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self.__dict__.get("_scene")


class qSlicerWidget(qMRMLWidget):
    """What a module's widget is put into."""


def _stored(kind: Any, name: str, default: Any) -> Any:
    """A Qt property that only stores its value and has the list of nodes made again."""

    def read(self: Any) -> Any:
        return self.__dict__.get(f"_{name}", list(default) if isinstance(default, list) else default)

    def write(self: Any, value: Any) -> None:
        self.__dict__[f"_{name}"] = value
        self.refresh()

    return Property(kind, read, write)


@speaks_pythonqt
class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Chooses a node: follows the scene, and like Slicer selects the first node by itself unless none is allowed."""

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeAddedByUser = Signal(object)

    nodeTypes = _stored("QStringList", "nodeTypes", [])
    showChildNodeTypes = _stored(bool, "showChildNodeTypes", True)
    showHidden = _stored(bool, "showHidden", False)
    noneEnabled = _stored(bool, "noneEnabled", False)
    noneDisplay = _stored(str, "noneDisplay", "None")
    addEnabled = _stored(bool, "addEnabled", True)
    removeEnabled = _stored(bool, "removeEnabled", True)
    renameEnabled = _stored(bool, "renameEnabled", False)
    editEnabled = _stored(bool, "editEnabled", False)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        box = QtWidgets.QHBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        self._box = QtWidgets.QComboBox(self)
        box.addWidget(self._box)
        self._scene: Any = None
        self._attributes: list[tuple[str, str, Any]] = []
        self._observers: list[int] = []
        self._identifiers: list[str | None] = []
        self._current: str | None = None
        self._box.activated.connect(self._on_activated)

    def setMRMLScene(self, scene: Any) -> None:
        if self._scene is not None:
            for tag in self._observers:
                self._scene.RemoveObserver(tag)
        self._scene, self._observers = scene, []
        if scene is not None:
            for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndCloseEvent, scene.EndImportEvent,
                          scene.EndBatchProcessEvent):  # fmt: skip
                self._observers.append(scene.AddObserver(event, lambda *_: self.refresh()))

            @vtk.calldata_type(vtk.VTK_OBJECT)
            def on_going(_caller: Any, _event: str, node: Any) -> None:
                self._choose_neighbour(node)

            self._observers.append(scene.AddObserver(scene.NodeAboutToBeRemovedEvent, on_going))
        self.refresh()

    def mrmlScene(self) -> Any:
        return self._scene

    def nodes(self) -> list[Any]:
        if self._scene is None:
            return []
        collection = self._scene.GetNodes()
        every = (collection.GetItemAsObject(index) for index in range(collection.GetNumberOfItems()))
        return [node for node in every if self._fits(node)]

    def nodeCount(self) -> int:
        return len(self.nodes())

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self._current) if self._scene is not None and self._current else None

    def setCurrentNode(self, node: Any) -> None:
        self._choose(node.GetID() if isinstance(node, vtk.vtkObject) else (node or None))

    def setCurrentNodeID(self, identifier: str) -> None:
        self._choose(identifier or None)

    currentNodeID = Property(str, lambda self: self._current or "", setCurrentNodeID)

    def refresh(self) -> None:
        # An observer may outlive its widget.
        if "_current" not in self.__dict__ or not shiboken6.isValid(self):
            return
        if self._scene is None or self._scene.IsBatchProcessing():
            return
        nodes = self.nodes()
        self._identifiers = ([None] if self.noneEnabled else []) + [node.GetID() for node in nodes]
        blocked = self._box.blockSignals(True)
        self._box.clear()
        self._box.addItems(([self.noneDisplay] if self.noneEnabled else []) + [n.GetName() or "" for n in nodes])
        self._box.blockSignals(blocked)
        wanted = self._current if self._current in self._identifiers else None
        if wanted is None and nodes and not self.noneEnabled:
            wanted = nodes[0].GetID()
        self._choose(wanted)
        self._mark()

    def _choose_neighbour(self, node: Any) -> None:
        """As Qt does when the row of the current node goes: the row beside it becomes the current one."""
        if "_current" not in self.__dict__ or not shiboken6.isValid(self) or node.GetID() != self._current:
            return
        nodes = self.nodes()
        index = next((i for i, other in enumerate(nodes) if other is node), 0)
        others = nodes[index + 1 :] + nodes[:index][::-1]
        self._choose(others[0].GetID() if others else None)

    def _fits(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        kind = next(
            (t for t in self.nodeTypes if (node.IsA(t) if self.showChildNodeTypes else node.GetClassName() == t)), None
        )
        return kind is not None and all(
            node.GetAttribute(name) == value for wanted, name, value in self._attributes if wanted == kind
        )

    def addAttribute(self, node_type: str, name: str, value: Any = None) -> None:
        """List only nodes of that type with this attribute."""
        self._attributes.append((node_type, name, value))
        self.refresh()

    def _mark(self) -> None:
        blocked = self._box.blockSignals(True)
        known = self._current in self._identifiers
        self._box.setCurrentIndex(self._identifiers.index(self._current) if known else -1)
        self._box.blockSignals(blocked)

    def _choose(self, identifier: str | None) -> None:
        if identifier == self._current:
            return
        self._current = identifier
        self._mark()
        self.currentNodeChanged.emit(self.currentNode())
        self.currentNodeIDChanged.emit(identifier or "")

    def _on_activated(self, index: int) -> None:
        self._choose(self._identifiers[index])


WIDGETS = (qMRMLWidget, qSlicerWidget, qMRMLNodeComboBox)
