"""Keyboard shortcuts for viewing a result while the module is open."""

from __future__ import annotations

from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SITTranslateLib.scene import layout, presentation
from SITTranslateLib.scene.presentation import show_motion
from SITTranslateLib.ui.session import Session
from SITTranslateLib.ui.trace_section import TraceSection

#: Key and what it does. None of them is one of Slicer's own: a key that two things claim does neither. Alt with an
#: arrow is taken by Slicer's module history, Alt with F, E, V, H by its menus.
KEYS = {
    "Alt+T": "flicker",
    "Alt+O": "toggle_overlay",
    "Alt+N": "next_change",
    "Alt+P": "previous_change",
}


class Keys:
    """Shortcuts on Slicer's main window, or on the panel's window where there is none.

    Args:
        parent: any widget of the panel.
        session: has the result that is looked at.
        trace: has the list of changes.
    """

    def __init__(self, parent: Any, session: Session, trace: TraceSection) -> None:
        self.session, self.trace = session, trace
        self._overlay: tuple[Any, float] | None = None
        self._shortcuts = []
        for key, name in KEYS.items():
            shortcut = qt.QShortcut(slicer.util.mainWindow() or parent)
            shortcut.setKey(qt.QKeySequence(key))
            shortcut.activated.connect(getattr(self, name))
            self._shortcuts.append(shortcut)
        self.set_active(False)

    def set_active(self, active: bool) -> None:
        for shortcut in self._shortcuts:
            shortcut.setEnabled(active)

    def flicker(self) -> None:
        """The source in the place of the translated scan, and back: what changed jumps to the eye."""
        shown, scene = self.session.shown, slicer.mrmlScene
        composite = layout.composite_node(scene, layout.TRANSLATED)
        if shown is None or composite is None:
            return
        nodes = shown.nodes
        is_source = composite.GetBackgroundVolumeID() == nodes.source.GetID()
        layout.show_volumes(scene, layout.TRANSLATED, nodes.translated if is_source else nodes.source)

    def toggle_overlay(self) -> None:
        """Arrows and colours off, so that the scan can be seen, and on again."""
        shown, scene = self.session.shown, slicer.mrmlScene
        composite = layout.composite_node(scene, layout.CHANGE)
        if shown is None or composite is None:
            return
        nodes = shown.nodes
        if composite.GetForegroundVolumeID() is None and self._overlay is not None:
            node, opacity = self._overlay
            self._overlay = None
            kept = node is not None and scene.IsNodePresent(node)
            layout.show_volumes(scene, layout.CHANGE, nodes.source, node if kept else None, opacity)
            show_motion(scene, nodes, "glyphs")
            return
        self._overlay = (scene.GetNodeByID(composite.GetForegroundVolumeID() or ""), presentation.OVERLAY_OPACITY)
        layout.show_volumes(scene, layout.CHANGE, nodes.source)
        show_motion(scene, nodes, None)

    def next_change(self) -> None:
        self.trace.step(1)

    def previous_change(self) -> None:
        self.trace.step(-1)


def key_words() -> str:
    """The keys, for the panel."""
    return _("Alt+T: source and translated in turn. Alt+O: overlays. Alt+N, Alt+P: next, previous change.")
