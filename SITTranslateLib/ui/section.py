"""Base of the panel's sections: a ``.ui`` file and its widgets by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt
import slicer

from SITTranslateLib.ui.session import Session

Resource = Callable[[str], str]


class _Height(qt.QObject):
    """Holds a widget at the height that its wrapped labels need: Slicer's panel gives no more than the minimum."""

    def eventFilter(self, widget: Any, event: Any) -> bool:
        if event.type() in (qt.QEvent.Resize, qt.QEvent.LayoutRequest):
            # -1 where no wrapped label is shown: the minimum of the layout is enough then.
            height = max(int(widget.heightForWidth(widget.width)), 0)
            if int(widget.minimumHeight) != height:
                widget.setMinimumHeight(height)
        return False


class Section:
    """Base of the sections; ``UI`` names the file in Resources/UI.

    Attributes:
        widget: the section's root widget.
        ui: its widgets by name.
    """

    UI = ""

    def __init__(self, session: Session, resource: Resource) -> None:
        self.session = session
        self.widget: Any = slicer.util.loadUI(resource(f"UI/{self.UI}.ui"))
        self.ui: Any = slicer.util.childWidgetVariables(self.widget)
        self.widget.setMRMLScene(slicer.mrmlScene)
        self._height = _Height()
        self.widget.installEventFilter(self._height)

    def let_go(self, node: Any) -> None:
        """A node is about to leave the scene: no selector may keep it, or Slicer chooses its neighbour instead."""
        for selector in vars(self.ui).values():
            if isinstance(selector, slicer.qMRMLNodeComboBox) and selector.currentNode() is node:
                selector.setCurrentNode(None)

    def set_scene(self, scene: Any) -> None:
        self.widget.setMRMLScene(scene)


def show_text(label: Any, text: str) -> None:
    """Put a text into a label; an empty one is hidden."""
    label.setText(text)
    label.setVisible(bool(text))
