"""The five views by trame-slicer: named as in the module's layout, with titles, frames and clicks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.scene import layout, presentation
from SITTranslateLib.scene.annotation import add_sides, annotate
from SITTranslateLib.scene.headless.application import Application

LAYOUT = "SITTranslate"
#: A mouse button that was moved farther than this (pixels) while it was down was a drag, not a click.
CLICK_PIXELS = 4
#: First direction of the 3D view: degrees from the front, upwards.
AZIMUTH, ELEVATION = 35.0, 20.0
TITLE_POINTS, SIDE_POINTS = 15, 14


def page_layout(*, three_d: bool = True) -> Any:
    """Four slice views in two rows, and the 3D view beside them if there is something to show in it."""
    from trame_slicer.views import Layout, LayoutDirection, ViewLayoutDefinition, ViewProps, ViewType

    def pane(name: str) -> Any:
        kind = ViewType.THREE_D_VIEW if name == layout.THREE_D else ViewType.SLICE_VIEW
        properties = ViewProps(group=layout.VIEW_GROUP)
        if kind is ViewType.SLICE_VIEW:
            properties.orientation = presentation.ORIENTATIONS[0]
        else:
            properties.box_visible = False
        return ViewLayoutDefinition(name, kind, properties)

    across, down = LayoutDirection.Horizontal, LayoutDirection.Vertical
    rows = [
        Layout(across, [pane(layout.SOURCE), pane(layout.TRANSLATED)]),
        Layout(across, [pane(layout.MOTION), pane(layout.CHANGE)]),
    ]
    if not three_d:
        return Layout(down, rows)
    return Layout(across, [Layout(down, rows), Layout(down, [pane(layout.THREE_D)])], ["2", "1"])


class Panes:
    """The views of one page.

    Attributes:
        on_click: called with a RAS point (mm) and the view's name when a slice view is clicked.
        on_moved: called when the slices lie elsewhere.
    """

    def __init__(self, app: Application, server: Any, *, three_d: bool = True) -> None:
        from trame_slicer.core import LayoutManager, ViewManager
        from trame_slicer.rca_view import register_rca_factories

        self.on_click: Callable[[NDArray[np.float64], str], None] = lambda _point, _name: None
        self.on_moved: Callable[[], None] = lambda: None
        self._manager = ViewManager(app.scene, app.logic)
        # Without the buttons that trame-slicer draws beside each view: the page has its own.
        register_rca_factories(self._manager, server, _nothing_beside, _nothing_beside)
        self._layouts = LayoutManager(app.scene, self._manager, server)
        self._layouts.register_layout(LAYOUT, page_layout(three_d=three_d))
        self._layouts.set_layout(LAYOUT)
        self.views = {
            name: self._manager.get_view(name) for name in (*layout.SLICES, *([layout.THREE_D] if three_d else []))
        }
        self._written: dict[str, list[Any]] = {}
        self._pressed: tuple[int, int] | None = None
        self._framed: dict[str, tuple[int, int]] = {}
        self._where: tuple[str, Any, Any] | None = None
        for name in layout.SLICES:
            interactor = self.views[name].interactor()
            interactor.AddObserver("LeftButtonPressEvent", lambda iren, _event: self._press(iren))
            interactor.AddObserver("LeftButtonReleaseEvent", lambda iren, _event, n=name: self._release(iren, n))
            interactor.AddObserver("WindowResizeEvent", lambda *_, n=name: self._on_resize(n))
        self.views[layout.SOURCE].get_view_node().AddObserver("ModifiedEvent", lambda *_: self.on_moved())
        self._looked = not three_d
        if not three_d:
            return
        # Peeling fails beside the anti-aliasing of these windows: what is translucent would not be drawn at all.
        self.views[layout.THREE_D].renderer().SetUseDepthPeeling(False)
        self.views[layout.THREE_D].interactor().AddObserver("WindowResizeEvent", lambda *_: self._first_look())

    def place(self, page: Any) -> None:
        """Stand the grid of views where the page is being built."""
        self._layouts.initialize_layout_grid(page)

    def write(self, titles: dict[str, str]) -> None:
        """Title the views and letter their sides; every one but the source's bears the mark of a synthetic picture."""
        for name, view in self.views.items():
            title = titles[name]
            renderer = view.renderer()
            for actor in self._written.pop(name, []):
                renderer.RemoveViewProp(actor)
            actors = annotate(renderer, title, synthetic=name != layout.SOURCE, size=TITLE_POINTS)
            if name != layout.THREE_D:
                # Left and right only: the title stands where the upper letter would.
                left, right, *others = add_sides(renderer, view.get_view_node(), SIDE_POINTS)
                actors += [left, right]
                for actor in others:
                    renderer.RemoveViewProp(actor)
            self._written[name] = actors
            view.schedule_render()

    def frame(self, orientation: str, point: Any, box: Any) -> None:
        """Cut all slice views that way at a RAS point (mm), so that a RAS box fills them."""
        self._where = (orientation, point, box)
        for name in layout.SLICES:
            self._framed.pop(name, None)
            self._on_resize(name)

    def place_of(self, name: str) -> NDArray[np.float64]:
        """A RAS point (mm) on the slice of a view."""
        matrix = self.views[name].get_view_node().GetSliceToRAS()
        return np.array([matrix.GetElement(row, 3) for row in range(3)])

    def slide(self, axis: int, place_mm: float) -> None:
        """Move every slice to a place along the RAS axis that it lies across."""
        for name in layout.SLICES:
            point = self.place_of(name)
            point[axis] = place_mm
            self.views[name].get_view_node().JumpSliceByOffsetting(*point)

    def look(self) -> None:
        """Show everything in 3D, a little from the side and from above."""
        if layout.THREE_D not in self.views:
            return
        view = self.views[layout.THREE_D]
        view.fit_view_to_content()
        camera = view.renderer().GetActiveCamera()
        camera.Azimuth(AZIMUTH)
        camera.Elevation(ELEVATION)
        camera.OrthogonalizeViewUp()
        view.renderer().ResetCameraClippingRange()
        view.schedule_render()

    def _first_look(self) -> None:
        """What fills the view follows from its size, which the browser tells."""
        if (
            not self._looked
            and self._where is not None
            and min(self.views[layout.THREE_D].render_window().GetSize()) > 1
        ):
            self._looked = True
            self.look()

    def _on_resize(self, name: str) -> None:
        """A window gets its size from the browser, and another one whenever that of the browser changes."""
        view = self.views[name]
        width, height = view.render_window().GetSize()
        if self._where is None or width < 2 or height < 2 or self._framed.get(name) == (width, height):
            return
        again = name in self._framed
        self._framed[name] = (width, height)
        orientation, point, box = self._where
        node = view.get_view_node()
        if again:
            # Where the viewer has scrolled to meanwhile.
            point = self.place_of(name)
        presentation.frame(node, orientation, point, box, (width, height))

    def _press(self, interactor: Any) -> None:
        self._pressed = tuple(interactor.GetEventPosition())

    def _release(self, interactor: Any, name: str) -> None:
        pressed, self._pressed = self._pressed, None
        x, y = interactor.GetEventPosition()
        if pressed is not None and np.hypot(x - pressed[0], y - pressed[1]) <= CLICK_PIXELS:
            place = self.views[name].get_view_node().GetXYToRAS().MultiplyPoint((x, y, 0.0, 1.0))
            self.on_click(np.array(place[:3]), name)


def _nothing_beside(_server: Any, _view_id: str, _view: Any) -> None:
    return None
