"""All or nothing: nodes that are added together, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_HIERARCHY = "vtkMRMLSubjectHierarchyNode"


@contextmanager
def all_or_nothing(scene: Any) -> Iterator[list[Any]]:
    """Collect every node that is added inside; on any error take them all out again and let the error through.

    Yields:
        The list of nodes added so far, filled as they come.
    """
    import slicer
    import vtk

    added: list[Any] = []

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def on_added(_caller: Any, _event: str, node: Any) -> None:
        added.append(node)

    # A scene outside the application may have none yet; asking for it makes it.
    hierarchy = scene.GetFirstNodeByClass(_HIERARCHY)
    had_hierarchy = hierarchy is not None
    items_before = set(_items(hierarchy)) if had_hierarchy else set()
    observer = scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, on_added)
    try:
        yield added
    except BaseException:
        scene.RemoveObserver(observer)
        hierarchy = scene.GetFirstNodeByClass(_HIERARCHY)
        if had_hierarchy:
            # Items apart from nodes: outside the application nothing tells the hierarchy that a node is gone.
            for item in sorted(set(_items(hierarchy)) - items_before, reverse=True):
                hierarchy.RemoveItem(item, False, False)
        for node in reversed(added):
            if scene.IsNodePresent(node) and not (had_hierarchy and node is hierarchy):
                scene.RemoveNode(node)
        raise
    scene.RemoveObserver(observer)


def _items(hierarchy: Any) -> list[int]:
    import vtk

    identifiers = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), identifiers, True)
    return [identifiers.GetId(index) for index in range(identifiers.GetNumberOfIds())]
