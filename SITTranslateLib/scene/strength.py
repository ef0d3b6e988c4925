"""Another strength of the change for the nodes of a shown result."""

from __future__ import annotations

from typing import Any

from SITTranslateLib.scene.display import within
from SITTranslateLib.scene.ranges import volume_percent
from SITTranslateLib.scene.result import SceneResult
from SITTranslateLib.scene.transforms import DRAWN_MM, MAPPED_MM, grid_transform, thinned
from SITTranslateLib.scene.volumes import image_from_array


def show_strength(nodes: SceneResult, answer: dict[str, Any], *, spatial: bool, intensity: bool) -> None:
    """Replace the voxels of the translated scan, and its motion and volume change where they were asked for.

    Args:
        answer: what the host said to ``recompose``.
        spatial, intensity: which parts it was made of, for the node's own record.
    """
    if nodes.translated is not None:
        nodes.translated.SetAndObserveImageData(image_from_array(answer["translated"].array))
        nodes.translated.SetAttribute("SITTranslate.Strength", f"{answer['strength']:g}")
        parts = [name for name, used in (("anatomy", spatial), ("intensity", intensity)) if used]
        nodes.translated.SetAttribute("SITTranslate.Parts", "+".join(parts))
    if answer.get("motion") is not None and nodes.motion is not None:
        motion = answer["motion"]
        nodes.motion.SetAndObserveTransformToParent(grid_transform(thinned(motion, DRAWN_MM, nodes.head())))
        if nodes.distance is not None:
            thin = thinned(motion, MAPPED_MM, nodes.head())
            nodes.distance.SetAndObserveImageData(image_from_array(thin.magnitude()))
    if answer.get("jacobian") is not None and nodes.jacobian is not None:
        percent = within(volume_percent(answer["jacobian"].array), nodes.head())
        nodes.jacobian.SetAndObserveImageData(image_from_array(percent))
