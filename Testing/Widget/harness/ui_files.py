"""Loading ``.ui`` files with Slicer's widgets in them, strictly."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from harness import ctk_widgets, mrml_widgets
from harness.pythonqt import let_speak_pythonqt

STAND_INS = {cls.__name__: cls for cls in (*ctk_widgets.WIDGETS, *mrml_widgets.WIDGETS)}


class UiFileError(RuntimeError):
    """A class or property in a ``.ui`` file that does not exist."""


class UiLoader(QtUiTools.QUiLoader):
    """``qt.QUiLoader`` that knows the stand-ins and refuses what Slicer would silently drop."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        for cls in STAND_INS.values():
            self.registerCustomWidget(cls)

    def load(self, device: Any, parent: Any = None) -> Any:
        if isinstance(device, QtCore.QFile):
            check(Path(device.fileName()))
            if not device.isOpen():
                device.open(QtCore.QFile.ReadOnly)
        widget = super().load(device, parent)
        if widget is not None:
            inside = [widget, *widget.findChildren(QtCore.QObject)]
            if isinstance(device, QtCore.QFile):
                widget.__dict__["_scene_receivers"] = [
                    child for child in inside if child.objectName in scene_receivers(Path(device.fileName()))
                ]
            # PySide6 forgets what was put on an object when its last Python reference goes.
            widget.__dict__["_kept"] = inside
            for child in inside:
                let_speak_pythonqt(child)
        return widget


def scene_receivers(path: Path) -> set[str]:
    """Names of the widgets that the file connects with the scene of its root."""
    connections = ElementTree.parse(path).getroot().iter("connection")
    return {
        str(connection.findtext("receiver"))
        for connection in connections
        if str(connection.findtext("signal")).startswith("mrmlSceneChanged")
    }


def check(path: Path) -> None:
    """Raise for classes, properties, senders and receivers that do not exist.

    Raises:
        UiFileError: with every fault of the file.
    """
    root = ElementTree.parse(path).getroot()
    faults = []
    names = {element.get("name") for element in root.iter("widget")}
    for element in root.iter("widget"):
        kind, name = element.get("class", ""), element.get("name")
        cls = STAND_INS.get(kind) or getattr(QtWidgets, kind, None)
        if cls is None:
            faults.append(f"{name}: there is no widget {kind}")
            continue
        for described in element.findall("property"):
            wanted = described.get("name", "")
            if described.get("stdset") != "0" and cls.staticMetaObject.indexOfProperty(wanted) < 0:
                faults.append(f"{name}: a {kind} has no property {wanted}")
    for connection in root.iter("connection"):
        for end in ("sender", "receiver"):
            if connection.findtext(end) not in names:
                faults.append(f"there is no {end} '{connection.findtext(end)}'")
    if faults:
        raise UiFileError(f"{path.name}: " + "; ".join(faults))
