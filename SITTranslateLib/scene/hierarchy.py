"""Results in the subject hierarchy: one folder per run, next to the item of the input."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from SITTranslateLib.scene import sequences
from SITTranslateLib.steps import finish


def subject_hierarchy(scene: Any) -> Any:
    import slicer

    return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)


def run_folder(scene: Any, input_node: Any, name: str) -> int:
    """A new folder for one run, beside the input (in its study, patient or folder; else at the top)."""
    hierarchy = subject_hierarchy(scene)
    parent = hierarchy.GetSceneItemID()
    if input_node is not None:
        item = hierarchy.GetItemByDataNode(input_node)
        if item != hierarchy.GetInvalidItemID():
            parent = hierarchy.GetItemParent(item)
    return int(hierarchy.CreateFolderItem(parent, hierarchy.GenerateUniqueItemName(name)))


def put_into(scene: Any, folder: int, node: Any) -> None:
    """Stand a node in a folder; outside the application an item must be made for it first."""
    hierarchy = subject_hierarchy(scene)
    item = hierarchy.GetItemByDataNode(node)
    if item == hierarchy.GetInvalidItemID():
        hierarchy.CreateItem(folder, node)
    else:
        hierarchy.SetItemParent(item, folder)


def nodes_in(scene: Any, folder: int) -> list[Any]:
    """The data nodes in a folder and below."""
    import vtk

    hierarchy = subject_hierarchy(scene)
    identifiers = vtk.vtkIdList()
    hierarchy.GetItemChildren(folder, identifiers, True)
    nodes = [hierarchy.GetItemDataNode(identifiers.GetId(index)) for index in range(identifiers.GetNumberOfIds())]
    return [node for node in nodes if node is not None]


def remove_folder(scene: Any, folder: int) -> None:
    """Take a run's folder out of the scene, with everything in it."""
    finish(removing_folder(scene, folder))


def removing_folder(scene: Any, folder: int) -> Generator[None, None, None]:
    """:func:`remove_folder` in steps of a node."""
    nodes = nodes_in(scene, folder)
    nodes += [owned for node in nodes for owned in _owned(node)]
    # Browsers first: one that still stands would make the node that it plays in again.
    nodes.sort(key=lambda node: not sequences.is_browser(node))
    # Items apart from nodes: outside the application nothing tells the hierarchy that a node is gone.
    subject_hierarchy(scene).RemoveItem(folder, False, True)
    while nodes:
        # Nobody holds it then, so that its memory is given back in this step.
        node = nodes.pop(0)
        if scene.IsNodePresent(node):
            scene.RemoveNode(node)
        del node
        yield


def _owned(node: Any) -> list[Any]:
    """Nodes that belong to a node: its display nodes, and the colours that each transform display makes for itself."""
    if not hasattr(node, "GetNumberOfDisplayNodes"):
        return []
    displays = [node.GetNthDisplayNode(index) for index in range(node.GetNumberOfDisplayNodes())]
    colours = [display.GetColorNode() for display in displays if display is not None]
    return [
        *(display for display in displays if display is not None),
        *(colour for colour in colours if colour is not None and colour.IsA("vtkMRMLProceduralColorNode")),
    ]
