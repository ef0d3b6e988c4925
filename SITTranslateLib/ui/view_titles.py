"""Titles of Slicer's views, and the mark of every synthetic picture.

The words follow from the nodes that say what a view shows, whoever changed them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from SITTranslateLib.host.signals import Signal
from SITTranslateLib.scene import layout
from SITTranslateLib.scene.annotation import add_sides, annotate, side_letter
from SITTranslateLib.scene.display import arrow_words, transform_display
from SITTranslateLib.scene.extras import STEPS
from SITTranslateLib.scene.result import SceneResult, request_of_node
from SITTranslateLib.scene.runs import PREFIX

#: Ways to draw a motion, by the kind of their display nodes.
MOTION_KINDS = ("glyphs", "grid", "contours", "arrows")


@dataclass(frozen=True)
class Title:
    """What a view shows, and whether a model made any of it."""

    text: str
    synthetic: bool


def titles_of(scene: Any, nodes: SceneResult) -> dict[str, Title]:
    """The title of each of our views, from the nodes that it shows."""
    compared = _background(scene, layout.CHANGE)
    if not _is_another(compared, nodes):
        compared = None
    titles = {name: _slice_title(scene, name, nodes, compared) for name in layout.SLICES}
    arrows = transform_display(nodes.motion, "arrows") if nodes.motion is not None else None
    moved = arrows is not None and bool(arrows.GetVisibility())
    coloured = nodes.outline is not None and bool(nodes.outline.GetDisplayNode().GetScalarVisibility())
    words = _("What expanded, what shrank (3D)") if coloured else _("Outline of the source")
    titles[layout.THREE_D] = Title(_motion_title(nodes) + _(" (3D)") if moved else words, moved or coloured)
    return titles


def _background(scene: Any, name: str) -> Any:
    composite = layout.composite_node(scene, name)
    return scene.GetNodeByID(composite.GetBackgroundVolumeID() or "") if composite is not None else None


def _is_another(node: Any, nodes: SceneResult) -> bool:
    """Whether a node is the translated scan of another result."""
    return node not in (None, nodes.translated) and node.GetAttribute(f"{PREFIX}Role") == "translated"


def _slice_title(scene: Any, name: str, nodes: SceneResult, compared: Any) -> Title:
    composite = layout.composite_node(scene, name)
    if composite is None:
        return Title("", False)
    background = scene.GetNodeByID(composite.GetBackgroundVolumeID() or "")
    foreground = scene.GetNodeByID(composite.GetForegroundVolumeID() or "")
    drawn = name == layout.MOTION and _is_drawn(nodes)
    if background is None and foreground is None and not drawn:
        return Title("", False)
    over = _map_title(foreground, nodes)
    if over is None and foreground is not None and composite.GetForegroundOpacity() > 0:
        over = foreground.GetName()
    synthetic = drawn or (over is not None and is_synthetic(foreground)) or is_synthetic(background)
    if drawn:
        return Title(_motion_title(nodes) + arrow_words(nodes.motion), True)
    return Title(over or _scan_title(background, nodes, compared), synthetic)


def _scan_title(node: Any, nodes: SceneResult, compared: Any) -> str:
    if node is nodes.source:
        return _("Source")
    if node is nodes.translated and not nodes.made_here:
        # Whether the second scan of a pair is synthetic is unknown.
        return _("Second scan")
    if compared is not None and node in (compared, nodes.translated):
        return _compared_title(node, by_model=_package(compared) != _package(nodes.translated))
    if node is nodes.translated:
        return _("Translated")
    return node.GetName() if node is not None else ""


def _compared_title(node: Any, *, by_model: bool) -> str:
    """Two translated scans are named by what was asked for, and by their models where those differ."""
    made = _("Translated by {model}").format(model=_package(node)) if by_model else _("Translated")
    request = request_of_node(node)
    return f"{made}: {request}" if request else made


def _package(node: Any) -> str:
    return node.GetAttribute(f"{PREFIX}Package") or _("another program")


def _map_title(node: Any, nodes: SceneResult) -> str | None:
    if node is None:
        return None
    if node is nodes.change:
        return _("How the intensity changed")
    if node is nodes.jacobian:
        return _("What expanded, what shrank")
    name = next((name for name, extra in nodes.extras.items() if extra is node), None)
    return _("Step by step") if name == STEPS else name


def _motion_title(nodes: SceneResult) -> str:
    estimated = _(" (estimated)") if nodes.field_origin == "estimated" else ""
    return _("How the anatomy moved") + estimated


def _is_drawn(nodes: SceneResult) -> bool:
    if nodes.motion is None:
        return False
    displays = [transform_display(nodes.motion, kind) for kind in MOTION_KINDS if kind != "arrows"]
    return any(display is not None and display.GetVisibility() for display in displays)


def is_synthetic(node: Any) -> bool:
    """Whether a model made a node."""
    return node is not None and node.GetAttribute(f"{PREFIX}Synthetic") == "1"


class ViewTitles:
    """Puts titles and the letters of the sides into our views while they are shown, and takes them out again.

    Attributes:
        changed: emitted when what a view shows was changed.
    """

    def __init__(self) -> None:
        self.changed = Signal()
        self._nodes: SceneResult | None = None
        self._shown: dict[str, Title] = {}
        self._placed: list[tuple[Any, Any]] = []
        self._sides: dict[str, tuple[Any, list[Any], tuple[str, ...]]] = {}
        self._observers: list[tuple[Any, int]] = []
        self._letters: list[tuple[Any, int]] = []

    def follow(self, nodes: SceneResult) -> None:
        """Title each view of ours that exists, and again whenever it shows something else."""
        self.clear()
        self._nodes = nodes
        scene = slicer.mrmlScene
        observed = [layout.composite_node(scene, name) for name in layout.SLICES]
        if nodes.motion is not None:
            observed += [transform_display(nodes.motion, kind) for kind in MOTION_KINDS]
        for node in observed:
            if node is not None:
                self._observers.append((node, node.AddObserver("ModifiedEvent", self._on_changed)))
        self._write()

    def clear(self) -> None:
        for node, tag in self._observers:
            node.RemoveObserver(tag)
        self._nodes, self._observers = None, []
        self._take_out()

    def _on_changed(self, *_event: Any) -> None:
        if self._nodes is not None and titles_of(slicer.mrmlScene, self._nodes) != self._shown:
            self._write()
        self.changed.emit()

    def _write(self) -> None:
        assert self._nodes is not None
        self._take_out()
        self._shown = titles_of(slicer.mrmlScene, self._nodes)
        manager = slicer.app.layoutManager()
        if manager is None:
            return
        for name, title in self._shown.items():
            view = view_named(manager, name)
            if view is None or not title.text:
                continue
            renderer = view.renderWindow().GetRenderers().GetFirstRenderer()
            for actor in annotate(renderer, title.text, synthetic=title.synthetic, size=16):
                self._placed.append((renderer, actor))
            node = layout.slice_node(slicer.mrmlScene, name)
            if node is not None:
                self._letter(name, renderer, node)
                # A turned view must not keep the letters of another plane.
                tag = node.AddObserver("ModifiedEvent", lambda *_, n=name, r=renderer, v=node: self._letter(n, r, v))
                self._letters.append((node, tag))
            view.scheduleRender()

    def _take_out(self) -> None:
        for node, tag in self._letters:
            node.RemoveObserver(tag)
        for renderer, actor in self._placed:
            renderer.RemoveViewProp(actor)
        for renderer, actors, _names in self._sides.values():
            for actor in actors:
                renderer.RemoveViewProp(actor)
        self._placed, self._letters, self._sides, self._shown = [], [], {}, {}

    def _letter(self, name: str, renderer: Any, node: Any) -> None:
        shown = self._sides.get(name)
        matrix = node.GetXYToRAS()
        across = np.array([matrix.GetElement(row, 0) for row in range(3)])
        letters = (side_letter(-across), side_letter(across))
        if shown is not None and shown[2] == letters:
            return
        if shown is not None:
            for actor in shown[1]:
                renderer.RemoveViewProp(actor)
        actors = add_sides(renderer, node, 15)
        # Left and right only: the title stands where the upper letter would.
        for actor in actors[2:]:
            renderer.RemoveViewProp(actor)
        self._sides[name] = (renderer, actors[:2], letters)


def view_named(manager: Any, name: str) -> Any:
    """The view widget of that name; None if the layout does not show it."""
    if name == layout.THREE_D:
        for index in range(manager.threeDViewCount):
            view = manager.threeDWidget(index).threeDView()
            node = view.mrmlViewNode()
            if node is not None and node.GetSingletonTag() == name:
                return view
        return None
    widget = manager.sliceWidget(name)
    return widget.sliceView() if widget is not None else None
