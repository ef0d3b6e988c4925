"""Results of a saved scene: their nodes, restored to a result."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from typing import Any

import numpy as np

from SITTranslateLib.errors import InputError
from SITTranslateLib.scene import display, hierarchy, sequences
from SITTranslateLib.scene.ranges import (
    Ranges,
    is_percent,
    mark_percent,
    measuring,
    show_volume_map,
    volume_percent,
)  # fmt: skip
from SITTranslateLib.scene.result import RESULT_ROLES, SceneResult
from SITTranslateLib.scene.runs import PREFIX
from SITTranslateLib.scene.transforms import field_of_node
from SITTranslateLib.scene.volumes import filling, image_from_array, reading_volume, volume_from_node
from SITTranslateLib.translation import Translation

#: A node's attribute when the slider is at 100 % with both parts.
_FULL = {"Strength": ("1", None), "Parts": ("anatomy+intensity", None)}


def reading_parts(nodes: Mapping[str, Any]) -> Generator[None, None, dict[str, Any]]:
    """Parts of a translation, read from its nodes in steps.

    Args:
        nodes: by role, as ``SITTranslateLib.ui.parameters`` keeps them; None where there is none.

    Returns:
        Volumes ``source``, ``translated``, ``change``, ``within``, fields ``velocity``, ``sampling`` (those that were
        kept), and ``provenance``, ``field_origin``, ``recomposition_error``.

    Raises:
        InputError: too little was kept, or a node was edited beyond use.
    """
    source, translated = nodes.get("source"), nodes.get("translated")
    record = _record_node(nodes)
    if source is None or translated is None or record is None:
        raise InputError("The scene holds only a part of this result; translate the scan again.")
    scan = yield from reading_volume(source)
    parts: dict[str, Any] = {"source": scan}
    if sequences.browser_of(translated) is not None:
        raise InputError("The result of this scene became a sequence; translate the scan again to work with it.")
    if all(translated.GetAttribute(PREFIX + key) in values for key, values in _FULL.items()):
        parts["translated"] = yield from reading_volume(translated)
    if nodes.get("change") is not None:
        # Outside the head the node has no values, whatever the model did there.
        parts["change"] = yield from reading_volume(nodes["change"], without_value=0.0)
        hull = yield from display.head_hull_steps(scan.array)
        within = np.empty(scan.shape, np.float32)
        yield from filling(within, lambda part: hull[part])
        parts["within"] = scan.with_array(within, "head")
    for role in ("velocity", "sampling"):
        if nodes.get(role) is not None:
            try:
                parts[role] = field_of_node(nodes[role])
            except ValueError as error:
                raise InputError("The motion of this result was replaced; translate the scan again.") from error
            break
    if nodes.get("motion") is not None and "velocity" not in parts and "sampling" not in parts:
        raise InputError("The fields of this result were removed; translate the scan again.")
    try:
        provenance = json.loads(record.GetAttribute(PREFIX + "Provenance"))
        misfit = float(record.GetAttribute(PREFIX + "RecompositionError"))
    except (TypeError, ValueError) as error:
        raise InputError("How this result was made is not recorded; translate the scan again.") from error
    origin = record.GetAttribute(PREFIX + "FieldOrigin")
    return parts | {"provenance": provenance, "field_origin": origin, "recomposition_error": misfit}


def gathering_result(
    scene: Any, nodes: Mapping[str, Any], translation: Translation
) -> Generator[None, None, SceneResult]:
    """The nodes of a result as :func:`~SITTranslateLib.scene.result.adding` would have returned them; in steps."""
    ranges, focus, box = yield from measuring(translation)
    yield
    if nodes.get("jacobian") is not None:
        _in_percent(scene, nodes["jacobian"], ranges)
    record = _record_node(nodes)
    tree = hierarchy.subject_hierarchy(scene)
    folder = int(tree.GetItemParent(tree.GetItemByDataNode(record)))
    made = [node for node in hierarchy.nodes_in(scene, folder) if node.GetAttribute(PREFIX + "Role")]
    return SceneResult(
        **{role: nodes.get(role) for role in RESULT_ROLES},
        folder=folder,
        ranges=ranges,
        focus=focus,
        box=box,
        field_origin=translation.field_origin.value,
        nodes=made,
        extras=_extras(made),
    )


def _in_percent(scene: Any, node: Any, ranges: Ranges) -> None:
    """Volume maps of older scenes hold log2 of the Jacobian: bring them to %."""
    if is_percent(node):
        return
    percent = volume_percent(np.exp2(volume_from_node(node).array))
    node.SetAndObserveImageData(image_from_array(percent))
    mark_percent(node)
    show_volume_map(scene, node, ranges.expansion, display.extremes(percent))


def _extras(made: list[Any]) -> dict[str, Any]:
    """By the model's names. A node that frames are played in keeps no attributes in a file, so its browser has them."""
    nodes = {name: node for node in made if (name := node.GetAttribute(PREFIX + "Extra"))}
    shown = {name: sequences.played_by(n) if sequences.is_browser(n) else n for name, n in nodes.items()}
    return {name: node for name, node in shown.items() if node is not None}


def _record_node(nodes: Mapping[str, Any]) -> Any:
    """A node with the provenance of the result; the second scan of a traced pair has none."""
    made = (node for role, node in nodes.items() if role != "source" and node is not None)
    return next((node for node in made if node.GetAttribute(PREFIX + "Provenance")), None)
