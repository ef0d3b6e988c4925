"""Transactions: nodes that are added together or not at all."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from SITTranslateLib.steps import Result

_HIERARCHY = "vtkMRMLSubjectHierarchyNode"


class Transaction:
    """The nodes and subject hierarchy items that were added since it began, but for those added while it paused."""

    def __init__(self, scene: Any) -> None:
        self.scene = scene
        self.added: list[Any] = []
        self._items: set[int] = set()
        self._items_before: set[int] = set()
        # A scene outside the application may have none yet; asking for it makes it.
        self._hierarchy = scene.GetFirstNodeByClass(_HIERARCHY)
        self._observer: int | None = None
        self._watch()

    def pause(self) -> Generator[None]:
        """``yield from`` it to give others a turn: what they add is theirs."""
        self._stop_watching()
        try:
            yield
        finally:
            self._watch()

    def paused(self, steps: Generator[None, None, Result]) -> Generator[None, None, Result]:
        """Steps between which others get a turn."""
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            yield from self.pause()

    def end(self) -> None:
        self._stop_watching()

    def undo(self) -> None:
        """Take out what was added."""
        self._stop_watching()
        hierarchy = self.scene.GetFirstNodeByClass(_HIERARCHY)
        if self._hierarchy is not None:
            # Items apart from nodes: outside the application nothing tells the hierarchy that a node is gone.
            for item in sorted(self._items & _items(hierarchy), reverse=True):
                hierarchy.RemoveItem(item, False, False)
        for node in reversed(self.added):
            if self.scene.IsNodePresent(node) and not (self._hierarchy is not None and node is hierarchy):
                self.scene.RemoveNode(node)

    def _watch(self) -> None:
        import vtk

        @vtk.calldata_type(vtk.VTK_OBJECT)
        def on_added(_caller: Any, _event: str, node: Any) -> None:
            self.added.append(node)

        self._items_before = _items(self.scene.GetFirstNodeByClass(_HIERARCHY))
        self._observer = self.scene.AddObserver(self.scene.NodeAddedEvent, on_added)

    def _stop_watching(self) -> None:
        if self._observer is not None:
            self.scene.RemoveObserver(self._observer)
            self._observer = None
            self._items |= _items(self.scene.GetFirstNodeByClass(_HIERARCHY)) - self._items_before


@contextmanager
def all_or_nothing(scene: Any) -> Iterator[Transaction]:
    """Collect every node that is added inside; on any error take them all out again and let the error through."""
    transaction = Transaction(scene)
    try:
        yield transaction
    except BaseException:
        transaction.undo()
        raise
    transaction.end()


def _items(hierarchy: Any) -> set[int]:
    import vtk

    if hierarchy is None:
        return set()
    identifiers = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), identifiers, True)
    return {int(identifiers.GetId(index)) for index in range(identifiers.GetNumberOfIds())}
