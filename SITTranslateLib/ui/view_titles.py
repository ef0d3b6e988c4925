"""Words in Slicer's views: what each of our views shows, and the mark of every synthetic picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer

from SITTranslateLib.scene import layout
from SITTranslateLib.scene.annotation import add_sides, annotate, side_letter


class ViewTitles:
    """Puts titles and the letters of the sides into our views while they are shown, and takes them out again."""

    def __init__(self) -> None:
        self._placed: list[tuple[Any, Any]] = []
        self._sides: dict[str, tuple[Any, list[Any], tuple[str, ...]]] = {}
        self._observers: list[tuple[Any, int]] = []

    def show(self, titles: dict[str, str], synthetic: set[str]) -> None:
        """Title each view of ours that exists.

        Args:
            titles: text by view name.
            synthetic: views that show anything a model made.
        """
        self.clear()
        manager = slicer.app.layoutManager()
        if manager is None:
            return
        for name, title in titles.items():
            view = _view(manager, name)
            if view is None:
                continue
            renderer = view.renderWindow().GetRenderers().GetFirstRenderer()
            for actor in annotate(renderer, title, synthetic=name in synthetic, size=16):
                self._placed.append((renderer, actor))
            node = layout.slice_node(slicer.mrmlScene, name)
            if node is not None:
                self._letter(name, renderer, node)
                # A turned view must not keep the letters of another plane.
                tag = node.AddObserver("ModifiedEvent", lambda *_, n=name, r=renderer, v=node: self._letter(n, r, v))
                self._observers.append((node, tag))
            view.scheduleRender()

    def clear(self) -> None:
        for node, tag in self._observers:
            node.RemoveObserver(tag)
        for renderer, actor in self._placed:
            renderer.RemoveViewProp(actor)
        for renderer, actors, _letters in self._sides.values():
            for actor in actors:
                renderer.RemoveViewProp(actor)
        self._placed, self._observers, self._sides = [], [], {}

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


def _view(manager: Any, name: str) -> Any:
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
