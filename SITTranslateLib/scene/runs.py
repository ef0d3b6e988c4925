"""Runs of a scene, found by their node attributes: each result in its folder, with its source scan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from SITTranslateLib.scene import hierarchy

#: Node attributes and node references of ours begin with this.
PREFIX = "SITTranslate."
#: Marks a display node that was hidden because another run is shown.
_HIDDEN = PREFIX + "Hidden"
#: Drawn into views beside the volumes, so that they must be hidden when another run is shown.
_DRAWN = ("vtkMRMLTransformNode", "vtkMRMLModelNode", "vtkMRMLMarkupsNode", "vtkMRMLSegmentationNode")


@dataclass(frozen=True)
class Run:
    """One result of the scene.

    Attributes:
        folder: its item in the subject hierarchy.
        title: name of the folder: scan, model and request.
        nodes: those of the run by their role.
        source: the scan that it was made from; None where a scene of an older version does not say.
    """

    folder: int
    title: str
    nodes: dict[str, Any] = field(default_factory=dict)
    source: Any = None

    def holds(self, node: Any) -> bool:
        return any(node is own for own in (self.source, *self.nodes.values()))


def runs_in(scene: Any) -> list[Run]:
    """Every run of the scene, oldest first."""
    tree = hierarchy.subject_hierarchy(scene)
    folders: dict[int, dict[str, Any]] = {}
    sources: dict[int, Any] = {}
    for node in _marked(scene):
        folder = _parent_item(tree, node)
        if folder is None or folder == tree.GetSceneItemID():
            continue
        roles = folders.setdefault(folder, {})
        roles.setdefault(node.GetAttribute(f"{PREFIX}Role"), node)
        for role in ("source", "translated"):
            other = node.GetNodeReference(PREFIX + role)
            if other is not None and role == "source":
                sources[folder] = other
            elif other is not None:
                roles.setdefault(role, other)
    return [
        Run(folder, tree.GetItemName(folder), roles, sources.get(folder))
        for folder, roles in sorted(folders.items())
        if {"translated", "motion", "change"} & set(roles)
    ]


def run_of(scene: Any, volume: Any = None) -> Run | None:
    """The newest run that a volume belongs to; without a volume the only run, or the newest if all have one source.

    A run of an older version, which does not name its source, belongs to the scans that its folder stands beside.
    """
    runs = runs_in(scene)
    if volume is None:
        same = all(run.source is runs[0].source for run in runs)
        return runs[-1] if runs and same else None
    tree = hierarchy.subject_hierarchy(scene)
    own = [run for run in runs if run.holds(volume)]
    beside = _parent_item(tree, volume)
    own = own or [run for run in runs if run.source is None and tree.GetItemParent(run.folder) == beside]
    return own[-1] if own else None


def show_drawn(scene: Any, folder: int | None) -> None:
    """Show what one run draws into the views (arrows, outline, points, contours) and hide that of all others.

    Args:
        folder: of the run; None hides everything.
    """
    for run in runs_in(scene):
        for display in _displays(scene, run.folder):
            if run.folder != folder and display.GetVisibility():
                display.SetAttribute(_HIDDEN, "1")
                display.SetVisibility(0)
            elif run.folder == folder and display.GetAttribute(_HIDDEN):
                display.RemoveAttribute(_HIDDEN)
                display.SetVisibility(1)


def _displays(scene: Any, folder: int) -> Iterator[Any]:
    for node in hierarchy.nodes_in(scene, folder):
        if any(node.IsA(cls) for cls in _DRAWN):
            for index in range(node.GetNumberOfDisplayNodes()):
                if (display := node.GetNthDisplayNode(index)) is not None:
                    yield display


def _parent_item(tree: Any, node: Any) -> int | None:
    item = tree.GetItemByDataNode(node)
    return None if item == tree.GetInvalidItemID() else int(tree.GetItemParent(item))


def _marked(scene: Any) -> Iterator[Any]:
    for index in range(scene.GetNumberOfNodesByClass("vtkMRMLDisplayableNode")):
        node = scene.GetNthNodeByClass(index, "vtkMRMLDisplayableNode")
        if node.GetAttribute(f"{PREFIX}Role"):
            yield node
