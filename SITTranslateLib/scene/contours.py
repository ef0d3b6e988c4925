"""Structures as contours: their position in the source, and after the motion.

The source shows both, so that one sees what is going to happen, and the translated scan both, so that one sees whether
it did.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from SITTranslateLib.scene import layout
from SITTranslateLib.scene.colours import AFTER, BEFORE
from SITTranslateLib.scene.presentation import put_with
from SITTranslateLib.scene.result import SceneResult
from SITTranslateLib.scene.runs import PREFIX
from SITTranslateLib.scene.segmentation import adding_segmentation_node, copy_segmentation_node, cropping
from SITTranslateLib.volume import Grid, Volume

#: More contours than this hide the scan.
MOST_CONTOURS = 6
#: A structure with more faces of voxels (whole tissues) is drawn voxel by voxel: a smooth outline would take too long.
MOST_FACES = 60_000
ROLES = ("contours before", "contours after")


def adding_contours(
    scene: Any, result: SceneResult, layers: Sequence[tuple[Volume, Mapping[int, str]]], chosen: Sequence[int]
) -> Generator[None, None, list[Any]]:
    """Add the contours of some structures before and after, in place of those that a run has; in steps of a structure.

    Args:
        scene: with the run.
        result: the run.
        layers: label maps in the source's frame, with the names of their labels.
        chosen: labels to draw, at most :data:`MOST_CONTOURS` of them.

    Returns:
        The segmentation nodes.
    """
    remove_contours(scene, result)
    wanted = set(list(chosen)[:MOST_CONTOURS])
    added = []
    for labels, names in layers:
        drawn = {label: name for label, name in names.items() if label in wanted}
        masks = yield from cropping(labels, drawn)
        for surfaces in (True, False):
            part = {label: mask for label, mask in masks.items() if is_small(mask[0]) == surfaces}
            if part:
                added += yield from _adding_pair(scene, result, part, labels.grid, drawn, surfaces)
    return added


def _adding_pair(
    scene: Any, result: SceneResult, masks: Mapping[int, Any], grid: Grid, names: Mapping[int, str], surfaces: bool
) -> Generator[None, None, list[Any]]:
    """Some structures before, and after if anything moved."""
    views = [layout.view_id(layout.SOURCE), layout.view_id(layout.TRANSLATED)]
    before_name, after_name = (f"{result.source.GetName()} {role}" for role in ROLES)
    before = yield from adding_segmentation_node(
        scene, masks, grid, names, before_name, colour=BEFORE, view_ids=views, surfaces=surfaces
    )
    pair = [before]
    if result.motion is not None:
        yield
        pair.append(copy_segmentation_node(scene, before, after_name, colour=AFTER, view_ids=views))
        pair[1].SetAndObserveTransformNodeID(result.motion.GetID())
    for role, node in zip(ROLES, pair, strict=False):
        node.SetAttribute(f"{PREFIX}Role", role)
        put_with(scene, result, node)
    yield
    return pair


def is_small(mask: NDArray[np.bool_]) -> bool:
    """Whether a smooth surface around a mask takes no longer than a step may."""
    faces = sum(int(np.count_nonzero(np.diff(mask, axis=axis))) for axis in range(mask.ndim))
    return faces <= MOST_FACES


def has_contours(result: SceneResult) -> bool:
    """Whether a run has contours."""
    return any(node.GetAttribute(f"{PREFIX}Role") in ROLES for node in result.nodes)


def remove_contours(scene: Any, result: SceneResult) -> None:
    """Take the contours of a run out of the scene."""
    for node in [node for node in result.nodes if node.GetAttribute(f"{PREFIX}Role") in ROLES]:
        result.nodes.remove(node)
        if scene.IsNodePresent(node):
            scene.RemoveNode(node)
