"""Words in Slicer's views: what each of our views shows, and the mark of every synthetic picture."""

from __future__ import annotations

from typing import Any

import slicer

from SITTranslateLib.scene import layout
from SITTranslateLib.scene.annotation import annotate


class ViewTitles:
    """Puts titles into our views while they are shown, and takes them out again."""

    def __init__(self) -> None:
        self._placed: list[tuple[Any, Any]] = []

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
            view.scheduleRender()

    def clear(self) -> None:
        for renderer, actor in self._placed:
            renderer.RemoveViewProp(actor)
        self._placed = []


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
