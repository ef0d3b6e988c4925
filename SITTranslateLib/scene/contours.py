"""Structures as contours: their position in the source, and after the motion.

The source shows both, so that one sees what is going to happen, and the translated scan both, so that one sees whether
it did.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

from SITTranslateLib.scene import layout
from SITTranslateLib.scene.colours import AFTER, BEFORE
from SITTranslateLib.scene.presentation import put_with
from SITTranslateLib.scene.result import SceneResult
from SITTranslateLib.scene.runs import PREFIX
from SITTranslateLib.scene.segmentation import add_segmentation_node
from SITTranslateLib.volume import Volume

#: More contours than this hide the scan.
MOST_CONTOURS = 6
ROLES = ("contours before", "contours after")


def adding_contours(
    scene: Any, result: SceneResult, layers: Sequence[tuple[Volume, Mapping[int, str]]], chosen: Sequence[int]
) -> Generator[None, None, list[Any]]:
    """Add the contours of some structures before and after, in place of those that a run has; in steps of a node.

    Args:
        scene: with the run.
        result: the run.
        layers: label maps in the source's frame, with the names of their labels.
        chosen: labels to draw, at most :data:`MOST_CONTOURS` of them.

    Returns:
        The segmentation nodes.
    """
    remove_contours(scene, result)
    views = [layout.view_id(layout.SOURCE), layout.view_id(layout.TRANSLATED)]
    wanted = set(list(chosen)[:MOST_CONTOURS])
    added = []
    for labels, names in layers:
        drawn = {label: name for label, name in names.items() if label in wanted}
        for role, colour in zip(ROLES, (BEFORE, AFTER), strict=True):
            if not drawn or (role == ROLES[1] and result.motion is None):
                continue
            name = f"{result.source.GetName()} {role}"
            node = add_segmentation_node(scene, labels, drawn, name, colour=colour, view_ids=views)
            node.SetAttribute(f"{PREFIX}Role", role)
            if role == ROLES[1]:
                node.SetAndObserveTransformNodeID(result.motion.GetID())
            put_with(scene, result, node)
            added.append(node)
            yield
    return added


def has_contours(result: SceneResult) -> bool:
    """Whether a run has contours."""
    return any(node.GetAttribute(f"{PREFIX}Role") in ROLES for node in result.nodes)


def remove_contours(scene: Any, result: SceneResult) -> None:
    """Take the contours of a run out of the scene."""
    for node in [node for node in result.nodes if node.GetAttribute(f"{PREFIX}Role") in ROLES]:
        result.nodes.remove(node)
        if scene.IsNodePresent(node):
            scene.RemoveNode(node)
