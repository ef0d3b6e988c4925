"""``slicer.app.layoutManager()`` with off-screen views: Slicer's own layout logic decides which there are."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import slicer
import vtk

from SITTranslateLib.scene.headless.application import Application
from SITTranslateLib.scene.headless.opengl import opengl_missing
from SITTranslateLib.scene.headless.views import Pixels, SliceView, ThreeDView

_SLICE, _SPACE = "vtkMRMLSliceNode", "vtkMRMLViewNode"
_BAR = 18


class _ViewWidget:
    """What scripts ask of ``sliceWidget(name).sliceView()`` and ``threeDWidget(i).threeDView()``."""

    def __init__(self, view: Any) -> None:
        self._view = view

    def sliceView(self) -> _ViewWidget:
        return self

    def threeDView(self) -> _ViewWidget:
        return self

    def renderWindow(self) -> Any:
        return self._view.window

    def mrmlViewNode(self) -> Any:
        return self._view.node

    def mrmlSliceNode(self) -> Any:
        return self._view.node

    def sliceLogic(self) -> Any:
        return self._view.logic

    def scheduleRender(self) -> None:
        pass

    def forceRender(self) -> None:
        self._view.grab()


class LayoutManager:
    """Makes the views of the current layout.

    Args:
        views: whether to make them at all; without OpenGL, and in tests that look at no picture, there are none.
    """

    def __init__(self, app: Application, *, views: bool) -> None:
        self._app, self._with_views = app, views and not opengl_missing()
        self.logic = slicer.vtkMRMLLayoutLogic()
        self.logic.SetMRMLApplicationLogic(app.logic)
        self.logic.SetMRMLScene(app.scene)
        app._layout_logic = self.logic
        self._views: dict[str, Any] = {}
        self._making: set[str] = set()
        self._observers: list[tuple[Any, int]] = []

    def follow(self) -> None:
        """Follow the scene, until :meth:`part`."""
        scene, arrangement = self._app.scene, self.logic.GetLayoutNode()
        # As in Slicer, a view and the nodes that come with it exist as soon as its layout is shown.
        tag = arrangement.AddObserver("ModifiedEvent", lambda *_: self._make_views())
        self._observers.append((arrangement, tag))

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def on_going(_caller: Any, _event: str, node: Any) -> None:
            self._choose_neighbours(node)

        self._observers.append((scene, scene.AddObserver(scene.NodeAboutToBeRemovedEvent, on_going)))

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def on_coming(_caller: Any, _event: str, node: Any) -> None:
            # As qMRMLLayoutViewFactory: a view node that is added has its widget at once, shown or not.
            if self._with_views and node.GetClassName() in (_SLICE, _SPACE):
                self._made(node.GetLayoutName(), node.GetClassName())

        self._observers.append((scene, scene.AddObserver(scene.NodeAddedEvent, on_coming)))
        # Those of the layout that the application starts with.
        self._make_views()

    def part(self) -> None:
        """Observe the scene no longer, as if there were no window."""
        while self._observers:
            node, tag = self._observers.pop()
            node.RemoveObserver(tag)

    def _choose_neighbours(self, node: Any) -> None:
        """As Slicer's slice controllers: a volume that goes is replaced by its neighbour, in linked views in all."""
        scene = self._app.scene
        if scene.IsClosing() or not node.IsA("vtkMRMLVolumeNode"):
            return
        volumes = [
            scene.GetNthNodeByClass(index, "vtkMRMLVolumeNode")
            for index in range(scene.GetNumberOfNodesByClass("vtkMRMLVolumeNode"))
        ]
        place = next((i for i, volume in enumerate(volumes) if volume is node), 0)
        others = volumes[place + 1 :] + volumes[:place][::-1]
        neighbour = others[0].GetID() if others else None
        slices = [view for view in self._views.values() if isinstance(view, SliceView)]
        for view in slices:
            for layer in ("Background", "Foreground"):
                if getattr(view.composite, f"Get{layer}VolumeID")() != node.GetID():
                    continue
                linked = view.composite.GetLinkedControl()
                group = view.node.GetViewGroup()
                for other in slices if linked else [view]:
                    if other.node.GetViewGroup() == group:
                        getattr(other.composite, f"Set{layer}VolumeID")(neighbour)

    def _make_views(self) -> None:
        for name, _kind in self._described():
            self.view(name)

    def layoutLogic(self) -> Any:
        return self.logic

    @property
    def layout(self) -> int:
        return int(self.logic.GetLayoutNode().GetViewArrangement())

    def setLayout(self, number: int) -> None:
        self.logic.GetLayoutNode().SetViewArrangement(number)

    def sliceWidget(self, name: str) -> _ViewWidget | None:
        return self._widget(name) if (name, _SLICE) in self._described() else None

    @property
    def threeDViewCount(self) -> int:
        return len(self._spaces())

    def threeDWidget(self, index: int) -> _ViewWidget:
        widget = self._widget(self._spaces()[index])
        assert widget is not None
        return widget

    def view(self, name: str) -> Any:
        """The off-screen view of that name, made now if the layout has it; None without views."""
        kinds = dict(self._described())
        if not self._with_views or name not in kinds:
            return None
        return self._made(name, kinds[name])

    def _made(self, name: str, kind: str) -> Any:
        # A view whose node is missing makes it, which comes back here.
        if name not in self._views and name not in self._making:
            self._making.add(name)
            try:
                self._views[name] = (SliceView if kind == _SLICE else ThreeDView)(self._app, name, (400, 400))
            finally:
                self._making.discard(name)
        return self._views.get(name)

    def close_views(self) -> None:
        for view in self._views.values():
            view.close()
        self._views = {}

    def grab(self, size: tuple[int, int], draw_other: Any = None) -> Pixels:
        """The whole layout as one picture; views that are not drawn by VTK (tables) by ``draw_other(name, size)``."""
        picture = np.full((size[1], size[0], 3), 40, np.uint8)
        tree = self._tree()
        if tree is not None:
            self._draw(tree, (0, 0, *size), picture, draw_other)
        return picture

    def _draw(self, element: Any, box: tuple[int, int, int, int], picture: Pixels, draw_other: Any) -> None:
        x, y, width, height = box
        if element.tag == "view":
            self._draw_view(element, box, picture, draw_other)
            return
        items = element.findall("item")
        shares = [float(item.get("splitSize") or 1) for item in items]
        total, done = sum(shares), 0.0
        for item, share in zip(items, shares, strict=True):
            first, last = done / total, (done + share) / total
            done += share
            if element.get("type") == "vertical":
                inner = (x, y + round(first * height), width, round(last * height) - round(first * height))
            else:
                inner = (x + round(first * width), y, round(last * width) - round(first * width), height)
            self._draw(item[0], inner, picture, draw_other)

    def _draw_view(self, element: Any, box: tuple[int, int, int, int], picture: Pixels, draw_other: Any) -> None:
        x, y, width, height = box
        name = element.get("singletontag")
        inside = (width - 2, height - 2 - _BAR)
        view = self.view(name)
        if view is None:
            pixels = draw_other(name, (width - 2, height - 2)) if draw_other is not None else None
            if pixels is not None:
                picture[y + 1 : y + 1 + pixels.shape[0], x + 1 : x + 1 + pixels.shape[1]] = pixels
            return
        view.resize(inside)
        colour = (np.array(view.node.GetLayoutColor()) * 255).astype(np.uint8)
        picture[y + 1 : y + _BAR, x + 1 : x + width - 1] = colour
        pixels = view.grab()
        top = y + 1 + _BAR
        picture[top : top + pixels.shape[0], x + 1 : x + 1 + pixels.shape[1]] = pixels

    def _tree(self) -> Any:
        text = self.logic.GetLayoutNode().GetCurrentLayoutDescription()
        return ElementTree.fromstring(text) if text else None

    def _described(self) -> list[tuple[str, str]]:
        tree = self._tree()
        views = tree.iter("view") if tree is not None else ()
        return [(v.get("singletontag"), v.get("class")) for v in views if v.get("class") in (_SLICE, _SPACE)]

    def _spaces(self) -> list[str]:
        return [name for name, kind in self._described() if kind == _SPACE] if self._with_views else []

    def _widget(self, name: str) -> _ViewWidget | None:
        view = self.view(name)
        return _ViewWidget(view) if view is not None else None
