"""Another strength of the change for the nodes of a shown result."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from SITTranslateLib.scene.display import head_hull_steps, within
from SITTranslateLib.scene.ranges import volume_percent
from SITTranslateLib.scene.result import SceneResult
from SITTranslateLib.scene.transforms import DRAWN_MM, MAPPED_MM, grid_transform, thinning
from SITTranslateLib.scene.volumes import volume_from_node, writing_voxels


def showing_strength(
    nodes: SceneResult, answer: dict[str, Any], *, spatial: bool, intensity: bool
) -> Generator[None, None, None]:
    """Replace the voxels of the translated scan, and its motion and volume change where they were asked for, in steps.

    Args:
        answer: what the host said to ``recompose``.
        spatial, intensity: which parts it was made of, for the node's own record.
    """
    if nodes.translated is not None:
        changed = answer["translated"].array
        yield from writing_voxels(nodes.translated, changed.shape, lambda part: changed[part])
        nodes.translated.SetAttribute("SITTranslate.Strength", f"{answer['strength']:g}")
        parts = [name for name, used in (("anatomy", spatial), ("intensity", intensity)) if used]
        nodes.translated.SetAttribute("SITTranslate.Parts", "+".join(parts))
    motion, jacobian = answer.get("motion"), answer.get("jacobian")
    if motion is None and jacobian is None:
        return
    if nodes.hull is None:
        nodes.hull = yield from head_hull_steps(volume_from_node(nodes.source).array)
    head = nodes.hull
    if motion is not None and nodes.motion is not None:
        drawn = yield from thinning(motion, DRAWN_MM, head)
        nodes.motion.SetAndObserveTransformToParent(grid_transform(drawn))
        yield
        if nodes.distance is not None:
            mapped = yield from thinning(motion, MAPPED_MM, head)
            length = mapped.magnitude()
            yield from writing_voxels(nodes.distance, length.shape, lambda part: length[part])
    if jacobian is not None and nodes.jacobian is not None:
        values = jacobian.array
        yield from writing_voxels(
            nodes.jacobian, values.shape, lambda part: within(volume_percent(values[part]), head[part])
        )
