"""A result in the place of an earlier one: the translated scan goes into the node that has that one's."""

from __future__ import annotations

from typing import Any

import numpy as np

from SITTranslateLib.scene.display import show_scan
from SITTranslateLib.scene.hierarchy import put_into, subject_hierarchy
from SITTranslateLib.scene.result import SceneResult
from SITTranslateLib.scene.runs import PREFIX
from SITTranslateLib.scene.volumes import array_to_matrix, grid_of_node


def put_in_place(scene: Any, result: SceneResult, output: Any) -> None:
    """Give the translated scan of a complete result to another volume node; the node that was made for it goes.

    Args:
        scene: with both.
        result: changed in place.
        output: the views and modules that show it go on showing it, with its new voxels, name and marks.
    """
    made = result.translated
    output.SetAndObserveTransformNodeID(None)
    output.SetIJKToRASMatrix(array_to_matrix(np.asarray(grid_of_node(made).affine)))
    output.SetAndObserveImageData(made.GetImageData())
    for name in output.GetAttributeNames():
        if name.startswith(PREFIX):
            output.RemoveAttribute(name)
    for name in made.GetAttributeNames():
        output.SetAttribute(name, made.GetAttribute(name))
    output.SetNodeReferenceID(f"{PREFIX}source", result.source.GetID())
    output.SetDescription(made.GetDescription())
    name = made.GetName()
    show_scan(output, *result.ranges.grey)
    put_into(scene, result.folder, output)
    result.nodes[:] = [output if node is made else node for node in result.nodes]
    result.translated = output
    # Items apart from nodes: outside the application nothing tells the hierarchy that a node is gone.
    tree = subject_hierarchy(scene)
    tree.RemoveItem(tree.GetItemByDataNode(made), False, False)
    scene.RemoveNode(made)
    output.SetName(name)
