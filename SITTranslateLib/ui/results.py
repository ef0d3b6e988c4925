"""Results in the views: added to the scene in steps, restored from its nodes, switched and removed.

No Qt. Nodes are looked up by the marks on them, so that every result of the scene can be shown, whoever made it.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import slicer

from SITTranslateLib.errors import InputError
from SITTranslateLib.host.client import HostClient, HostError
from SITTranslateLib.host.presenter import HostPresenter
from SITTranslateLib.host.requests import RestoreRequest
from SITTranslateLib.host.signals import Signal
from SITTranslateLib.scene import hierarchy, layout, presentation
from SITTranslateLib.scene.replacing import put_in_place
from SITTranslateLib.scene.restoring import gathering_result, reading_parts
from SITTranslateLib.scene.result import SceneResult, adding
from SITTranslateLib.scene.runs import Run, runs_in, show_drawn
from SITTranslateLib.steps import finish, take_turn
from SITTranslateLib.translation import Translation

#: Spacing of the sampling field that is kept in the scene: Slicer saves fields uncompressed in double precision.
SAVED_FIELD_MM = 2.0
#: Slicer's four-up layout.
USUAL_LAYOUT = 3


@dataclass(frozen=True)
class Shown:
    """The result in the views: its nodes, and the translation that the host still holds."""

    translation: Translation
    nodes: SceneResult


class Results(HostPresenter):
    """Base of the session: the results of the scene, one of them shown.

    Attributes:
        shown: the result in the views, or None.
        active: whether the module is on the screen; while it is not, the user's layout stays.
        shown_changed: emitted when another result is shown, or none.
        view_changed: emitted when our views were filled.
        warned: emitted with a sentence.
    """

    def __init__(self, host: HostClient | None = None) -> None:
        super().__init__(host or HostClient())
        self.shown: Shown | None = None
        self.active = True
        self.shown_changed, self.view_changed, self.warned = Signal(), Signal(), Signal()
        self._scene_number = 0
        self._in_views: SceneResult | None = None
        self._users_layout = USUAL_LAYOUT
        self._refused: Any = None
        # What goes on in turns, in its order.
        self._changing: deque[Generator[None, None, Any]] = deque()

    @property
    def busy(self) -> bool:
        return super().busy or bool(self._changing)

    @property
    def running(self) -> bool:
        """Whether a translation runs."""
        return False

    def runs(self) -> list[Run]:
        """Every result of the scene, oldest first."""
        return runs_in(slicer.mrmlScene)

    def show(self, translation: Translation, node: Any, *, partner: Any = None, views: bool = True) -> SceneResult:
        """Put a result into the scene at once and, unless not wanted, into our views.

        Args:
            node: the volume node that was translated; None adds the scan beside the result.
            partner: the node of the translated scan, where it was in the scene already.
        """
        return finish(self._showing(translation, node, partner=partner, views=views))

    def _showing(
        self, translation: Translation, node: Any, *, partner: Any = None, output: Any = None, views: bool = True
    ) -> Generator[None, None, SceneResult]:
        """:meth:`show` in steps; ``output`` is the translated scan of a run that this one takes the place of."""
        self._finish_changing()
        if views and self.active:
            # Before the nodes: a colour legend is not drawn in a view that comes into being after it.
            with contextlib.suppress(LookupError):
                layout.layout_node(slicer.mrmlScene)
                yield from layout.making_views(slicer.mrmlScene)
            self._enter_layout()
            yield
        nodes = yield from adding(translation, node, translated_node=partner, sampling_mm=SAVED_FIELD_MM)
        if output is not None:
            self._replace(output, nodes)
        self._take(Shown(translation, nodes), views=views)
        return nodes

    def _replace(self, output: Any, nodes: SceneResult) -> None:
        """Give a run's translated scan to the node of an earlier run, and take the rest of that one out."""
        earlier = next((run for run in self.runs() if run.nodes.get("translated") is output), None)
        if self.shown is not None and self.shown.nodes.translated is output:
            self.forget()
        put_in_place(slicer.mrmlScene, nodes, output)
        if earlier is not None:
            hierarchy.remove_folder(slicer.mrmlScene, earlier.folder)

    def poll(self) -> None:
        """Called by the panel's timer."""
        if not self._changing:
            super().poll()
            return
        steps = self._changing.popleft()
        if not take_turn(steps):
            self._changing.appendleft(steps)

    def in_turns(self, steps: Generator[None, None, Any]) -> None:
        """Have the next polls take these steps, a few each, so that the window answers meanwhile."""
        self._changing.append(steps)

    def _finish_changing(self) -> None:
        """Finish what goes on in turns, before another result is taken up or this one let go of."""
        while self._changing:
            finish(self._changing.popleft())

    def _take(self, shown: Shown, *, views: bool) -> None:
        self._finish_changing()
        if self.shown is not None:
            self.host.forget(self.shown.translation)
        self.shown = shown
        self.drop_recomposition()
        if views:
            self.show_views()
        self.shown_changed.emit()

    def restore(self, nodes: Mapping[str, Any], *, views: bool = True) -> None:
        """Take up a result that came with a loaded scene, so that it can be traced and its strength changed again.

        Args:
            nodes: by role, as the scene's parameter node has them.
            views: show it in our layout when it is there.
        """
        self.in_turns(self._restoring(nodes, views))

    def _restoring(self, nodes: Mapping[str, Any], views: bool) -> Generator[None, None, None]:
        translated, number = nodes.get("translated"), self._scene_number
        if self.shown is not None or self.running or translated is None or translated is self._refused:
            return
        # Asked once: what cannot be taken up now cannot be later either.
        self._refused = translated

        def obsolete() -> bool:
            kept = all(slicer.mrmlScene.IsNodePresent(node) for node in nodes.values() if node is not None)
            return number != self._scene_number or self.shown is not None or not kept

        def answered(translation: Translation) -> None:
            self.in_turns(showing(translation))

        def showing(translation: Translation) -> Generator[None, None, None]:
            result = None
            if not obsolete():
                result = yield from gathering_result(slicer.mrmlScene, nodes, translation)
            if result is None or obsolete():
                self.host.forget(translation)
                return
            self._refused = None
            if views and self.active:
                self._enter_layout()
                yield
            self._take(Shown(translation, result), views=views)

        def refused(error: HostError) -> None:
            self.warned.emit(str(error))

        try:
            parts = yield from reading_parts(nodes)
        except InputError as error:
            self.warned.emit(str(error))
            return
        if not obsolete():
            self.ask(RestoreRequest(**parts), answered, refused)

    def choose(self, folder: int) -> None:
        """Show another result of the scene.

        Args:
            folder: its item in the subject hierarchy.
        """
        if self.shown is not None and self.shown.nodes.folder == folder:
            return
        run = next((run for run in self.runs() if run.folder == folder), None)
        if run is not None:
            if self.shown is not None:
                self.forget()
            self.in_turns(self._choosing(run))

    def _choosing(self, run: Run) -> Generator[None, None, None]:
        self._refused = None
        yield from self._restoring({**run.nodes, "source": run.source}, True)

    def forget(self) -> None:
        """Let go of the shown result; its nodes stay in the scene, our views are emptied."""
        self._finish_changing()
        if self.shown is not None:
            self.host.forget(self.shown.translation)
        self.shown, self._in_views = None, None
        self.drop_recomposition()
        layout.empty_views(slicer.mrmlScene)
        show_drawn(slicer.mrmlScene, None)
        self.shown_changed.emit()

    def remove_shown(self, *, at_once: bool = True) -> None:
        """Take every node of the shown result out of the scene; the newest of the others is shown then.

        Args:
            at_once: False leaves it to the next polls, a few nodes each, so that the window answers meanwhile.
        """
        if self.shown is None:
            return
        folder = self.shown.nodes.folder
        # First: where a volume that is shown leaves the scene, Slicer puts its neighbour there.
        self.forget()
        self.in_turns(self._removing(folder))
        if at_once:
            self._finish_changing()

    def _removing(self, folder: int) -> Generator[None, None, None]:
        yield from hierarchy.removing_folder(slicer.mrmlScene, folder)
        others = self.runs() if self.shown is None else []
        if others:
            yield from self._choosing(others[-1])

    def show_views(self) -> None:
        """Our layout with the shown result in it; without a main window there is none, and nothing to show."""
        if not self.active or not self._enter_layout() or self.shown is None:
            return
        nodes = self.shown.nodes
        presentation.show_result(slicer.mrmlScene, nodes, again=self._in_views is nodes)
        self._in_views = nodes
        self.view_changed.emit()

    def leave_views(self) -> None:
        """Back to the layout the user had (to Slicer's usual one if ours came with a loaded scene)."""
        with contextlib.suppress(LookupError):
            layout.leave_layout(slicer.mrmlScene, self._users_layout)

    def _enter_layout(self) -> bool:
        try:
            previous = layout.enter_layout(slicer.mrmlScene)
        except LookupError:
            return False
        if previous != layout.LAYOUT_ID:
            self._users_layout = previous
        return True
